//! The services and how they are.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::admin::Admin;
use crate::admin::problem::Problem;
use crate::service::status::ServiceStatus;
use crate::telemetry::history::{INTERVAL, Point};

/// All services.
#[derive(Serialize, ToSchema)]
pub(super) struct Services {
    /// By name.
    services: Vec<ServiceStatus>,
}

/// What a service did in each of the last seconds.
#[derive(Serialize, ToSchema)]
pub(super) struct History {
    /// How long each point is, about.
    interval_seconds: f64,
    /// Oldest first.
    points: Vec<Point>,
}

/// All services, by name.
#[utoipa::path(get, path = "/api/services", tag = "services", responses((status = 200, description = "The services", body = Services)))]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<Services> {
    let services = admin.sampler.picture().services;
    Json(Services { services })
}

/// One service.
#[utoipa::path(get, path = "/api/services/{name}", tag = "services", params(("name" = String, Path, description = "The service")),
    responses((status = 200, description = "The service", body = ServiceStatus)))]
pub(super) async fn one(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<ServiceStatus>, Problem> {
    let service = admin.find(&name)?;
    Ok(Json(admin.sampler.status(&service)))
}

/// The manifest of the running release, with what nobody wrote. Of settings and environment variables
/// only the names are shown.
#[utoipa::path(get, path = "/api/services/{name}/manifest", tag = "services", params(("name" = String, Path, description = "The service")),
    responses((status = 200, description = "The manifest, by section", body = Object)))]
pub(super) async fn manifest(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let release = admin.find(&name)?.current();
    let release = release.ok_or_else(Problem::nothing_runs)?;
    Ok(Json(release.manifest.shown()))
}

/// What a service did in each of the last 120 seconds.
#[utoipa::path(get, path = "/api/services/{name}/history", tag = "services", params(("name" = String, Path, description = "The service")),
    responses((status = 200, description = "The seconds", body = History)))]
pub(super) async fn history(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<History>, Problem> {
    let service = admin.find(&name)?;
    Ok(Json(History {
        interval_seconds: INTERVAL.as_secs_f64(),
        points: admin.sampler.points(&service.name),
    }))
}
