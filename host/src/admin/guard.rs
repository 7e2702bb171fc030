//! Who may ask: neither a page that has rebound a name, nor one of another origin, nor anybody without
//! the token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Admin;
use super::problem::Problem;

/// Refuses names that could be rebound.
pub(super) async fn host(request: Request, next: Next) -> Response {
    if hosts(&request).all(is_local) {
        return next.run(request).await;
    }
    let detail = "the admin listener is reached by address or as localhost only";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response()
}

/// Refuses what a page of another origin asks for.
pub(super) async fn origin(request: Request, next: Next) -> Response {
    if origin_is_own(request.headers().get(ORIGIN), hosts(&request)) {
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

/// Whom a request is for: `Host`, or `:authority` in HTTP/2.
fn hosts(request: &Request) -> impl Iterator<Item = &[u8]> {
    let named = request.headers().get_all(HOST).iter();
    let authority = request.uri().authority();
    let authority = authority.map(|authority| authority.as_str().as_bytes());
    named.map(HeaderValue::as_bytes).chain(authority)
}

/// An address or `localhost` can't be rebound; any other name could be.
fn is_local(host: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(host) else {
        return false;
    };
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

/// Programs say no origin; the dashboard's is the host that it asks.
fn origin_is_own<'a>(
    origin: Option<&HeaderValue>,
    mut hosts: impl Iterator<Item = &'a [u8]>,
) -> bool {
    let Some(origin) = origin else {
        return true;
    };
    let origin = Uri::try_from(origin.as_bytes()).ok();
    let origin = origin.filter(|origin| {
        let scheme = origin.scheme();
        scheme == Some(&Scheme::HTTP) || scheme == Some(&Scheme::HTTPS)
    });
    let origin = origin.as_ref().and_then(Uri::authority);
    let origin = origin.map(|origin| origin.as_str().as_bytes());
    origin
        .zip(hosts.next())
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
        for good in [
            "127.0.0.1:9090",
            "localhost",
            "LOCALHOST:1",
            "[::1]:9090",
            "10.0.0.1",
        ] {
            assert!(is_local(good.as_bytes()), "{good}");
        }
        for bad in [
            "evil.example:9090",
            "localhost.evil.example",
            "127.0.0.1.nip.example",
            "",
        ] {
            assert!(!is_local(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn all_that_a_request_says_it_is_for_counts() {
        let all_local = |uri: &str, fields: &[&str]| {
            let mut request = axum::http::Request::get(uri);
            for host in fields {
                request = request.header(HOST, *host);
            }
            let request = request.body(axum::body::Body::empty()).unwrap();
            hosts(&request).all(is_local)
        };
        assert!(all_local("/", &["localhost"]));
        assert!(all_local("http://127.0.0.1:9090/", &[]));
        assert!(!all_local("http://evil.example/", &[]), "as in HTTP/2");
        assert!(!all_local("http://evil.example/", &["localhost"]));
        assert!(!all_local("/", &["localhost", "evil.example"]));
    }

    #[test]
    fn only_the_dashboards_own_origin_is_taken() {
        let host = || std::iter::once(&b"127.0.0.1:9090"[..]);
        let own = |origin: &str| origin_is_own(Some(&origin.parse().unwrap()), host());
        assert!(own("http://127.0.0.1:9090"));
        for bad in [
            "http://evil.example",
            "http://127.0.0.1:8080",
            "null",
            "ftp://127.0.0.1:9090",
            "http://localhost:9090",
        ] {
            assert!(!own(bad), "{bad}");
        }
        assert!(origin_is_own(None, host()));
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
