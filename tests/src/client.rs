//! An HTTP client that keeps everything of a response, trailers included, and never waits for ever.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;

use crate::PATIENCE;

/// A request body, whole or streamed.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A whole response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// What came behind the body.
    pub trailers: Option<HeaderMap>,
    /// The time from the request to the end of the body.
    pub took: Duration,
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in what should be JSON: {self:?}"))
    }

    /// A header as text; empty without it.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The instance that answered, as the fault components name themselves.
    pub fn instance(&self) -> String {
        self.header("x-instance").to_owned()
    }

    /// Asserts that this is one of Wharf's own refusals, with all that those promise, and gives back
    /// the problem document (RFC 9457).
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["title"].is_string(), "{problem}");
        let id = self.header("x-request-id");
        assert!(!id.is_empty(), "a refusal names its request: {self:?}");
        assert!(
            problem.to_string().contains(id),
            "a refusal's body names its request too: {problem}"
        );
        problem
    }

    /// Asserts that the refusal says when to come back, in whole seconds.
    pub fn retry_after(&self) -> u64 {
        let seconds = self.header("retry-after").parse();
        seconds.unwrap_or_else(|_| panic!("no Retry-After in seconds: {self:?}"))
    }
}

/// Keeps connections open to wherever its requests go.
#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<HttpConnector, Body>,
    http2: bool,
}

impl Client {
    /// Speaks HTTP/1.1.
    pub fn http1() -> Self {
        Self::new(false)
    }

    /// Speaks HTTP/2 from the first byte (RFC 9113, 3.3), all requests on one connection.
    pub fn http2() -> Self {
        Self::new(true)
    }

    fn new(http2: bool) -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.http2_only(http2).timer(TokioTimer::new());
        Self {
            inner: builder.build_http(),
            http2,
        }
    }

    /// Another client of the same kind, which opens a connection of its own.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self::new(self.http2)
    }

    /// Sends a request and gives back the response as soon as its head is there.
    ///
    /// # Errors
    ///
    /// Whatever keeps the head from arriving.
    pub async fn start(&self, request: Request<Body>) -> Result<Response<Incoming>, legacy::Error> {
        let line = format!("{} {}", request.method(), request.uri());
        let head = tokio::time::timeout(PATIENCE, self.inner.request(request));
        head.await
            .unwrap_or_else(|_| panic!("{line}: no response in {PATIENCE:?}"))
    }

    /// Sends a request and reads its response to the end.
    ///
    /// # Errors
    ///
    /// Whatever keeps the response from arriving whole.
    pub async fn try_send(&self, request: Request<Body>) -> Result<Reply, String> {
        let started = std::time::Instant::now();
        let line = format!("{} {}", request.method(), request.uri());
        let response = self.start(request).await.map_err(|error| chain(&error))?;
        let (head, body) = response.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await;
        let body = body.unwrap_or_else(|_| panic!("{line}: the body didn't end in {PATIENCE:?}"));
        let body = body.map_err(|error| chain(&error))?;
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            trailers: body.trailers().cloned(),
            body: body.to_bytes(),
            took: started.elapsed(),
        })
    }

    /// As [`Self::try_send`], for requests that must get a whole response.
    pub async fn send(&self, request: Request<Body>) -> Reply {
        let line = format!("{} {}", request.method(), request.uri());
        let reply = self.try_send(request).await;
        reply.unwrap_or_else(|error| panic!("{line}: {error}"))
    }
}

/// Somewhere to send requests to, and the client to do so.
#[derive(Clone)]
pub struct Target {
    /// The client; another one speaks another version of HTTP.
    pub client: Client,
    /// Where it is.
    pub addr: SocketAddr,
    /// What it asks for, if it asks for a token (RFC 6750).
    pub token: Option<String>,
}

impl Target {
    /// `addr`, asked over HTTP/1.1.
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            client: Client::http1(),
            addr,
            token: None,
        }
    }

    /// The same place, asked over HTTP/2.
    #[must_use]
    pub fn http2(&self) -> Self {
        Self {
            client: Client::http2(),
            addr: self.addr,
            token: self.token.clone(),
        }
    }

    /// The same place, asked over a new connection.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self {
            client: self.client.fresh(),
            addr: self.addr,
            token: self.token.clone(),
        }
    }

    /// A request that can still be changed; [`Client::send`] sends it.
    pub fn request(&self, method: Method, target: &str, body: Body) -> Request<Body> {
        let uri: Uri = format!("http://{}{target}", self.addr)
            .parse()
            .expect("the test's target is well formed");
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}")
                .parse()
                .expect("a token is a header's value");
            request
                .headers_mut()
                .insert(http::header::AUTHORIZATION, value);
        }
        request
    }

    /// A GET that must be answered, whatever the status.
    pub async fn get(&self, target: &str) -> Reply {
        self.client
            .send(self.request(Method::GET, target, whole("")))
            .await
    }

    /// A POST that must be answered, whatever the status.
    pub async fn post(&self, target: &str, body: impl Into<Bytes>) -> Reply {
        self.client
            .send(self.request(Method::POST, target, whole(body)))
            .await
    }

    /// A POST of JSON that must be answered, whatever the status.
    pub async fn post_json(&self, target: &str, body: &Value) -> Reply {
        self.try_post_json(target, body)
            .await
            .unwrap_or_else(|error| panic!("POST {target}: {error}"))
    }

    /// A POST of JSON.
    ///
    /// # Errors
    ///
    /// Whatever keeps the response from arriving whole.
    pub async fn try_post_json(&self, target: &str, body: &Value) -> Result<Reply, String> {
        let mut request = self.request(Method::POST, target, whole(body.to_string()));
        let json = http::HeaderValue::from_static("application/json");
        request
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, json);
        self.client.try_send(request).await
    }

    /// A GET.
    ///
    /// # Errors
    ///
    /// Whatever keeps the response from arriving whole.
    pub async fn try_get(&self, target: &str) -> Result<Reply, String> {
        self.client
            .try_send(self.request(Method::GET, target, whole("")))
            .await
    }

    /// A POST.
    ///
    /// # Errors
    ///
    /// Whatever keeps the response from arriving whole.
    pub async fn try_post(&self, target: &str, body: impl Into<Bytes>) -> Result<Reply, String> {
        self.client
            .try_send(self.request(Method::POST, target, whole(body)))
            .await
    }
}

/// A body that is all there.
pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body that is sent frame by frame, as they come out of the channel.
pub fn streamed(frames: tokio::sync::mpsc::Receiver<Frame<Bytes>>) -> Body {
    let frames = futures::stream::unfold(frames, |mut frames| async {
        let frame = frames.recv().await?;
        Some((Ok(frame), frames))
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
