//! Large bodies, for `wasi:http` 0.2: `/down?bytes=N` sends so many, `/up` counts those that come.

use futures_lite::stream;
use wstd::http::body::{Bytes, HttpBody as _};
use wstd::http::{Body, Error, Request, Response};

const FRAME: usize = 64 * 1024;

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let query = request.uri().query().unwrap_or_default();
    match query.strip_prefix("bytes=") {
        Some(bytes) => Ok(Response::new(down(bytes.parse()?))),
        None => up(request.into_body()).await,
    }
}

fn down(bytes: usize) -> Body {
    let frame = Bytes::from(vec![b'x'; FRAME]);
    Body::from_stream(stream::unfold(bytes, move |left| {
        let now = frame.slice(..left.min(FRAME));
        async move { (left > 0).then(|| (now.clone(), left - now.len())) }
    }))
}

async fn up(body: Body) -> Result<Response<Body>, Error> {
    let mut body = body.into_boxed_body();
    let mut bytes = 0;
    while let Some(frame) = std::future::poll_fn(|cx| {
        let body = std::pin::Pin::new(&mut body);
        body.poll_frame(cx)
    })
    .await
    {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(Response::new(bytes.to_string().into()))
}
