//! What guests wrote.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::admin::Admin;
use crate::admin::extract::Params;
use crate::admin::problem::Problem;
use crate::admin::stream::message;
use crate::telemetry::logbook::{LogLine, Pages};

/// Lines that are given if nobody says how many.
const USUAL: usize = 100;

/// How many.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct HowMany {
    /// At most so many.
    lines: Option<usize>,
}

/// What guests wrote.
#[derive(Serialize, ToSchema)]
pub(super) struct Written {
    /// Oldest first.
    lines: Vec<Arc<LogLine>>,
}

impl HowMany {
    fn lines(&self) -> usize {
        self.lines.unwrap_or(USUAL).min(Pages::LINES)
    }
}

/// The last lines that a service's instances wrote.
#[utoipa::path(get, path = "/api/services/{name}/logs", tag = "logs", params(("name" = String, Path, description = "The service"), HowMany),
    responses((status = 200, description = "The lines", body = Written)))]
pub(super) async fn last(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    Params(many): Params<HowMany>,
) -> Result<Json<Written>, Problem> {
    let service = admin.find(&name)?;
    let pages = admin.ledger.logbook.open(&service.name);
    Ok(Json(Written {
        lines: pages.last(many.lines()),
    }))
}

/// Lines as they are written: messages `line`, after the last ones.
#[utoipa::path(get, path = "/api/services/{name}/logs/stream", tag = "logs", params(("name" = String, Path, description = "The service"), HowMany),
    responses((status = 200, description = "Messages `line`", content_type = "text/event-stream", body = String),
        (status = 503, description = "Too many streams are open")))]
pub(super) async fn follow(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    Params(many): Params<HowMany>,
) -> Result<Response, Problem> {
    let service = admin.find(&name)?;
    let lines = admin
        .ledger
        .logbook
        .open(&service.name)
        .follow(many.lines());
    admin
        .streams
        .send(lines.map(|line| message("line", &*line)))
}
