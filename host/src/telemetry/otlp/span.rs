//! One span, and what it hands on.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode};
use opentelemetry::Context;
use opentelemetry::trace::{Span as _, SpanBuilder, Status, TraceContextExt, Tracer as _};
use opentelemetry_sdk::trace::Span as SdkSpan;

use super::tracer::{Live, attribute, name_of};
use crate::calls::TRACE;
use crate::config::ServiceName;
use crate::service::exit::InstanceId;

/// A span that ends when it is dropped. One that isn't recorded takes everything and does nothing.
#[derive(Debug, Default)]
pub struct Span {
    trace: Trace,
    recording: Option<Box<SdkSpan>>,
}

/// What a span hands on to who works for it. Cloning it is cheap, and where nothing is traced it is
/// nothing.
#[derive(Clone, Debug, Default)]
pub struct Trace(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    live: Arc<Live>,
    context: Context,
    recorded: bool,
}

impl Span {
    /// None at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// One that only hands on what it is part of.
    pub(super) fn of(trace: Trace) -> Self {
        let recording = None;
        Self { trace, recording }
    }

    pub(super) fn start(live: &Arc<Live>, builder: SpanBuilder, parent: &Context) -> Self {
        let span = live.tracer.build_with_context(builder, parent);
        // after the end of the export there are no more
        if !span.span_context().is_valid() {
            return Self::none();
        }
        let inner = Inner {
            live: Arc::clone(live),
            context: Context::new().with_remote_span_context(span.span_context().clone()),
            recorded: span.is_recording(),
        };
        Self {
            recording: inner.recorded.then(|| Box::new(span)),
            trace: Trace(Some(Arc::new(inner))),
        }
    }

    /// Whether it is worth it to tell it anything.
    pub fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    /// What it hands on.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Adds an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<opentelemetry::Value>) {
        if let Some(span) = &mut self.recording {
            span.set_attribute(attribute(key, value));
        }
    }

    /// The request has found its route, which is written as the operator wrote it.
    pub fn route(&mut self, method: &http::Method, route: impl std::fmt::Display) {
        if let Some(span) = &mut self.recording {
            let route = route.to_string();
            span.update_name(format!("{} {route}", name_of(method)));
            span.set_attribute(attribute("http.route", route));
        }
    }

    /// The request has found its service.
    pub fn service(&mut self, service: &ServiceName, digest: &str) {
        if let Some(span) = &mut self.recording {
            span.set_attribute(attribute("wharf.service", service.to_string()));
            span.set_attribute(attribute("wharf.release", digest.to_owned()));
        }
    }

    /// The last instance that tried it, and the number of that try.
    pub fn instance(&mut self, instance: InstanceId, tries: u32) {
        if let Some(span) = &mut self.recording {
            span.set_attribute(attribute("wharf.instance", instance.to_string()));
            span.set_attribute(attribute("wharf.tries", i64::from(tries)));
        }
    }

    /// The status of the answer to a request that came in. Only the server's own failures are
    /// failures of the span, as the conventions have it.
    pub fn answered(&mut self, status: StatusCode) {
        self.status(status, status.is_server_error());
    }

    /// The status of the answer to a request that went out.
    pub fn got(&mut self, status: StatusCode) {
        self.status(status, status.is_client_error() || status.is_server_error());
    }

    fn status(&mut self, status: StatusCode, failed: bool) {
        let Some(span) = &mut self.recording else {
            return;
        };
        let code = i64::from(status.as_u16());
        span.set_attribute(attribute("http.response.status_code", code));
        if failed {
            span.set_attribute(attribute("error.type", status.as_str().to_owned()));
            span.set_status(Status::error(""));
        }
    }

    /// It failed: the kind of failure in a word, and a sentence without anything of a content.
    pub fn fail(&mut self, kind: &'static str, message: impl std::fmt::Display) {
        if let Some(span) = &mut self.recording {
            span.set_attribute(attribute("error.type", kind));
            span.set_status(Status::error(message.to_string()));
        }
    }
}

impl Trace {
    /// Whether it is nothing: not even to be handed on.
    pub fn is_nothing(&self) -> bool {
        self.0.is_none()
    }

    /// Whether spans below it are recorded.
    pub fn is_recorded(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.recorded)
    }

    pub(super) fn parts(&self) -> Option<(&Arc<Live>, &Context)> {
        self.0.as_ref().map(|inner| (&inner.live, &inner.context))
    }

    /// Makes a head say what it is part of. Where nothing is traced, it says what it said before.
    pub fn inject(&self, headers: &mut HeaderMap) {
        if self.0.is_none() {
            return;
        }
        for (name, value) in TRACE.into_iter().zip(self.headers()) {
            match value {
                Some(value) => drop(headers.insert(name, value)),
                None => drop(headers.remove(name)),
            }
        }
    }

    /// `traceparent` and `tracestate`.
    pub fn headers(&self) -> [Option<HeaderValue>; 2] {
        let Some(inner) = &self.0 else {
            return [None, None];
        };
        let span = inner.context.span();
        let context = span.span_context();
        let (trace, id) = (context.trace_id(), context.span_id());
        let sampled = u8::from(context.is_sampled());
        let parent = HeaderValue::try_from(format!("00-{trace}-{id}-{sampled:02x}"));
        let state = Some(context.trace_state().header()).filter(|state| !state.is_empty());
        [
            parent.ok(),
            state.and_then(|state| HeaderValue::try_from(state).ok()),
        ]
    }
}
