//! The server itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::admin::Admin;
use crate::service::exit::unix_seconds;

/// The server.
#[derive(Serialize, ToSchema)]
pub(super) struct Host {
    /// Wharf's version.
    version: &'static str,
    /// The version of wasmtime that it runs guests with.
    wasmtime: &'static str,
    /// When it began to serve, in seconds since 1970-01-01 UTC.
    started_at: f64,
    /// Its process.
    pid: u32,
    /// Processors that it may use.
    cores: usize,
    /// Where clients connect.
    listen: String,
    /// Where operators connect.
    admin: String,
    /// Where files are deployed from.
    services_directory: String,
    /// Where state is kept.
    data_directory: String,
    /// Every service that was there at the start is up or refused.
    ready: bool,
    /// It finishes what it has, and takes no more.
    stopping: bool,
}

/// The server.
#[utoipa::path(get, path = "/api/host", tag = "host", responses((status = 200, description = "The server", body = Host)))]
pub(super) async fn host(State(admin): State<Arc<Admin>>) -> Json<Host> {
    let [listen, operators] = admin.addresses;
    Json(Host {
        version: env!("CARGO_PKG_VERSION"),
        wasmtime: crate::wasm::VERSION,
        started_at: unix_seconds(admin.started),
        pid: std::process::id(),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        listen: listen.to_string(),
        admin: operators.to_string(),
        services_directory: admin.config.services.display().to_string(),
        data_directory: admin.config.data.display().to_string(),
        ready: *admin.ready.borrow(),
        stopping: *admin.stopping.borrow(),
    })
}

/// The settings that hold, those that nobody wrote included, as `wharf.toml` would have them.
#[utoipa::path(get, path = "/api/config", tag = "host", responses((status = 200, description = "The settings, by section", body = Object)))]
pub(super) async fn config(State(admin): State<Arc<Admin>>) -> Json<Value> {
    Json(admin.config.shown())
}
