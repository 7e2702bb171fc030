//! Refusals and failures, as problem+json (RFC 9457).
//!
//! All are of the type `about:blank`: the status says what kind of problem it is, `detail` says
//! what to do, and a 422 names the member that is wrong in `field`. A service can add members of its
//! own.

use http::header::{
    ACCEPT, ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::credentials::CredentialsError;
use crate::exchange::BodyError;
use crate::store::StoreError;

/// An answer that is not what the client wanted.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl Problem {
    /// A problem with this status; `detail` is for the client to read.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            status,
            detail,
            members: Map::new(),
            headers: Vec::new(),
            cause: None,
        }
    }

    /// 400: the request makes no sense.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401 with the challenge for a bearer token (RFC 6750, section 3). `token_refused` says that
    /// one was presented and is not valid.
    pub fn unauthorized(detail: impl Into<String>, token_refused: bool) -> Self {
        let challenge = if token_refused {
            "Bearer realm=\"accounts\", error=\"invalid_token\""
        } else {
            "Bearer realm=\"accounts\""
        };
        let challenge = HeaderValue::from_static(challenge);
        Self::new(StatusCode::UNAUTHORIZED, detail).with(WWW_AUTHENTICATE, challenge)
    }

    /// 404: there is nothing at this path.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "There is nothing at this path.")
    }

    /// 405; `allow` lists the methods that there are.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("This path allows: {allow}.");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
            .with(ALLOW, HeaderValue::from_static(allow))
    }

    /// 409: what was to be created exists.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 415: the body is not `application/json`.
    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
            .with(ACCEPT, HeaderValue::from_static("application/json"))
    }

    /// 422: the member `field` of the body is wrong.
    pub fn invalid(field: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail).member("field", field)
    }

    /// 429: not before so many seconds have passed.
    pub fn too_many_requests(detail: impl Into<String>, retry_after: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
            .with(RETRY_AFTER, HeaderValue::from(retry_after))
    }

    /// 500: the client can do nothing about it. `cause` is for the operator's log, not for it.
    pub fn internal(cause: &impl ToString) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The service failed; its log says why.",
        )
        .caused_by(cause)
    }

    /// 503: too many writers at once, soon to be tried again.
    pub fn contended() -> Self {
        let detail = "Too many requests change the same thing at once. Try again.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with(RETRY_AFTER, HeaderValue::from(1))
    }

    /// With a member of its own in the document.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// With a header field.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With what the operator should read in the log.
    #[must_use]
    pub fn caused_by(mut self, cause: &impl ToString) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// What the operator should read in the log; `None` if the fault is the client's.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The problem as a response.
    pub fn into_response(self) -> Response<Vec<u8>> {
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            members: &self.members,
        };
        // A document of JSON values always has a JSON form.
        let mut response = Response::new(serde_json::to_vec(&document).unwrap_or_default());
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        let media_type = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, media_type);
        response
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLong => Self::new(StatusCode::PAYLOAD_TOO_LARGE, sentence(&error)),
            BodyError::BrokeOff(_) => Self::bad_request(sentence(&error)),
        }
    }
}

impl From<CredentialsError> for Problem {
    fn from(error: CredentialsError) -> Self {
        match error {
            CredentialsError::NotJson(_) => Self::bad_request(sentence(&error)),
            CredentialsError::NotAnObject => {
                let detail =
                    "The body must be a JSON object with the members `username` and `password`.";
                Self::invalid("username", detail)
            }
            CredentialsError::Member { field, .. } => Self::invalid(field, sentence(&error)),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Contended => Self::contended().caused_by(&error),
            error => Self::internal(&error),
        }
    }
}

fn sentence(text: &impl ToString) -> String {
    let text = text.to_string();
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).chain(['.']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn document(response: &Response<Vec<u8>>) -> Value {
        serde_json::from_slice(response.body()).unwrap()
    }

    #[test]
    fn a_wrong_member_is_named_in_field() {
        let error = CredentialsError::Member {
            field: "username",
            reason: "is missing",
        };
        let response = Problem::from(error).into_response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let expected = json!({
            "type": "about:blank",
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": "`username` is missing.",
            "field": "username",
        });
        assert_eq!(document(&response), expected);
    }

    #[test]
    fn only_a_422_has_a_field() {
        let response = Problem::not_found().into_response();
        assert_eq!(document(&response).get("field"), None);
    }

    #[test]
    fn the_cause_of_a_failure_is_for_the_log_only() {
        let problem = Problem::from(StoreError::Other("disk on fire".to_owned()));
        assert!(problem.cause().unwrap().contains("disk on fire"));
        let response = problem.into_response();
        assert_eq!(response.status(), 500);
        assert!(
            !String::from_utf8(response.into_body())
                .unwrap()
                .contains("fire")
        );
    }
}
