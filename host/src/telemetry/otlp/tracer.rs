//! Makes the spans of requests and of what they lead to.
//!
//! Which trace something belongs to goes by header fields alone (W3C Trace Context): what a client
//! sends is the parent of the request's span, and what a guest is given of it is the parent of all
//! that it asks the host for. So a guest that makes spans of its own is in between, as it should be.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanBuilder, SpanKind, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use super::env::Sampling;
use super::span::{Span, Trace};
use crate::calls::TRACE;

/// See the module. Cloning it is cheap; where nothing is traced, all it does is one branch.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Live>>);

/// A tracer that is on.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) tracer: SdkTracer,
    propagator: TraceContextPropagator,
    sampling: Sampling,
}

/// The head of a request that came in.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// How long ago it came.
    pub age: Duration,
    /// Its method.
    pub method: &'a Method,
    /// Its path, without the query.
    pub path: &'a str,
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// The version of HTTP; `None` for a call from another service, which has no connection.
    pub version: Option<Version>,
    /// Who connected; `None` for a call from another service.
    pub remote: Option<IpAddr>,
}

/// `traceparent` and `tracestate` of a request that is being worked on.
#[derive(Clone, Copy, Debug)]
pub struct Parent<'a>(pub &'a [Option<HeaderValue>; 2]);

impl Tracer {
    /// One that traces nothing.
    pub fn off() -> Self {
        Self(None)
    }

    pub(super) fn new(provider: &SdkTracerProvider, sampling: Sampling) -> Self {
        Self(Some(Arc::new(Live {
            tracer: provider.tracer("wharf"),
            propagator: TraceContextPropagator::new(),
            sampling,
        })))
    }

    /// Whether anything can be traced.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The server span of a request; it ends when it is dropped.
    pub fn request(&self, incoming: &Incoming<'_>) -> Span {
        let Some(live) = &self.0 else {
            return Span::none();
        };
        let Some(parent) = live.parent(&HeaderExtractor(incoming.headers)) else {
            return Span::none();
        };
        let builder = SpanBuilder::from_name(name_of(incoming.method));
        let builder = builder.with_start_time(SystemTime::now() - incoming.age);
        let mut span = Span::start(live, builder.with_kind(SpanKind::Server), &parent);
        if span.is_recording() {
            set_method(&mut span, incoming.method);
            span.set("url.path", incoming.path.to_owned());
            span.set("url.scheme", "http");
            if let Some(remote) = incoming.remote {
                span.set("client.address", remote.to_string());
            }
            if let Some(version) = incoming.version.and_then(protocol) {
                span.set("network.protocol.version", version);
            }
        }
        span
    }

    /// The client span of a request that a guest sends out of the host. Its head says what it is part of,
    /// and is made to say what the answer is part of. One that is part of nothing has none: it would be
    /// a trace by itself.
    pub fn outgoing(&self, method: &Method, uri: &Uri, headers: &mut HeaderMap) -> Span {
        let Some(live) = &self.0 else {
            return Span::none();
        };
        if !headers.contains_key(&TRACE[0]) {
            return Span::none();
        }
        let Some(parent) = live.parent(&HeaderExtractor(headers)) else {
            return Span::none();
        };
        let builder = SpanBuilder::from_name(name_of(method));
        let mut span = Span::start(live, builder.with_kind(SpanKind::Client), &parent);
        if span.is_recording() {
            set_method(&mut span, method);
            let (scheme, host) = (uri.scheme_str(), uri.host().unwrap_or_default());
            let usual = if scheme == Some("https") { 443 } else { 80 };
            span.set("server.address", host.to_owned());
            span.set("server.port", i64::from(uri.port_u16().unwrap_or(usual)));
            // without the query, and without what may be in the authority before the host
            let scheme = scheme.unwrap_or("http");
            let port = uri.port().map(|port| format!(":{port}"));
            let (port, path) = (port.unwrap_or_default(), uri.path());
            span.set("url.full", format!("{scheme}://{host}{port}{path}"));
        }
        span.trace().inject(headers);
        span
    }

    /// The span of something else that a guest has the host do, such as `keyvalue.get`, if it is
    /// known what that is part of.
    pub fn host_call(&self, parent: Parent<'_>, name: &'static str) -> Span {
        self.within(
            parent,
            SpanBuilder::from_name(name).with_kind(SpanKind::Internal),
        )
    }

    /// The server span of a call of a function that a service exports.
    pub fn call(&self, parent: Parent<'_>, interface: &str, function: &str) -> Span {
        if self.0.is_none() {
            return Span::none();
        }
        let builder = SpanBuilder::from_name(format!("{interface}/{function}"));
        let mut span = self.within(parent, builder.with_kind(SpanKind::Server));
        if span.is_recording() {
            span.set("rpc.system", "wasm_component");
            span.set("rpc.service", interface.to_owned());
            span.set("rpc.method", function.to_owned());
        }
        span
    }

    fn within(&self, parent: Parent<'_>, builder: SpanBuilder) -> Span {
        let Some(live) = &self.0 else {
            return Span::none();
        };
        if parent.0[0].is_none() {
            return Span::none();
        }
        match live.parent(&parent) {
            Some(context) => Span::start(live, builder, &context),
            None => Span::none(),
        }
    }
}

impl Live {
    /// What something is part of; `None` if it is clear already that it isn't recorded, and nothing
    /// needs to know.
    fn parent(&self, headers: &dyn Extractor) -> Option<Context> {
        if self.sampling.nothing {
            return None;
        }
        if self.sampling.no_roots && headers.get("traceparent").is_none() {
            return None;
        }
        Some(
            self.propagator
                .extract_with_context(&Context::new(), headers),
        )
    }
}

impl Extractor for Parent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let index = usize::from(key == "tracestate");
        self.0[index].as_ref()?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

impl Trace {
    /// A span below this one that is no request of its own.
    pub fn child(&self, name: &'static str) -> Span {
        self.internal(SpanBuilder::from_name(name))
    }

    /// The same of something that began before and is over now, if it took long enough to be shown:
    /// waiting that was none isn't.
    pub fn past(&self, name: &'static str, took: Duration) {
        const SHORT: Duration = Duration::from_micros(50);
        if self.is_recorded() && took >= SHORT {
            let start = SystemTime::now() - took;
            drop(self.internal(SpanBuilder::from_name(name).with_start_time(start)));
        }
    }

    fn internal(&self, builder: SpanBuilder) -> Span {
        match self.parts() {
            Some((live, context)) if self.is_recorded() => {
                Span::start(live, builder.with_kind(SpanKind::Internal), context)
            }
            _ => Span::of(self.clone()),
        }
    }
}

/// A client could make a method of anything; only these are told apart.
fn known(method: &Method) -> Option<&'static str> {
    Some(match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::PATCH => "PATCH",
        Method::TRACE => "TRACE",
        _ => return None,
    })
}

/// What the span of a request is called, or begins with.
pub(super) fn name_of(method: &Method) -> &'static str {
    known(method).unwrap_or("HTTP")
}

fn set_method(span: &mut Span, method: &Method) {
    if let Some(known) = known(method) {
        span.set("http.request.method", known);
    } else {
        span.set("http.request.method", "_OTHER");
        span.set("http.request.method_original", method.to_string());
    }
}

fn protocol(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}

/// An attribute; where it is made by hand.
pub(super) fn attribute(key: &'static str, value: impl Into<opentelemetry::Value>) -> KeyValue {
    KeyValue::new(key, value)
}
