//! The twin services `hello-one` and `hello-two`: two versions of one service, to swap.

use wstd::http::{Body, Response, Result};

/// The answer to every request: the version, and nothing else.
pub fn answer(version: &'static str) -> Result<Response<Body>> {
    Ok(Response::builder()
        .header("x-version", version)
        .body(format!("{version}\n").into())?)
}
