//! The operator's listener: health, metrics, and the state of every service as JSON.
//!
//! It is meant for loopback. Requests whose `Host` is neither an address nor `localhost` are
//! refused, so that a web page can't reach it by rebinding a name; what changes something needs a
//! method that browsers don't send across origins without asking.

mod api;
mod health;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::error;

use crate::keyvalue::Store as KeyValueStore;
use crate::service::{Catalog, Ledger};

/// What the handlers read.
pub struct Admin {
    catalog: Arc<Catalog>,
    ledger: Arc<Ledger>,
    keyvalue: Arc<dyn KeyValueStore>,
    ready: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
}

impl Admin {
    /// An admin API over these.
    pub fn new(
        catalog: Arc<Catalog>,
        ledger: Arc<Ledger>,
        keyvalue: Arc<dyn KeyValueStore>,
        ready: watch::Receiver<bool>,
        stopping: watch::Receiver<bool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            catalog,
            ledger,
            keyvalue,
            ready,
            stopping,
        })
    }

    /// Serves until the future is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let router = Router::new()
            .route("/healthz", get(health::healthz))
            .route("/readyz", get(health::readyz))
            .route("/metrics", get(health::metrics))
            .route("/api/services", get(api::services))
            .route("/api/services/{name}", get(api::service))
            .route("/api/services/{name}/instances/{id}", delete(api::kill))
            .route("/api/exits", get(api::exits))
            .fallback(async || {
                problem(
                    StatusCode::NOT_FOUND,
                    "there is no such page; try /api/services",
                )
            })
            .method_not_allowed_fallback(async || {
                problem(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "this page doesn't take that method",
                )
            })
            .layer(from_fn(check_host))
            .with_state(self);
        if let Err(error) = axum::serve(listener, router).await {
            error!(%error, "the admin listener failed");
        }
    }
}

async fn check_host(request: Request, next: Next) -> Response {
    if host_is_local(request.headers()) {
        next.run(request).await
    } else {
        problem(
            StatusCode::MISDIRECTED_REQUEST,
            "the admin API is reached by address or as localhost only",
        )
    }
}

/// An address or `localhost` can't be rebound; any other name could be.
fn host_is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else {
        return true;
    };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else {
        return false;
    };
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok()
}

/// A failure as problem details (RFC 9457).
fn problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let details = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    (
        status,
        [("content-type", "application/problem+json")],
        details.to_string(),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_rebound_is_refused() {
        let local =
            |host: &str| host_is_local(&HeaderMap::from_iter([(HOST, host.parse().unwrap())]));
        for good in [
            "127.0.0.1:9090",
            "localhost",
            "LOCALHOST:1",
            "[::1]:9090",
            "10.0.0.1",
        ] {
            assert!(local(good), "{good}");
        }
        for bad in [
            "evil.example:9090",
            "localhost.evil.example",
            "127.0.0.1.nip.example",
            "",
        ] {
            assert!(!local(bad), "{bad}");
        }
    }
}
