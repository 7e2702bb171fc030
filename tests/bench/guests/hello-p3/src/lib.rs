//! `Hello, World!`, for `wasi:http` 0.3.

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

wasip3::http::service::export!(Hello);

struct Hello;

impl wasip3::exports::http::handler::Guest for Hello {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let (mut body, reader) = wit_stream::new();
        let (trailers, no_trailers) = wit_future::new(|| Ok(None));
        drop(trailers);
        let (response, _sent) = Response::new(Fields::new(), Some(reader), no_trailers);
        spawn_local(async move {
            // A client that went away takes nothing.
            let _untaken = body.write_all(b"Hello, World!".to_vec()).await;
        });
        Ok(response)
    }
}
