//! Header fields that concern only one connection, which neither a guest nor its peer has a part in
//! (RFC 9110, 7.6.1).

use http::header::{CONNECTION, HeaderMap, HeaderName, TRANSFER_ENCODING, UPGRADE};

/// Those that are known, beside what `Connection` names.
const OF_THE_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// Removes them, and those that `Connection` names but for `kept`.
pub fn strip_connection(headers: &mut HeaderMap, kept: &[HeaderName]) {
    if !headers.keys().any(|name| OF_THE_CONNECTION.contains(name)) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| !kept.contains(name))
        .collect();
    for name in named.iter().chain(&OF_THE_CONNECTION) {
        headers.remove(name);
    }
}
