//! A collector that keeps what it gets.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// One post.
pub(super) struct Post {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    body: Bytes,
}

/// See the module.
pub(super) struct Collector {
    pub(super) address: SocketAddr,
    posts: mpsc::UnboundedReceiver<Post>,
}

impl Collector {
    pub(super) async fn start() -> Self {
        Self::listen(None).await
    }

    /// One that speaks TLS.
    pub(super) async fn start_with(tls: TlsAcceptor) -> Self {
        Self::listen(Some(tls)).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (to, posts) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (to, tls) = (to.clone(), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else {
                        return serve(stream, to).await;
                    };
                    // who doesn't trust it goes away
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, to).await;
                    }
                });
            }
        });
        Self { address, posts }
    }

    /// What it has got so far.
    pub(super) fn posts(&mut self) -> Vec<Post> {
        std::iter::from_fn(|| self.posts.try_recv().ok()).collect()
    }

    /// The spans that it has got so far.
    pub(super) fn spans(&mut self) -> Vec<Span> {
        let posts = self.posts().into_iter();
        let traces = posts.filter(|post| post.path == "/v1/traces");
        traces.flat_map(|post| post.spans()).collect()
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    to: mpsc::UnboundedSender<Post>,
) {
    let keep = service_fn(move |request: Request<Incoming>| {
        let to = to.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let path = head.uri.path().to_owned();
            let headers = head.headers;
            to.send(Post {
                path,
                headers,
                body,
            })
            .unwrap();
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), keep)
        .await;
}

impl Post {
    fn traces(&self) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest::decode(self.body.clone()).unwrap()
    }

    pub(super) fn resource(&self) -> Vec<KeyValue> {
        let resource = self.traces().resource_spans.remove(0).resource;
        resource.unwrap().attributes
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        let resources = self.traces().resource_spans.into_iter();
        let scopes = resources.flat_map(|of| of.scope_spans);
        scopes.flat_map(|of| of.spans).collect()
    }

    pub(super) fn metrics(&self) -> ExportMetricsServiceRequest {
        ExportMetricsServiceRequest::decode(self.body.clone()).unwrap()
    }
}

/// The value of an attribute, as text.
pub(super) fn value(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{other:?}"),
    }
}

/// The span of this name.
pub(super) fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let (Some(span), None) = (found.next(), found.next()) else {
        let all: Vec<_> = spans.iter().map(|span| &span.name).collect();
        panic!("{name} is not there once: {all:?}")
    };
    span
}
