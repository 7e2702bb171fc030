//! The only place where a failure becomes an HTTP response: problem details (RFC 9457) with the
//! request's id.

use std::time::Duration;

use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode, Version};
use serde::Serialize;

use crate::body::{self, Body};
use crate::dispatch::{DispatchError, RequestId};
use crate::service::exit::ExitReason;

/// An answer that is a failure.
#[derive(Debug)]
pub struct Problem {
    /// The status code.
    pub status: StatusCode,
    /// What went wrong, in a sentence.
    pub detail: String,
    retry_after: Option<Duration>,
    closes: bool,
}

#[derive(Serialize)]
struct Details<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    request_id: &'a str,
}

impl Problem {
    /// A failure with this status, and a sentence for the client.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            retry_after: None,
            closes: false,
        }
    }

    /// The client sent something that is no request.
    pub fn bad_request(detail: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// What else the client's connection carries cannot be trusted: an HTTP/1 connection is closed.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// The response to a request of this version.
    pub fn into_response(self, id: &RequestId, version: Version) -> Response<Body> {
        let details = Details {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            request_id: id.as_str(),
        };
        let text = serde_json::to_vec(&details).unwrap_or_default();
        let mut response = Response::new(body::full(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.retry_after {
            // whole seconds, rounded up: "0" would mean at once
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        // HTTP/2 has no such field (RFC 9113, 8.2.2), and a stream's end there is no question
        if self.closes && version < Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<&DispatchError> for Problem {
    fn from(error: &DispatchError) -> Self {
        let detail = error.to_string();
        match error {
            DispatchError::Overloaded { retry_after } | DispatchError::Broken { retry_after } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(*retry_after)
            }
            DispatchError::Quarantined { retry_after } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail).retry_after(*retry_after)
            }
            DispatchError::Gone
            | DispatchError::Stuck
            | DispatchError::Interrupted {
                reason: ExitReason::Unavailable,
                ..
            } => Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
                .retry_after(Duration::from_secs(1)),
            DispatchError::Deadline => Self::new(StatusCode::GATEWAY_TIMEOUT, detail),
            DispatchError::Interrupted { .. } | DispatchError::Guest(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
            }
            DispatchError::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail),
            DispatchError::ClientTooSlow => Self::new(StatusCode::REQUEST_TIMEOUT, detail),
            DispatchError::ClientBody => Self::new(StatusCode::BAD_REQUEST, detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::failover::Refusal;

    #[test]
    fn each_failure_has_its_status() {
        let soon = Duration::from_millis(1500);
        let table = [
            (
                DispatchError::Overloaded { retry_after: soon },
                503,
                Some("2"),
            ),
            (
                DispatchError::Broken {
                    retry_after: Duration::ZERO,
                },
                503,
                Some("1"),
            ),
            (DispatchError::Deadline, 504, None),
            (
                DispatchError::Interrupted {
                    reason: ExitReason::Trap,
                    verdict: Refusal::Effects,
                },
                500,
                None,
            ),
            (
                DispatchError::Interrupted {
                    reason: ExitReason::Unavailable,
                    verdict: Refusal::Call,
                },
                503,
                Some("1"),
            ),
            (DispatchError::TooLarge { limit: 5 }, 413, None),
            (DispatchError::ClientBody, 400, None),
        ];
        for (error, status, retry_after) in table {
            let response =
                Problem::from(&error).into_response(&RequestId::random(), Version::HTTP_11);
            assert_eq!(response.status().as_u16(), status, "{error}");
            let after = response
                .headers()
                .get(RETRY_AFTER)
                .map(|value| value.to_str().unwrap());
            assert_eq!(after, retry_after, "{error}");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        }
    }

    #[test]
    fn a_refused_request_closes_an_http_1_connection_only() {
        let connection = |problem: Problem, version| {
            let response = problem.into_response(&RequestId::random(), version);
            response.headers().get(CONNECTION).cloned()
        };
        let refused = || Problem::bad_request("no").closing();
        let close = Some(HeaderValue::from_static("close"));
        assert_eq!(connection(refused(), Version::HTTP_10), close);
        assert_eq!(connection(refused(), Version::HTTP_11), close);
        assert_eq!(connection(refused(), Version::HTTP_2), None);
        let kept = Problem::bad_request("no");
        assert_eq!(connection(kept, Version::HTTP_11), None);
    }
}
