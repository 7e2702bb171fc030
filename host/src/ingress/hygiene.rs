//! What RFC 9110 and RFC 9112 want refused and hyper lets pass.

use http::header::{HOST, HeaderValue, TE, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, StatusCode, Version};

use super::respond::Problem;
use crate::fields::strip_connection;

/// Checks a request's head, which may have `most` bytes, counted as its fields would be written. Returns
/// the host it is meant for: the target's own (RFC 9112, 3.2.2), else the `Host` field; `None` only for
/// HTTP/1.0.
///
/// # Errors
///
/// The answer that the client gets.
pub(super) fn check(head: &Parts, most: usize) -> Result<Option<Authority>, Problem> {
    let fields = Fields::of(&head.headers);
    let target = head.uri.path_and_query();
    if target.map_or(0, |target| target.as_str().len()) + fields.bytes > most {
        return Err(Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the request's head is too large",
        ));
    }
    if head.method == Method::CONNECT {
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "this server is no proxy",
        ));
    }
    if fields.strange_coding {
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "no transfer coding but chunked is spoken",
        ));
    }
    let host = fields.host()?;
    let target = head.uri.authority();
    if let (Some(target), Some(host)) = (target, &host)
        && head.version >= Version::HTTP_2
        && !target.as_str().eq_ignore_ascii_case(host.as_str())
    {
        return Err(Problem::bad_request(
            "the :authority and the Host of the request differ",
        ));
    }
    let authority = target.cloned().or(host);
    match &authority {
        Some(authority) if authority.as_str().contains('@') => {
            Err(Problem::bad_request("the Host must not name a user"))
        }
        None if head.version >= Version::HTTP_11 => {
            Err(Problem::bad_request("the request has no Host"))
        }
        _ => Ok(authority),
    }
}

/// What is to be known of a head's fields, found in one look at each.
#[derive(Default)]
struct Fields<'a> {
    bytes: usize,
    strange_coding: bool,
    host: Option<&'a HeaderValue>,
    more_hosts: bool,
}

impl<'a> Fields<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            fields.bytes += name.as_str().len() + value.len() + ": \r\n".len();
            if name == HOST {
                fields.more_hosts |= fields.host.replace(value).is_some();
            } else if name == TRANSFER_ENCODING {
                fields.strange_coding |= !value.as_bytes().eq_ignore_ascii_case(b"chunked");
            }
        }
        fields
    }

    fn host(&self) -> Result<Option<Authority>, Problem> {
        if self.more_hosts {
            return Err(Problem::bad_request("the request has more than one Host"));
        }
        match self.host {
            Some(host) if !host.is_empty() => Authority::try_from(host.as_bytes())
                .map(Some)
                .map_err(|_| Problem::bad_request("the Host is not valid")),
            _ => Ok(None),
        }
    }
}

/// Removes the fields that concern only this connection. TE stays: it tells the guest that trailers are
/// welcome.
pub(super) fn strip_connection_fields(headers: &mut HeaderMap) {
    strip_connection(headers, &[TE, HOST]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use http::header::{CONNECTION, HeaderName};

    fn head(version: Version, uri: &str, hosts: &[&str]) -> Parts {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn host_of(version: Version, uri: &str, hosts: &[&str]) -> Result<Option<String>, StatusCode> {
        check(&head(version, uri, hosts), 1000)
            .map(|a| a.map(|a| a.to_string()))
            .map_err(|problem| problem.status)
    }

    #[test]
    fn exactly_one_valid_host_is_wanted() {
        let bad = Err(StatusCode::BAD_REQUEST);
        assert_eq!(
            host_of(Version::HTTP_11, "/", &["a.example"]),
            Ok(Some("a.example".into()))
        );
        assert_eq!(
            host_of(Version::HTTP_11, "/", &["a.example:8080"]),
            Ok(Some("a.example:8080".into()))
        );
        assert_eq!(host_of(Version::HTTP_11, "/", &[]), bad);
        assert_eq!(host_of(Version::HTTP_11, "/", &["a", "b"]), bad);
        assert_eq!(host_of(Version::HTTP_11, "/", &["a b"]), bad);
        assert_eq!(host_of(Version::HTTP_11, "/", &["user@a"]), bad);
        assert_eq!(host_of(Version::HTTP_10, "/", &[]), Ok(None));
    }

    #[test]
    fn an_absolute_target_wins_and_in_http2_must_agree() {
        assert_eq!(
            host_of(Version::HTTP_11, "http://b.example/", &["a.example"]),
            Ok(Some("b.example".into()))
        );
        assert_eq!(
            host_of(Version::HTTP_2, "http://b.example/", &[]),
            Ok(Some("b.example".into()))
        );
        assert_eq!(
            host_of(Version::HTTP_2, "http://b.example/", &["a.example"]),
            Err(StatusCode::BAD_REQUEST)
        );
    }

    #[test]
    fn fields_of_the_connection_do_not_reach_the_guest() {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, "close, X-Secret-Hop".parse().unwrap());
        headers.insert("x-secret-hop", "1".parse().unwrap());
        headers.insert("keep-alive", "1".parse().unwrap());
        headers.insert("x-kept", "1".parse().unwrap());
        strip_connection_fields(&mut headers);
        assert_eq!(
            headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["x-kept"]
        );
    }
}
