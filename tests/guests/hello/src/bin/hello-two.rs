//! Answers "two".

use wstd::http::{Body, Request, Response, Result};

#[wstd::http_server]
async fn main(_request: Request<Body>) -> Result<Response<Body>> {
    hello::answer("two")
}
