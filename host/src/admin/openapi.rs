//! The description of the API (`OpenAPI` 3.1): what the handlers say of themselves, and what holds for
//! all of them.

use axum::Json;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder, SecurityRequirement};
use utoipa::{OpenApi as _, ToSchema};

use super::problem::Problem;

/// What every request can meet.
const COMMON: [(&str, &str); 6] = [
    ("400", "The request makes no sense"),
    ("401", "The token is missing or wrong"),
    ("403", "A page of another origin asked"),
    ("404", "There is no such thing"),
    ("405", "Not with that method"),
    ("421", "The host is neither an address nor localhost"),
];

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Wharf's admin API",
        description = "What an operator sees and does. Times are seconds since 1970-01-01 UTC.",
        license(name = "Apache-2.0")
    ),
    components(schemas(Problem))
)]
struct Described;

/// The beginning of the description.
pub(super) fn begin() -> OpenApi {
    Described::openapi()
}

/// Adds what holds for all requests.
pub(super) fn complete(mut api: OpenApi) -> OpenApi {
    let name = "token";
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    if let Some(components) = &mut api.components {
        components.add_security_scheme(name, scheme);
    }
    api.security = Some(vec![SecurityRequirement::new(name, Vec::<String>::new())]);
    let problem = || Content::new(Some(Ref::from_schema_name(Problem::name())));
    for path in api.paths.paths.values_mut() {
        let operations = [
            &mut path.get,
            &mut path.put,
            &mut path.post,
            &mut path.delete,
        ];
        for operation in operations.into_iter().flatten() {
            let responses = &mut operation.responses.responses;
            for (status, what) in COMMON {
                responses
                    .entry(status.to_owned())
                    .or_insert_with(|| RefOr::T(ResponseBuilder::new().description(what).build()));
            }
            for (status, response) in responses
                .iter_mut()
                .filter(|(status, _)| !status.starts_with('2'))
            {
                let _ = status;
                if let RefOr::T(response) = response {
                    response
                        .content
                        .insert("application/problem+json".to_owned(), RefOr::T(problem()));
                }
            }
        }
    }
    api
}

/// The description itself.
pub(super) fn json(api: &OpenApi) -> Response {
    Json(api).into_response()
}
