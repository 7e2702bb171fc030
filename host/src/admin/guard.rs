//! Who may ask: neither a page that has rebound a name, nor one of another origin, nor anybody without
//! the token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Admin;
use super::problem::Problem;

/// Refuses names that could be rebound.
pub(super) async fn host(request: Request, next: Next) -> Response {
    if host_is_local(request.headers()) {
        return next.run(request).await;
    }
    let detail = "the admin listener is reached by address or as localhost only";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response()
}

/// Refuses what a page of another origin asks for.
pub(super) async fn origin(request: Request, next: Next) -> Response {
    if origin_is_own(request.headers()) {
        return next.run(request).await;
    }
    let detail = "pages of other origins can't use the admin listener";
    Problem::new(StatusCode::FORBIDDEN, detail).into_response()
}

/// Refuses who hasn't the token.
pub(super) async fn token(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Response {
    if bearer(request.headers()).is_some_and(|token| admin.token.is(token)) {
        return next.run(request).await;
    }
    let detail = "the API needs the token that is in admin.token in the server's data directory, as \
                  Authorization: Bearer TOKEN";
    Problem::new(StatusCode::UNAUTHORIZED, detail).into_response()
}

/// An address or `localhost` can't be rebound; any other name could be.
fn host_is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else {
        return true;
    };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else {
        return false;
    };
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

/// Programs say no origin; the dashboard's is the host that it asks.
fn origin_is_own(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let origin = Uri::try_from(origin.as_bytes()).ok();
    let origin = origin
        .as_ref()
        .and_then(Uri::authority)
        .map(Authority::as_str);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    origin
        .zip(host)
        .is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host))
}

/// The token of RFC 6750, 2.1.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers<const N: usize>(fields: [(axum::http::HeaderName, &str); N]) -> HeaderMap {
        fields
            .map(|(name, value)| (name, value.parse().unwrap()))
            .into_iter()
            .collect()
    }

    #[test]
    fn a_name_that_could_be_rebound_is_refused() {
        let local = |host: &str| host_is_local(&headers([(HOST, host)]));
        for good in [
            "127.0.0.1:9090",
            "localhost",
            "LOCALHOST:1",
            "[::1]:9090",
            "10.0.0.1",
        ] {
            assert!(local(good), "{good}");
        }
        for bad in [
            "evil.example:9090",
            "localhost.evil.example",
            "127.0.0.1.nip.example",
            "",
        ] {
            assert!(!local(bad), "{bad}");
        }
    }

    #[test]
    fn only_the_dashboards_own_origin_is_taken() {
        let own =
            |origin: &str| origin_is_own(&headers([(HOST, "127.0.0.1:9090"), (ORIGIN, origin)]));
        assert!(own("http://127.0.0.1:9090"));
        for bad in [
            "http://evil.example",
            "http://127.0.0.1:8080",
            "null",
            "http://localhost:9090",
        ] {
            assert!(!own(bad), "{bad}");
        }
        assert!(origin_is_own(&headers([(HOST, "127.0.0.1:9090")])));
    }

    #[test]
    fn a_token_is_a_bearers() {
        let of = |value: &str| bearer(&headers([(AUTHORIZATION, value)])).map(str::to_owned);
        assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(of("bearer abc").as_deref(), Some("abc"));
        assert_eq!(of("Basic abc"), None);
        assert_eq!(of("abc"), None);
    }
}
