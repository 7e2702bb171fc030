//! The operator's listener: health, metrics, the API and the dashboard.
//!
//! It is meant for loopback. Requests whose `Host` is neither an address nor `localhost` are refused,
//! and those that a page of another origin makes ([`guard`]); all of the API needs the [`token`], which
//! lies in the data directory. Its description is made from its handlers ([`openapi`]).

mod api;
mod dashboard;
mod extract;
mod guard;
mod health;
mod openapi;
mod problem;
mod stream;
pub mod token;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tracing::error;

use self::problem::Problem;
use self::token::Token;
use crate::config::Config;
use crate::deploy::operator::Operator;
use crate::keyvalue::Store as KeyValueStore;
use crate::service::{Catalog, Ledger};
use crate::telemetry::sampler::Sampler;

/// Streams of events, logs and live data that may be open at the same time.
const STREAMS: usize = 256;

/// What an upload has besides the component: the manifest, and the framing of the form.
const FORM: usize = 4 << 20;

/// What the handlers read, and whom they ask.
pub struct Admin {
    /// The services.
    pub catalog: Arc<Catalog>,
    /// What happened.
    pub ledger: Arc<Ledger>,
    /// What the guests keep.
    pub keyvalue: Arc<dyn KeyValueStore>,
    /// Who deploys.
    pub operator: Operator,
    /// What happened second by second.
    pub sampler: Sampler,
    /// The server's settings.
    pub config: Config,
    /// What the API asks for.
    pub token: Token,
    /// Where it listens for clients, and here.
    pub addresses: [SocketAddr; 2],
    /// When the process started to serve.
    pub started: SystemTime,
    /// Every service that was there at the start is up or refused.
    pub ready: watch::Receiver<bool>,
    /// The server is stopping.
    pub stopping: watch::Receiver<bool>,
    /// Places for streams.
    pub streams: Streams,
}

/// Places for streams that stay open.
#[derive(Clone)]
pub struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS)))
    }
}

impl Admin {
    /// Serves until the future is dropped.
    pub async fn serve(self, listener: TcpListener) {
        if let Err(error) = axum::serve(listener, self.router()).await {
            error!(%error, "the admin listener failed");
        }
    }

    fn router(self) -> Router {
        let most = self.config.deploy.max_component_size.saturating_add(FORM);
        let admin = Arc::new(self);
        let (api, description) = api::router().split_for_parts();
        let description = openapi::complete(description);
        api.layer(from_fn_with_state(Arc::clone(&admin), guard::token))
            .route(
                "/api/openapi.json",
                get(async move || openapi::json(&description)),
            )
            .route("/healthz", get(health::healthz))
            .route("/readyz", get(health::readyz))
            .route("/metrics", get(health::metrics))
            .merge(dashboard::router())
            .fallback(async || no_page().into_response())
            .method_not_allowed_fallback(async || {
                let detail = "this page doesn't take that method";
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response()
            })
            .layer(DefaultBodyLimit::max(most))
            .layer(from_fn(guard::origin))
            .layer(from_fn(guard::host))
            .with_state(admin)
    }
}

fn no_page() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "there is no such page; the API is described at /api/openapi.json",
    )
}
