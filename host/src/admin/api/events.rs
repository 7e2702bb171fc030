//! What happened, and what happens.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use utoipa::{IntoParams, ToSchema};

use crate::admin::Admin;
use crate::admin::extract::Params;
use crate::admin::problem::Problem;
use crate::admin::stream::{event, last_seen, message};
use crate::service::exit::ExitRecord;
use crate::telemetry::events::{Event, Events};

/// Events that are given if nobody says how many.
const USUAL: usize = 100;

/// Events that somebody who begins to look on is given first.
const RECENT: usize = 50;

/// Which of them.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Only those of this service.
    service: Option<String>,
    /// At most so many.
    limit: Option<usize>,
}

/// How instances ended.
#[derive(Serialize, ToSchema)]
pub(super) struct Exits {
    /// Newest first.
    exits: Vec<ExitRecord>,
}

/// What happened.
#[derive(Serialize, ToSchema)]
pub(super) struct Happened {
    /// Oldest first.
    events: Vec<Arc<Event>>,
}

/// The last exits of instances, with the guests' backtraces.
#[utoipa::path(get, path = "/api/exits", tag = "events", params(Which), responses((status = 200, description = "The exits", body = Exits)))]
pub(super) async fn exits(
    State(admin): State<Arc<Admin>>,
    Params(which): Params<Which>,
) -> Json<Exits> {
    let exits = admin.ledger.exits.snapshot().into_iter();
    let of = |exit: &ExitRecord| {
        which
            .service
            .as_ref()
            .is_none_or(|name| *name == exit.service)
    };
    let exits = exits.filter(of).take(which.limit.unwrap_or(usize::MAX));
    Json(Exits {
        exits: exits.collect(),
    })
}

/// The last events.
#[utoipa::path(get, path = "/api/events", tag = "events", params(Which), responses((status = 200, description = "The events", body = Happened)))]
pub(super) async fn last(
    State(admin): State<Arc<Admin>>,
    Params(which): Params<Which>,
) -> Json<Happened> {
    let limit = which.limit.unwrap_or(USUAL).min(Events::KEPT);
    let events = admin.ledger.events.last(limit, which.service.as_deref());
    Json(Happened { events })
}

/// Events as they happen: messages `event`, after the last `limit` ones, or after the one that
/// `Last-Event-ID` names.
#[utoipa::path(get, path = "/api/events/stream", tag = "events", params(Which),
    responses((status = 200, description = "Messages `event`", content_type = "text/event-stream", body = String),
        (status = 503, description = "Too many streams are open")))]
pub(super) async fn follow(
    State(admin): State<Arc<Admin>>,
    Params(which): Params<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = which.limit.unwrap_or(0).min(Events::KEPT);
    let events = admin
        .ledger
        .events
        .follow(last_seen(&headers), limit, which.service.as_deref());
    admin.streams.send(events.map(|one| event(&one)))
}

/// All there is to look on: messages `services` once a second, and `event`.
#[utoipa::path(get, path = "/api/live", tag = "events",
    responses((status = 200, description = "Messages `services` and `event`", content_type = "text/event-stream", body = String),
        (status = 503, description = "Too many streams are open")))]
pub(super) async fn live(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let events = admin
        .ledger
        .events
        .follow(last_seen(&headers), RECENT, None);
    let sampler = admin.sampler.clone();
    let pictures = stream::unfold((sampler, None), async |(sampler, seconds)| {
        let mut seconds = match seconds {
            None => sampler.seconds(),
            Some(mut seconds) => {
                wait(&mut seconds).await;
                seconds
            }
        };
        seconds.mark_unchanged();
        let picture = message("services", &sampler.picture());
        Some((picture, (sampler, Some(seconds))))
    });
    let events = events.map(|one| event(&one));
    admin.streams.send(stream::select(pictures, events))
}

/// Until the next second is over. The sampler lives as long as the server does.
async fn wait(seconds: &mut tokio::sync::watch::Receiver<u64>) {
    if seconds.changed().await.is_err() {
        sleep(Duration::from_secs(1)).await;
    }
}
