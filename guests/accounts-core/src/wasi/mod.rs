//! The host, as a component sees it.

use std::time::{SystemTime, UNIX_EPOCH};

use http_body_util::combinators::UnsyncBoxBody;
use wstd::http::body::Bytes;
use wstd::http::{Body, Error, Request, Response};

use crate::exchange;
use crate::problem::Problem;

mod bindings;
mod config;
mod keyvalue;

pub use config::Config;
pub use keyvalue::Bucket;

/// The bucket in which users, sessions and failures are.
const BUCKET: &str = "accounts";

/// What a service works with.
#[derive(Debug)]
pub struct Host {
    /// The bucket `accounts`.
    pub store: Bucket,
    /// What the manifest sets.
    pub settings: Config,
}

impl Host {
    /// The time in Unix seconds.
    pub fn now(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }
}

/// A body that the host hands over.
pub type Incoming = UnsyncBoxBody<Bytes, Error>;

/// As [`answer_alone`], with what `handle` needs of the host.
pub async fn answer<F>(request: Request<Body>, handle: F) -> Result<Response<Body>, Error>
where
    F: AsyncFnOnce(Request<Incoming>, &Host) -> Result<Response<Vec<u8>>, Problem>,
{
    let host = Host {
        store: Bucket::new(BUCKET),
        settings: Config,
    };
    answer_alone(request, async |request| handle(request, &host).await).await
}

/// Answers a request with what `handle` makes of it. Whatever the operator should know goes to
/// standard error, one line.
pub async fn answer_alone<F>(request: Request<Body>, handle: F) -> Result<Response<Body>, Error>
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
