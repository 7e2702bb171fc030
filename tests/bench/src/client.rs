//! A small HTTP client, a connection a request. What measures latency under load is wrk.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime;

use crate::workload::Workload;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// A whole response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Asks, and wants a 200.
pub(crate) fn get(addr: SocketAddr, target: &str) -> Result<Reply> {
    good(request(addr, Method::GET, target, b"")?)
}

/// Asks an operator's listener for what needs its token, and wants a 200.
pub(crate) fn ask(addr: SocketAddr, target: &str, token: &str) -> Result<Reply> {
    wait(async {
        let mut connection = connect(addr).await?;
        let request = head(addr, Method::GET, target);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        let request = request.body(Full::new(Bytes::new()))?;
        let response = connection.send_request(request).await?;
        good(whole(response).await?)
    })
}

/// Posts, and wants a 200.
pub(crate) fn post(addr: SocketAddr, target: &str, body: &'static [u8]) -> Result<Reply> {
    good(request(addr, Method::POST, target, body)?)
}

fn good(reply: Reply) -> Result<Reply> {
    ensure!(reply.status == 200, "it answered {reply:?}");
    Ok(reply)
}

fn request(addr: SocketAddr, method: Method, target: &str, body: &'static [u8]) -> Result<Reply> {
    wait(async {
        let response = send(addr, method, target, Full::new(Bytes::from_static(body))).await?;
        whole(response).await
    })
}

/// Waits for the rest of a response.
pub(crate) async fn whole(response: Response<Incoming>) -> Result<Reply> {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Reply { status, body })
}

/// Runs something of this module's to its end, or until patience is over.
pub(crate) fn wait<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, future).await })
        .with_context(|| format!("no answer in {PATIENCE:?}"))?
}

/// Sends so many requests of a workload, one after the other on one connection.
pub(crate) fn repeat(addr: SocketAddr, workload: Workload, count: usize) -> Result<()> {
    let posted = workload.posted().map(fs::read).transpose()?;
    let method = match posted {
        Some(_) => Method::POST,
        None => Method::GET,
    };
    let body = Bytes::from(posted.unwrap_or_default());
    let target = format!("/{}", workload.name());
    wait(async {
        let mut connection = connect(addr).await?;
        for _ in 0..count {
            let request = head(addr, method.clone(), &target).body(Full::new(body.clone()))?;
            let response = connection.send_request(request).await?;
            ensure!(
                response.status() == 200,
                "it answered {}",
                response.status()
            );
            response.into_body().collect().await?;
        }
        Ok(())
    })
}

/// Sends a request on a new connection, and gives back the response when its head is there.
pub(crate) async fn send<B>(
    addr: SocketAddr,
    method: Method,
    target: &str,
    body: B,
) -> Result<Response<Incoming>>
where
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>, Data: Send> + Send + 'static,
{
    let mut connection = connect(addr).await?;
    let request = head(addr, method, target).body(body)?;
    Ok(connection.send_request(request).await?)
}

async fn connect<B>(addr: SocketAddr) -> Result<SendRequest<B>>
where
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>, Data: Send> + Send + 'static,
{
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its errors are those of its requests too.
    tokio::spawn(connection);
    Ok(sender)
}

fn head(addr: SocketAddr, method: Method, target: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, addr.to_string())
}
