//! One request at the front, as long as it lasts: what the access log and the request's span want to
//! know of it is gathered on its way, and told when its response's body is over.
//!
//! Where there is neither a log nor a tracer, a [`Record`] is nothing, and each of its methods one
//! branch.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::SystemTime;

use http::request::Parts;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::access::{Access, AccessLog, Served};
use super::otlp::{Incoming, Span, Trace, Tracer};
use crate::config::ServiceName;
use crate::dispatch::RequestId;
use crate::service::exit::InstanceId;

/// Begins records. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Option<Arc<(AccessLog, Tracer)>>);

/// See the module. It is told when it is dropped.
#[derive(Debug, Default)]
pub struct Record(Option<Box<Inner>>);

/// What whoever dispatches a request notes of it. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct Progress(Option<Arc<Noted>>);

#[derive(Debug)]
struct Inner {
    log: AccessLog,
    span: Span,
    begun: Instant,
    at: SystemTime,
    request: RequestId,
    remote: IpAddr,
    head: Parts,
    progress: Arc<Noted>,
    answer: Option<Answer>,
}

/// Who is to answer a request.
#[derive(Clone, Debug)]
pub struct Place {
    /// The service.
    pub service: ServiceName,
    /// The digest of its release's component, as hex.
    pub digest: Arc<str>,
    /// The number of the release, if it has one.
    pub revision: Option<u64>,
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    at: Instant,
    bytes: u64,
    over: bool,
}

#[derive(Debug, Default)]
struct Noted {
    place: Mutex<Option<Place>>,
    /// The number of the last instance that tried, plus one.
    instance: AtomicU64,
    tries: AtomicU32,
    bytes_in: AtomicU64,
}

impl Recorder {
    /// For this log and this tracer.
    pub fn new(log: AccessLog, tracer: Tracer) -> Self {
        let wanted = log.is_on() || tracer.is_on();
        Self(wanted.then(|| Arc::new((log, tracer))))
    }

    /// The record of a request that came in. `head` is as the client sent it.
    pub fn begin(&self, begun: Instant, id: &RequestId, head: &Parts, remote: IpAddr) -> Record {
        let Some(wanted) = &self.0 else {
            return Record(None);
        };
        let (log, tracer) = &**wanted;
        let span = tracer.request(&Incoming {
            age: begun.elapsed(),
            method: &head.method,
            path: head.uri.path(),
            headers: &head.headers,
            version: Some(head.version),
            remote: Some(remote),
        });
        if !log.is_on() && span.trace().is_nothing() {
            return Record(None);
        }
        // the header fields may be large, and nobody wants them
        let (mut kept, ()) = http::Request::new(()).into_parts();
        kept.method = head.method.clone();
        kept.uri = head.uri.clone();
        kept.version = head.version;
        Record(Some(Box::new(Inner {
            log: log.clone(),
            span,
            begun,
            at: SystemTime::now() - begun.elapsed(),
            request: id.clone(),
            remote,
            head: kept,
            progress: Arc::default(),
            answer: None,
        })))
    }
}

impl Record {
    /// The record of a request that nobody wants to know of.
    pub fn none() -> Self {
        Self(None)
    }

    /// What the request's span hands on.
    pub fn trace(&self) -> Trace {
        let span = self.0.as_ref().map(|inner| inner.span.trace().clone());
        span.unwrap_or_default()
    }

    /// Where the dispatch of the request is noted.
    pub fn progress(&self) -> Progress {
        let noted = self.0.as_ref().map(|inner| Arc::clone(&inner.progress));
        Progress(noted)
    }

    /// The request has found its route, which is shown as the operator wrote it.
    pub fn routed(&mut self, route: impl std::fmt::Display) {
        if let Some(inner) = &mut self.0 {
            inner.span.route(&inner.head.method, route);
        }
    }

    /// The head of its response is there; `over` says that no body follows.
    pub fn answered(&mut self, status: StatusCode, over: bool) {
        if let Some(inner) = &mut self.0 {
            let bodiless = inner.head.method == Method::HEAD
                || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
            inner.span.answered(status);
            inner.answer = Some(Answer {
                status,
                at: Instant::now(),
                bytes: 0,
                over: over || bodiless,
            });
        }
    }

    /// Bytes of its response's body go out; `over` says that they are the last.
    pub fn sent(&mut self, bytes: usize, over: bool) {
        if let Some(Inner {
            answer: Some(answer),
            ..
        }) = self.0.as_deref_mut()
        {
            answer.bytes += bytes as u64;
            answer.over |= over;
        }
    }
}

impl Progress {
    /// Whether anybody wants to know.
    pub fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// A release is to answer it; `place` is asked only if anybody wants to know.
    pub fn goes_to(&self, place: impl FnOnce() -> Place) {
        if let Some(noted) = &self.0 {
            *noted.place.lock() = Some(place());
        }
    }

    /// An instance tries it, as the try of this number.
    pub fn tried(&self, instance: InstanceId, tries: u32) {
        if let Some(noted) = &self.0 {
            noted
                .instance
                .store(instance.0.wrapping_add(1), Ordering::Relaxed);
            noted.tries.store(tries, Ordering::Relaxed);
        }
    }

    /// Bytes of its body came in.
    pub fn read(&self, bytes: usize) {
        if let Some(noted) = &self.0 {
            noted.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

impl Noted {
    fn last(&self) -> (Option<InstanceId>, u32) {
        let instance = self.instance.load(Ordering::Relaxed).checked_sub(1);
        (instance.map(InstanceId), self.tries.load(Ordering::Relaxed))
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(inner) = self.0.take() {
            inner.tell();
        }
    }
}

impl Inner {
    fn tell(mut self) {
        let (instance, tries) = self.progress.last();
        let place = self.progress.place.lock().take();
        if let Some(place) = &place {
            self.span.service(&place.service, &place.digest);
        }
        if let Some(instance) = instance {
            self.span.instance(instance, tries);
        }
        let Some(answer) = self.answer else {
            // whoever asked has gone; there is nothing to log
            self.span.fail("cancelled", "the client went away");
            return;
        };
        if !answer.over {
            self.span
                .fail("cut", "the response's body was not sent to its end");
        }
        if !self.log.is_on() {
            return;
        }
        let served = place.map(|place| Served {
            service: place.service,
            digest: place.digest,
            revision: place.revision,
            instance,
            tries,
        });
        self.log.write(Access {
            at: self.at,
            request: self.request,
            target: self.head.uri.into_parts().path_and_query,
            method: self.head.method,
            version: self.head.version,
            remote: self.remote,
            status: answer.status,
            served,
            bytes_in: self.progress.bytes_in.load(Ordering::Relaxed),
            bytes_out: answer.bytes,
            head: answer.at.saturating_duration_since(self.begun),
            duration: self.begun.elapsed(),
            complete: answer.over,
        });
    }
}

#[cfg(test)]
mod tests;
