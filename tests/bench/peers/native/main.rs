//! The native peer: hyper as lean as it gets, with no sandbox and no router. Whatever serves
//! components is measured by how near it comes to this. It runs as tokio's default has it, or with
//! `EVENT_LOOPS` set, in event loops.

#[path = "../loops.rs"]
mod loops;

use std::convert::Infallible;
use std::iter::repeat_n;
use std::net::SocketAddr;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use loops::Loops;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

const FRAME: usize = 64 * 1024;

/// Whole, or streamed; boxed only where that costs nothing.
type Answer = Either<Full<Bytes>, UnsyncBoxBody<Bytes, Infallible>>;

#[tokio::main]
async fn main() -> Result<()> {
    let addr: SocketAddr = std::env::args()
        .nth(1)
        .context("the one argument is the address to listen on")?
        .parse()?;
    let listener = TcpListener::bind(addr).await?;
    let mut end = signal(SignalKind::terminate())?;
    let mut loops = match std::env::var_os("EVENT_LOOPS") {
        Some(_) => Some(Loops::start()?),
        None => None,
    };
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            // in good order: a profile of it is written at its end
            _ = end.recv() => return Ok(()),
        };
        stream.set_nodelay(true)?;
        match &mut loops {
            Some(loops) => loops.serve(stream, serve)?,
            None => drop(tokio::spawn(serve(stream))),
        }
    }
}

async fn serve(stream: TcpStream) {
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
    // A client that breaks off is no event here.
    let _ended = serving.await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Answer>, hyper::Error> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/hello") => whole("Hello, World!"),
        (&Method::GET, "/relay") => relay().await,
        (&Method::POST, "/echo") => echo(request.into_body()).await?,
        (&Method::GET, "/down") => down(request.uri().query()),
        (&Method::POST, "/up") => up(request.into_body()).await?,
        _ => status(StatusCode::NOT_FOUND),
    })
}

/// Asks another server, at the URL that the second argument is, over a connection that is kept.
async fn relay() -> Response<Answer> {
    type Kept = (Client<HttpConnector, Full<Bytes>>, Uri);
    static KEPT: OnceLock<Option<Kept>> = OnceLock::new();
    let kept = KEPT.get_or_init(|| {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Some((client, std::env::args().nth(2)?.parse().ok()?))
    });
    let Some((client, uri)) = kept else {
        return status(StatusCode::NOT_FOUND);
    };
    let answer = client.get(uri.clone()).await.ok();
    let collected = match answer {
        Some(answer) => answer.into_body().collect().await.ok(),
        None => None,
    };
    collected.map_or_else(
        || status(StatusCode::BAD_GATEWAY),
        |body| whole(body.to_bytes()),
    )
}

fn whole(bytes: impl Into<Bytes>) -> Response<Answer> {
    Response::new(Either::Left(Full::new(bytes.into())))
}

fn status(status: StatusCode) -> Response<Answer> {
    let mut response = whole("");
    *response.status_mut() = status;
    response
}

async fn echo(body: Incoming) -> Result<Response<Answer>, hyper::Error> {
    let posted = body.collect().await?.to_bytes();
    let Ok(json) = order::answer(&posted) else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let mut response = whole(json);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

fn down(query: Option<&str>) -> Response<Answer> {
    let bytes = query.and_then(|query| query.strip_prefix("bytes="));
    let Some(bytes) = bytes.and_then(|bytes| bytes.parse::<usize>().ok()) else {
        return status(StatusCode::BAD_REQUEST);
    };
    let frame = Bytes::from(vec![b'x'; FRAME]);
    let rest = frame.slice(..bytes % FRAME);
    let frames = repeat_n(frame, bytes / FRAME).chain([rest]);
    let frames = stream::iter(frames.map(|frame| Ok(Frame::data(frame))));
    Response::new(Either::Right(StreamBody::new(frames).boxed_unsync()))
}

async fn up(mut body: Incoming) -> Result<Response<Answer>, hyper::Error> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(whole(bytes.to_string()))
}
