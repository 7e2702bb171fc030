//! The state of the services, as JSON.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tracing::info;

use super::{Admin, problem};
use crate::service::exit::InstanceId;

/// All services, by name.
pub(super) async fn services(State(admin): State<Arc<Admin>>) -> Response {
    let services: Vec<_> = admin
        .catalog
        .load()
        .values()
        .map(|service| service.status())
        .collect();
    Json(json!({ "services": services })).into_response()
}

/// One service.
pub(super) async fn service(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Response {
    match admin.catalog.load().get(name.as_str()) {
        Some(service) => Json(service.status()).into_response(),
        None => problem(StatusCode::NOT_FOUND, "there is no service of that name"),
    }
}

/// Ends one instance at once; the supervisor starts another.
pub(super) async fn kill(
    State(admin): State<Arc<Admin>>,
    Path((name, id)): Path<(String, u64)>,
) -> Response {
    let service = admin.catalog.load().get(name.as_str()).cloned();
    let Some(release) = service.and_then(|service| service.current()) else {
        return problem(
            StatusCode::NOT_FOUND,
            "there is no service of that name that runs",
        );
    };
    if release.supervisor.kill(InstanceId(id)).await {
        info!(
            service = name,
            instance = id,
            "an operator killed an instance"
        );
        StatusCode::NO_CONTENT.into_response()
    } else {
        problem(
            StatusCode::NOT_FOUND,
            "the service has no instance of that id",
        )
    }
}

/// The last exits of all services, newest first.
pub(super) async fn exits(State(admin): State<Arc<Admin>>) -> Response {
    Json(json!({ "exits": admin.ledger.exits.snapshot() })).into_response()
}
