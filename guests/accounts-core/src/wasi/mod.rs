//! The host, as a component sees it.

use std::time::{SystemTime, UNIX_EPOCH};

use http_body_util::combinators::UnsyncBoxBody;
use wstd::http::body::Bytes;
use wstd::http::{Body, Error, Request, Response};

use crate::exchange;
use crate::problem::Problem;

mod bindings;
mod keyvalue;

pub use keyvalue::Bucket;

/// The time in Unix seconds.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A body that the host hands over.
pub type Incoming = UnsyncBoxBody<Bytes, Error>;

/// Answers a request with what `handle` makes of it. Whatever the operator should know goes to
/// standard error, one line.
pub async fn answer<F>(request: Request<Body>, handle: F) -> Result<Response<Body>, Error>
where
    F: AsyncFnOnce(Request<Incoming>) -> Result<Response<Vec<u8>>, Problem>,
{
    let method = request.method().clone();
    let result = handle(request.map(Body::into_boxed_body)).await;
    let response = result.unwrap_or_else(|problem| {
        if let Some(cause) = problem.cause() {
            eprintln!("{cause}");
        }
        problem.into_response()
    });
    Ok(exchange::finish(&method, response).map(Body::from))
}
