//! A request's body, with its limits, and an answer's last touches.

use bytes::Buf;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue,
};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use serde::Serialize;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::credentials::Credentials;
use crate::problem::Problem;

/// The longest body that is read, in bytes. A name and a password at their longest, with every
/// character escaped, take an eighth of it.
pub const MAX_BODY: usize = 16 * 1024;

/// Reads a name and a password from a request.
pub async fn credentials<B>(request: Request<B>) -> Result<Credentials, Problem>
where
    B: Body,
    B::Error: std::fmt::Display,
{
    Ok(Credentials::parse(&document(request).await?)?)
}

/// Reads a request's body, which has to be JSON by its header fields. It is not parsed, and wiped
/// from memory when dropped.
pub async fn document<B>(request: Request<B>) -> Result<Zeroizing<Vec<u8>>, Problem>
where
    B: Body,
    B::Error: std::fmt::Display,
{
    let (head, body) = request.into_parts();
    require_json(&head.headers)?;
    Ok(read(&head.headers, body).await?)
}

/// An answer in JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Result<Response<Vec<u8>>, Problem> {
    let mut response =
        Response::new(serde_json::to_vec(body).map_err(|error| Problem::internal(&error))?);
    *response.status_mut() = status;
    let media_type = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    Ok(response)
}

/// An answer without a body.
pub fn no_content() -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// What every answer to a `method` request has: it is not to be stored by caches (it is about
/// somebody's account), and a `HEAD` gets no body.
pub fn finish(method: &Method, mut response: Response<Vec<u8>>) -> Response<Vec<u8>> {
    let length = response.body().len();
    if *method == Method::HEAD {
        response.body_mut().clear();
    } else if response.status() != StatusCode::NO_CONTENT {
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = media_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        let detail = "The body must be JSON, with `Content-Type: application/json`.";
        return Err(Problem::unsupported_media_type(detail));
    }
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|coding| coding != "identity")
    {
        let detail = "The body must not be compressed: send it without `Content-Encoding`.";
        return Err(Problem::unsupported_media_type(detail));
    }
    Ok(())
}

/// Why a body could not be read.
#[derive(Debug, Error)]
pub enum BodyError {
    /// It is longer than [`MAX_BODY`].
    #[error("the body must not be longer than {MAX_BODY} bytes")]
    TooLong,
    /// It ended before its end.
    #[error("the body broke off: {0}")]
    BrokeOff(String),
}

/// Reads the body of the message with these header fields, as far as it is not too long. It is wiped
/// from memory when dropped.
pub async fn read<B>(headers: &HeaderMap, body: B) -> Result<Zeroizing<Vec<u8>>, BodyError>
where
    B: Body,
    B::Error: std::fmt::Display,
{
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let announced = announced
        .and_then(|length| length.parse::<u64>().ok())
        .unwrap_or_default();
    if usize::try_from(announced).map_or(true, |length| length > MAX_BODY) {
        return Err(BodyError::TooLong);
    }
    // As much as there can be at once: growing would leave copies behind that are not wiped.
    let mut whole = Zeroizing::new(Vec::with_capacity(MAX_BODY));
    let mut body = std::pin::pin!(body);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::BrokeOff(error.to_string()))?;
        let Ok(mut data) = frame.into_data() else {
            continue; // trailers
        };
        if data.remaining() > MAX_BODY - whole.len() {
            return Err(BodyError::TooLong);
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            let length = chunk.len();
            whole.extend_from_slice(chunk);
            data.advance(length);
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::Full;
    use std::cell::Cell;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    const GOOD: &str = r#"{"username":"alice","password":"correct horse"}"#;

    fn status(headers: &[(&str, &str)], body: impl Into<Bytes>) -> u16 {
        status_of(headers, Full::new(body.into()))
    }

    fn status_of<B: Body<Data = Bytes, Error = Infallible>>(
        headers: &[(&str, &str)],
        body: B,
    ) -> u16 {
        let mut request = Request::post("/register");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match pollster::block_on(credentials(request.body(body).unwrap())) {
            Ok(_) => 200,
            Err(problem) => problem.into_response().status().as_u16(),
        }
    }

    /// Chunks of 1 KiB without end, counted.
    struct Endless<'a>(&'a Cell<usize>);

    impl Body for Endless<'_> {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.set(self.0.get() + 1);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 1024])))))
        }
    }

    #[test]
    fn json_may_have_parameters_and_any_case() {
        for media_type in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json ;a=b",
        ] {
            assert_eq!(
                status(&[("content-type", media_type)], GOOD),
                200,
                "{media_type}"
            );
        }
    }

    #[test]
    fn other_media_types_and_none_are_refused() {
        assert_eq!(status(&[], GOOD), 415);
        for media_type in [
            "text/plain",
            "application/jsonp",
            "application/x-www-form-urlencoded",
            "",
        ] {
            assert_eq!(
                status(&[("content-type", media_type)], GOOD),
                415,
                "{media_type}"
            );
        }
        let compressed = [
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        ];
        assert_eq!(status(&compressed, GOOD), 415);
    }

    #[test]
    fn a_body_may_be_as_long_as_the_limit_and_no_longer() {
        let json = [("content-type", "application/json")];
        let padded = |length: usize| format!("{GOOD:length$}");
        assert_eq!(status(&json, padded(MAX_BODY)), 200);
        assert_eq!(status(&json, padded(MAX_BODY + 1)), 413);
    }

    #[test]
    fn a_body_that_says_it_is_too_long_is_not_waited_for() {
        for length in ["16385", "18446744073709551615"] {
            let announced = [
                ("content-type", "application/json"),
                ("content-length", length),
            ];
            let chunks = Cell::new(0);
            assert_eq!(status_of(&announced, Endless(&chunks)), 413);
            assert_eq!(chunks.get(), 0);
        }
    }

    #[test]
    fn a_body_without_end_is_read_up_to_the_limit() {
        let chunks = Cell::new(0);
        assert_eq!(
            status_of(&[("content-type", "application/json")], Endless(&chunks)),
            413
        );
        assert_eq!(chunks.get(), MAX_BODY / 1024 + 1);
    }

    #[test]
    fn an_answer_to_head_has_no_body_and_promises_no_length() {
        let answer = finish(&Method::HEAD, json(StatusCode::OK, &"x").unwrap());
        assert!(answer.body().is_empty());
        assert_eq!(answer.headers().get(CONTENT_LENGTH), None);
        let answer = finish(&Method::GET, json(StatusCode::OK, &"x").unwrap());
        assert_eq!(answer.headers()[CONTENT_LENGTH], "3");
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        let answer = finish(&Method::DELETE, no_content());
        assert_eq!(answer.headers().get(CONTENT_LENGTH), None);
    }
}
