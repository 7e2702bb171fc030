//! What an operator does to instances.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::admin::Admin;
use crate::admin::problem::Problem;
use crate::service::Service;
use crate::service::exit::InstanceId;
use crate::telemetry::events::{Event, Kind};

/// Kills an instance. It is replaced, and what it was working on is run again where that is safe.
#[utoipa::path(delete, path = "/api/services/{name}/instances/{id}", tag = "instances",
    params(("name" = String, Path, description = "The service"), ("id" = String, Path, description = "The instance")),
    responses((status = 204, description = "It is dead")))]
pub(super) async fn kill(
    State(admin): State<Arc<Admin>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let service = admin.find(&name)?;
    let number = instance(&service, &id)?;
    for release in service.releases() {
        if release.supervisor.kill(number).await {
            admin.tell(&service, number, "an operator killed an instance");
            return Ok(StatusCode::NO_CONTENT);
        }
    }
    Err(no_instance(&service, &id))
}

/// Takes an instance out of use: it finishes what it has, and is replaced.
#[utoipa::path(post, path = "/api/services/{name}/instances/{id}/drain", tag = "instances",
    params(("name" = String, Path, description = "The service"), ("id" = String, Path, description = "The instance")),
    responses((status = 204, description = "It takes no more requests")))]
pub(super) async fn drain(
    State(admin): State<Arc<Admin>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let service = admin.find(&name)?;
    let number = instance(&service, &id)?;
    if service
        .releases()
        .any(|release| release.pool.retire(number))
    {
        admin.tell(&service, number, "an operator drains an instance");
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(no_instance(&service, &id))
}

fn instance(service: &Service, id: &str) -> Result<InstanceId, Problem> {
    let number = id.parse().map(InstanceId);
    number.map_err(|_| no_instance(service, id))
}

fn no_instance(service: &Service, id: &str) -> Problem {
    let name = &service.name;
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("{name} has no instance {id:?}"),
    )
}

impl Admin {
    fn tell(&self, service: &Service, instance: InstanceId, what: &str) {
        let event = Event::of(Kind::Operator)
            .service(&service.name)
            .instance(instance);
        self.ledger.events.tell(event.say(what));
    }
}
