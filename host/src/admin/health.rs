//! For load balancers and Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Admin;
use super::problem::Problem;

/// The process is alive.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Every service that was there at the start is up or has been refused, and the server isn't
/// stopping.
pub(super) async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    if *admin.stopping.borrow() {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping").into_response()
    } else if *admin.ready.borrow() {
        "ready\n".into_response()
    } else {
        let detail = "services are still being started";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
    }
}

/// The metrics, as `OpenMetrics` text.
pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    for service in admin.catalog.load().values() {
        let (in_flight, queued, ready) = service.load();
        service.metrics.settle();
        service.metrics.in_flight.set(gauge(in_flight));
        service.metrics.queue.set(gauge(queued));
        service.metrics.instances.set(gauge(ready));
    }
    admin.ledger.metrics.keyvalue(admin.keyvalue.stats());
    let Ok(text) = admin.ledger.metrics.encode() else {
        let detail = "the metrics can't be written";
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response();
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([("content-type", kind)], text).into_response()
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
