//! Releases: what there are, and what an operator does with them.

use std::sync::Arc;

use axum::Json;
use axum::extract::multipart::MultipartError;
use axum::extract::{FromRequest as _, Multipart, Path, Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::name;
use crate::admin::Admin;
use crate::admin::extract::Given;
use crate::admin::problem::Problem;
use crate::deploy::operator::Outcome;
use crate::deploy::releases::{Record, State as Stage};
use crate::service::exit::unix_seconds;
use crate::service::status::ServiceStatus;

/// A release that is kept.
#[derive(Serialize, ToSchema)]
pub(super) struct Release {
    /// Its number.
    revision: u64,
    /// SHA-256 of the component, as hex.
    digest: String,
    /// SHA-256 of the manifest, if there was one.
    manifest_digest: Option<String>,
    /// Of the component.
    size_bytes: u64,
    /// When it was last accepted, in seconds since 1970-01-01 UTC.
    accepted_at: f64,
    /// What became of it.
    #[schema(value_type = String, example = "live")]
    state: Stage,
    /// Why it has that state, for people.
    note: Option<String>,
}

/// The releases of a service.
#[derive(Serialize, ToSchema)]
pub(super) struct Releases {
    /// Newest first.
    releases: Vec<Release>,
}

/// Which release to go back to.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    /// A revision, or at least 6 digits of a digest; without it, the release before the running one.
    release: Option<String>,
}

/// What is sent to be deployed.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "it describes the form, which is read field by field"
)]
pub(super) struct Upload {
    /// The component's file.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    component: Vec<u8>,
    /// The manifest's text; without it the present one stays.
    manifest: Option<String>,
}

impl From<Record> for Release {
    fn from(record: Record) -> Self {
        Self {
            revision: record.revision,
            digest: record.content.component.to_string(),
            manifest_digest: record.content.manifest.map(|digest| digest.to_string()),
            size_bytes: record.size_bytes,
            accepted_at: unix_seconds(record.accepted_at),
            state: record.state,
            note: record.note,
        }
    }
}

/// The releases of a service that are kept.
#[utoipa::path(get, path = "/api/services/{name}/releases", tag = "releases", params(("name" = String, Path, description = "The service")),
    responses((status = 200, description = "The releases", body = Releases), (status = 503, description = "This server keeps none")))]
pub(super) async fn releases(
    State(admin): State<Arc<Admin>>,
    Path(text): Path<String>,
) -> Result<Json<Releases>, Problem> {
    let name = name(&text)?;
    let records = admin.operator.archive().list(&name);
    let unavailable =
        |error: anyhow::Error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}"));
    let records = records.map_err(unavailable)?;
    if records.is_empty() {
        admin.find(&text)?;
    }
    let releases = records.into_iter().map(Release::from).collect();
    Ok(Json(Releases { releases }))
}

/// Deploys a component, and its manifest: both are laid into the services directory, and the answer
/// comes when they are live or refused.
#[utoipa::path(put, path = "/api/services/{name}", tag = "releases", params(("name" = String, Path, description = "The service")),
    request_body(content = Upload, content_type = "multipart/form-data"),
    responses((status = 200, description = "It is live, or a canary", body = Outcome),
        (status = 409, description = "It is held, or another took its place"),
        (status = 413, description = "It is larger than this server takes"),
        (status = 415, description = "It is no form"),
        (status = 422, description = "It is refused; what was served before still is"),
        (status = 503, description = "The services directory can't be written to, or the server is stopping")))]
pub(super) async fn deploy(
    State(admin): State<Arc<Admin>>,
    Path(text): Path<String>,
    request: Request,
) -> Result<Json<Outcome>, Problem> {
    let name = name(&text).map_err(|_| {
        let detail =
            format!("{text:?} can't be a service's name: lower-case letters, digits and hyphens");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    })?;
    let form = Multipart::from_request(request, &admin).await;
    let form =
        form.map_err(|error| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error.body_text()))?;
    let (component, manifest) = read(form).await?;
    Ok(Json(
        admin.operator.deploy(&name, component, manifest).await?,
    ))
}

/// Reads a form: the component, and the manifest if there is one.
async fn read(mut form: Multipart) -> Result<(Vec<u8>, Option<String>), Problem> {
    let bad = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, detail);
    let broken = |error: MultipartError| Problem::new(error.status(), error.body_text());
    let (mut component, mut manifest) = (None, None);
    while let Some(field) = form.next_field().await.map_err(broken)? {
        match field.name() {
            Some("component") => component = Some(field.bytes().await.map_err(broken)?.to_vec()),
            Some("manifest") => manifest = Some(field.text().await.map_err(broken)?),
            _ => return Err(bad("the form's fields are: component, manifest")),
        }
    }
    let component =
        component.ok_or_else(|| bad("the form has no field \"component\", the file"))?;
    Ok((component, manifest))
}

/// Goes back to a release that is kept. The services directory stays as it is; the next file that is
/// put there is taken as usual.
#[utoipa::path(post, path = "/api/services/{name}/rollback", tag = "releases", params(("name" = String, Path, description = "The service")),
    request_body(content = Rollback),
    responses((status = 200, description = "It is live", body = Outcome),
        (status = 409, description = "Another release is on its way"),
        (status = 413, description = "The body is too large"),
        (status = 422, description = "The release can't be run any more"),
        (status = 503, description = "The server is stopping")))]
pub(super) async fn rollback(
    State(admin): State<Arc<Admin>>,
    Path(text): Path<String>,
    Given(body): Given<Rollback>,
) -> Result<Json<Outcome>, Problem> {
    let name = name(&text)?;
    Ok(Json(admin.operator.roll_back(&name, body.release).await?))
}

/// Takes no new release of a service until it is resumed.
#[utoipa::path(post, path = "/api/services/{name}/hold", tag = "releases", params(("name" = String, Path, description = "The service")),
    responses((status = 200, description = "The service", body = ServiceStatus),
        (status = 503, description = "The server is stopping")))]
pub(super) async fn hold(
    State(admin): State<Arc<Admin>>,
    Path(text): Path<String>,
) -> Result<Json<ServiceStatus>, Problem> {
    admin.operator.hold(&name(&text)?).await?;
    Ok(Json(admin.sampler.status(&*admin.find(&text)?)))
}

/// Takes releases of a service again, and first the one that is held, as it is.
#[utoipa::path(post, path = "/api/services/{name}/resume", tag = "releases", params(("name" = String, Path, description = "The service")),
    responses((status = 200, description = "The service", body = ServiceStatus),
        (status = 409, description = "Another release is on its way"),
        (status = 422, description = "What was held can't be taken"),
        (status = 503, description = "The server is stopping")))]
pub(super) async fn resume(
    State(admin): State<Arc<Admin>>,
    Path(text): Path<String>,
) -> Result<Json<ServiceStatus>, Problem> {
    admin.operator.resume(&name(&text)?).await?;
    Ok(Json(admin.sampler.status(&*admin.find(&text)?)))
}
