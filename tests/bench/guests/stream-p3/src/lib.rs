//! Large bodies, for `wasi:http` 0.3: `/down?bytes=N` sends so many, `/up` counts those that come.

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::{StreamResult, StreamWriter};
use wasip3::{spawn_local, wit_future, wit_stream};

wasip3::http::service::export!(Stream);

struct Stream;

const FRAME: usize = 64 * 1024;

impl wasip3::exports::http::handler::Guest for Stream {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        if let Some((_, bytes)) = target.split_once("?bytes=") {
            return Ok(down(bytes.parse().unwrap_or_default()));
        }
        let count = up(request).await.to_string();
        let (mut body, response) = start();
        spawn_local(async move {
            // A client that went away takes nothing.
            let _untaken = body.write_all(count.into_bytes()).await;
        });
        Ok(response)
    }
}

fn start() -> (StreamWriter<u8>, Response) {
    let (body, reader) = wit_stream::new();
    let (trailers, no_trailers) = wit_future::new(|| Ok(None));
    drop(trailers);
    let (response, _sent) = Response::new(Fields::new(), Some(reader), no_trailers);
    (body, response)
}

fn down(mut left: usize) -> Response {
    let (mut body, response) = start();
    spawn_local(async move {
        while left > 0 {
            let now = left.min(FRAME);
            if !body.write_all(vec![b'x'; now]).await.is_empty() {
                return;
            }
            left -= now;
        }
    });
    response
}

async fn up(request: Request) -> usize {
    let (told, outcome) = wit_future::new(|| Ok(()));
    drop(told);
    let (mut incoming, _trailers) = Request::consume_body(request, outcome);
    let mut buffer = Vec::with_capacity(FRAME);
    let mut bytes = 0;
    loop {
        let (status, read) = incoming.read(buffer).await;
        bytes += read.len();
        if matches!(status, StreamResult::Dropped) {
            return bytes;
        }
        buffer = read;
        buffer.clear();
    }
}
