//! Reads an order as JSON and answers it changed, for `wasi:http` 0.2.

use wstd::http::{Body, Error, Request, Response, StatusCode};

#[wstd::http_server]
async fn main(mut request: Request<Body>) -> Result<Response<Body>, Error> {
    let posted = request.body_mut().contents().await?;
    let response = match order::answer(posted) {
        Ok(json) => Response::builder()
            .header("content-type", "application/json")
            .body(json.into()),
        Err(error) => Response::builder()
            .status(StatusCode::BAD_REQUEST)
            .body(error.to_string().into()),
    };
    Ok(response?)
}
