//! What a request says, with problems that are told as all others.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The parameters of a query.
pub(super) struct Params<T>(pub(super) T);

/// A body of JSON; none at all is the default.
pub(super) struct Given<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let bad = |error: QueryRejection| Problem::new(StatusCode::BAD_REQUEST, error.body_text());
        let Query(params) = Query::from_request_parts(parts, state).await.map_err(bad)?;
        Ok(Self(params))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for Given<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let unread = |error: BytesRejection| Problem::new(error.status(), error.body_text());
        let body = Bytes::from_request(request, state).await.map_err(unread)?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        let given = serde_json::from_slice(&body);
        given.map(Self).map_err(|error| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                format!("the body is no such JSON: {error}"),
            )
        })
    }
}
