//! Reads an order as JSON and answers it changed, for `wasi:http` 0.3.

use wasip3::http::types::{ErrorCode, Fields, HeaderError, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

wasip3::http::service::export!(Echo);

struct Echo;

impl wasip3::exports::http::handler::Guest for Echo {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let (told, outcome) = wit_future::new(|| Ok(()));
        drop(told);
        let (body, _trailers) = Request::consume_body(request, outcome);
        match order::answer(&body.collect().await) {
            Ok(json) => respond(200, "application/json", json),
            Err(error) => respond(400, "text/plain", error.to_string().into_bytes()),
        }
    }
}

fn respond(status: u16, media_type: &str, bytes: Vec<u8>) -> Result<Response, ErrorCode> {
    let headers = Fields::new();
    headers
        .append("content-type", media_type.as_bytes())
        .map_err(|error: HeaderError| ErrorCode::InternalError(Some(error.to_string())))?;
    let (mut body, reader) = wit_stream::new();
    let (trailers, no_trailers) = wit_future::new(|| Ok(None));
    drop(trailers);
    let (response, _sent) = Response::new(headers, Some(reader), no_trailers);
    response
        .set_status_code(status)
        .map_err(|()| ErrorCode::InternalError(None))?;
    spawn_local(async move {
        // A client that went away takes nothing.
        let _untaken = body.write_all(bytes).await;
    });
    Ok(response)
}
