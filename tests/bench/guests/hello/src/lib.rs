//! `Hello, World!`, for `wasi:http` 0.2, written as one would write it.

use wstd::http::{Body, Error, Request, Response};

#[wstd::http_server]
async fn main(_request: Request<Body>) -> Result<Response<Body>, Error> {
    Ok(Response::new("Hello, World!".to_owned().into()))
}
