//! An OpenTelemetry collector that keeps what it is sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::server::serve;

/// Takes OTLP over HTTP, as protobuf.
pub struct Collector {
    addr: SocketAddr,
    got: Arc<Mutex<Got>>,
}

#[derive(Default)]
struct Got {
    spans: Vec<Span>,
    metrics: Vec<String>,
}

impl Collector {
    /// Listens on a port of its own, as long as the test's runtime lives.
    ///
    /// # Panics
    ///
    /// If there is no port to be had.
    pub async fn start() -> Self {
        let got = Arc::<Mutex<Got>>::default();
        let keep = Arc::clone(&got);
        let addr = serve(move |request| take(Arc::clone(&keep), request)).await;
        Self { addr, got }
    }

    /// Where it is, as `OTEL_EXPORTER_OTLP_ENDPOINT` says it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The spans so far.
    pub fn spans(&self) -> Vec<Span> {
        let got = self.got.lock().unwrap_or_else(PoisonError::into_inner);
        got.spans.clone()
    }

    /// The names of the metrics so far, each as often as it was sent.
    pub fn metrics(&self) -> Vec<String> {
        let got = self.got.lock().unwrap_or_else(PoisonError::into_inner);
        got.metrics.clone()
    }
}

async fn take(keep: Arc<Mutex<Got>>, request: Request<Incoming>) -> Response<Empty<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a whole request").to_bytes();
    let mut got = keep.lock().unwrap_or_else(PoisonError::into_inner);
    match head.uri.path() {
        "/v1/traces" => {
            let sent = ExportTraceServiceRequest::decode(body).expect("a message with spans");
            let scopes = sent
                .resource_spans
                .into_iter()
                .flat_map(|of| of.scope_spans);
            got.spans.extend(scopes.flat_map(|of| of.spans));
        }
        "/v1/metrics" => {
            let sent = ExportMetricsServiceRequest::decode(body).expect("a message with metrics");
            let scopes = sent
                .resource_metrics
                .into_iter()
                .flat_map(|of| of.scope_metrics);
            let metrics = scopes.flat_map(|of| of.metrics);
            got.metrics.extend(metrics.map(|metric| metric.name));
        }
        other => panic!("the exporter has no business at {other}"),
    }
    Response::new(Empty::new())
}

/// The only span of this name.
///
/// # Panics
///
/// If there is none, or more.
pub fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let (Some(span), None) = (found.next(), found.next()) else {
        let all: Vec<_> = spans.iter().map(|span| &span.name).collect();
        panic!("{name} is not there once: {all:?}")
    };
    span
}

/// An attribute of a span, as text; empty if it has none of this name.
pub fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|one| one.key == key);
    let value = found.and_then(|one| one.value.as_ref()?.value.as_ref());
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}
