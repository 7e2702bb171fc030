//! The fields that go along. A guest can't write a line break into a field, as `http` has no such
//! values; what is left is framing, which is the host's alone, and the fields that concern only one
//! connection (RFC 9110, 7.6.1), in which the guest has no part.

use http::header::{
    CONTENT_LENGTH, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Version};

use super::error::{Denial, NetworkError};
use crate::fields::strip_connection;

/// Between a client and its own proxy only.
const OF_A_PROXY: [HeaderName; 2] = [PROXY_AUTHENTICATE, PROXY_AUTHORIZATION];

/// Refuses what can't be meant, and drops from the rest what isn't the guest's to say. `length` is
/// that of the body, if it is known.
///
/// # Errors
///
/// The request is refused.
pub(super) fn clean_request(head: &mut Parts, length: Option<u64>) -> Result<(), NetworkError> {
    // Methods have cases, but not all servers know
    if head
        .method
        .as_str()
        .eq_ignore_ascii_case(Method::CONNECT.as_str())
    {
        return Err(Denial::Connect.into());
    }
    if head.headers.contains_key(UPGRADE) {
        return Err(Denial::Upgrade.into());
    }
    let codings = head.headers.get_all(TRANSFER_ENCODING);
    if codings
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(Denial::TransferCoding.into());
    }
    check_length(&head.headers, length)?;
    strip(&mut head.headers);
    // The pool sets it from the URI, which was checked
    head.headers.remove(HOST);
    let trailers = |te: &http::HeaderValue| te.as_bytes().eq_ignore_ascii_case(b"trailers");
    if !head.headers.get_all(TE).iter().all(trailers) {
        head.headers.remove(TE);
    }
    // Which one is spoken is for ALPN to say; hyper wants this one for either
    head.version = Version::HTTP_11;
    // Some extensions change what is sent
    head.extensions.clear();
    Ok(())
}

/// Drops what concerns only the connection to the peer, and refuses what came of switching
/// protocols.
///
/// # Errors
///
/// [`NetworkError::Upgraded`].
pub(super) fn clean_response(head: &mut http::response::Parts) -> Result<(), NetworkError> {
    if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
        return Err(NetworkError::Upgraded);
    }
    strip(&mut head.headers);
    head.extensions.clear();
    Ok(())
}

/// A field that says more than is sent would have the server take the next request on the
/// connection for the rest of this one.
fn check_length(headers: &HeaderMap, length: Option<u64>) -> Result<(), NetworkError> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else {
        return Ok(());
    };
    let declared = value
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|text| text.parse::<u64>().ok())
        .filter(|_| values.next().is_none())
        .ok_or(Denial::ContentLength)?;
    match length {
        Some(actual) if actual != declared => {
            Err(NetworkError::RequestBodySize { declared, actual })
        }
        _ => Ok(()),
    }
}

fn strip(headers: &mut HeaderMap) {
    // Framing stays as it was checked
    strip_connection(headers, &[TE, CONTENT_LENGTH]);
    for name in OF_A_PROXY {
        headers.remove(name);
    }
}
