//! Services calling services by name, without a socket.
//!
//! A guest's request to `http://NAME.internal/path` goes to an instance of the service NAME: through
//! the same queue, balance, breaker and failover as a client's. It is part of the request that the
//! caller is working on, and inherits its id, its trace, what is left of its time, and the question
//! whether it had effects. So does the call of a function that another service exports.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use tokio::time::Instant;
use tracing::warn;

use crate::body::Body;
use crate::config::ServiceName;
use crate::dispatch::{Answer, Caller, Noted};
use crate::exchange::{Arrival, Target};
use crate::ingress::REQUEST_ID;
use crate::ingress::respond::Problem;
use crate::service::Catalog;
use crate::telemetry::otlp::{Incoming, Tracer};

/// How many calls may lead from a client's request to the last service, one below the other.
pub const MAX_DEPTH: u8 = 8;

/// Below this top-level domain, which is reserved for private use (ICANN resolution 2024.07.29.06),
/// names are those of services.
const DOMAIN: &str = ".internal";

/// The header fields of W3C Trace Context, that a guest which doesn't know of them passes on.
pub const TRACE: [HeaderName; 2] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// The service that a host name means, without regard to ASCII case and to one trailing dot. `None`
/// if it isn't below the domain of services.
pub fn service_of(host: &str) -> Option<&str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let at = host.len().checked_sub(DOMAIN.len())?;
    let domain = host.get(at..)?;
    domain.eq_ignore_ascii_case(DOMAIN).then(|| &host[..at])
}

/// The way from one service to another.
pub struct Calls {
    catalog: Arc<Catalog>,
    tracer: Tracer,
}

impl Calls {
    /// Between these services.
    pub fn new(catalog: Arc<Catalog>, tracer: Tracer) -> Arc<Self> {
        Arc::new(Self { catalog, tracer })
    }

    /// Has `name` answer a request of `caller`. A failure is a response, too, as it is for a client.
    pub async fn http(
        &self,
        caller: Caller,
        name: &ServiceName,
        request: Request<Body>,
    ) -> Response<Body> {
        let id = caller.id.clone();
        let result = self.ask(caller, name, request).await;
        match result {
            Ok(response) => *response,
            Err(problem) => problem.into_response(&id, Version::HTTP_11),
        }
    }

    async fn ask(
        &self,
        caller: Caller,
        name: &ServiceName,
        request: Request<Body>,
    ) -> Result<Answer, Problem> {
        let at = Instant::now();
        check_depth(&caller, name)?;
        let target = self.target(name)?;
        let (mut head, body) = request.into_parts();
        head.headers.insert(REQUEST_ID, caller.id.value().clone());
        inherit(&mut head.headers, &caller.trace);
        let mut span = self.tracer.request(&Incoming {
            age: Duration::ZERO,
            method: &head.method,
            path: head.uri.path(),
            headers: &head.headers,
            version: None,
            remote: None,
        });
        span.service(name, &target.release.info.digest);
        let arrival = Arrival {
            at,
            id: caller.id.clone(),
            head: Box::new(head),
            body,
            client: caller.lane,
            caller: Some(Box::new(caller)),
            noted: Noted {
                trace: span.trace().clone(),
                ..Noted::default()
            },
        };
        let answered = target.answer(arrival).await;
        span.answered(match &answered {
            Ok(response) => response.status(),
            Err(problem) => problem.status,
        });
        answered
    }

    /// Where the call of a function that `name` exports goes, and when it must be over.
    ///
    /// # Errors
    ///
    /// There is no such service at this moment, or the caller may not call any.
    pub fn find(&self, caller: &Caller, name: &ServiceName) -> Result<(Target, Instant), Problem> {
        check_depth(caller, name)?;
        let target = self.target(name)?;
        let deadline = target.deadline(Instant::now(), Some(caller));
        Ok((target, deadline))
    }

    /// What the name stands for at this moment.
    fn target(&self, name: &ServiceName) -> Result<Target, Problem> {
        let service = self.catalog.load().get(name).cloned();
        let Some(service) = service else {
            return Err(unavailable(format!("there is no service {name:?}")));
        };
        let Some(release) = service.current() else {
            return Err(unavailable(format!(
                "the service {name:?} has no release that runs"
            )));
        };
        Ok(Target { service, release })
    }
}

fn check_depth(caller: &Caller, name: &ServiceName) -> Result<(), Problem> {
    if caller.depth < MAX_DEPTH {
        return Ok(());
    }
    warn!(service = %name, request = %caller.id, depth = caller.depth, "a call was refused: services call one another too deep");
    let detail = format!("more than {MAX_DEPTH} services call one another for this request");
    Err(Problem::new(StatusCode::LOOP_DETECTED, detail))
}

fn unavailable(detail: String) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// Has a request say what it is part of. What the guest says itself counts.
pub fn inherit(headers: &mut HeaderMap, trace: &[Option<HeaderValue>; 2]) {
    for (field, value) in TRACE.iter().zip(trace) {
        if let Some(value) = value
            && !headers.contains_key(field)
        {
            headers.insert(field, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services_are_told_from_others() {
        for (host, service) in [
            ("accounts.internal", Some("accounts")),
            ("Accounts.INTERNAL.", Some("Accounts")),
            ("a.b.internal", Some("a.b")),
            (".internal", Some("")),
            ("internal", None),
            ("accountsinternal", None),
            ("accounts.internal.example.com", None),
            ("accounts.internal..", None),
            ("é.internal", Some("é")),
            ("aé", None),
        ] {
            assert_eq!(service_of(host), service, "{host}");
        }
    }
}
