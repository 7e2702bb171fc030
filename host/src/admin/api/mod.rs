//! The API's handlers, by what they are about.

mod deploys;
mod events;
mod host;
mod instances;
mod logs;
mod services;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Problem;
use super::{Admin, openapi};
use crate::config::ServiceName;
use crate::service::Service;

/// All of it, with its description.
pub(super) fn router() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::with_openapi(openapi::begin())
        .routes(routes!(host::host))
        .routes(routes!(host::config))
        .routes(routes!(services::list))
        .routes(routes!(services::one, deploys::deploy))
        .routes(routes!(services::manifest))
        .routes(routes!(services::history))
        .routes(routes!(instances::kill))
        .routes(routes!(instances::drain))
        .routes(routes!(deploys::releases))
        .routes(routes!(deploys::rollback))
        .routes(routes!(deploys::hold))
        .routes(routes!(deploys::resume))
        .routes(routes!(logs::last))
        .routes(routes!(logs::follow))
        .routes(routes!(events::exits))
        .routes(routes!(events::last))
        .routes(routes!(events::follow))
        .routes(routes!(events::live))
}

impl Admin {
    fn find(&self, name: &str) -> Result<Arc<Service>, Problem> {
        let service = self.catalog.load().get(name).cloned();
        service.ok_or_else(Problem::no_service)
    }
}

/// What can't be a service's name names no service.
fn name(text: &str) -> Result<ServiceName, Problem> {
    ServiceName::parse(text).map_err(|_| Problem::no_service())
}
