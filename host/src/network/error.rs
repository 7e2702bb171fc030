//! Why a guest's request, or the rest of its response, didn't come through. Each variant stands for
//! one case of `error-code` in `wasi:http`, named where it isn't plain. The guest learns the case
//! and no more; the text is for the operator, since it may tell of addresses in the house.

use std::net::SocketAddr;

/// See the module. Cheap to clone, as one failed connection may fail several requests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// `HTTP-request-denied`.
    #[error("the request is not allowed: {0}")]
    Denied(#[from] Denial),
    /// `HTTP-request-URI-invalid`.
    #[error("the request's URI is not valid: {0}")]
    UriInvalid(String),
    /// `HTTP-request-body-size`: `Content-Length` isn't the length of the body.
    #[error("Content-Length says {declared} and the body has {actual} bytes")]
    RequestBodySize {
        /// What the field says.
        declared: u64,
        /// What would have been sent.
        actual: u64,
    },
    /// `internal-error`: the guest's own body broke off.
    #[error("the request's body broke off: {0}")]
    RequestBody(String),
    /// `DNS-timeout`.
    #[error("looking the name up took too long")]
    DnsTimeout,
    /// `DNS-error`, without a code: the system's resolver has none.
    #[error("the name can't be looked up: {0}")]
    Dns(String),
    /// `destination-not-found`: the name has no addresses.
    #[error("the name has no addresses")]
    DestinationNotFound,
    /// `destination-unavailable`.
    #[error("the destination is unavailable: {0}")]
    DestinationUnavailable(String),
    /// `destination-IP-prohibited`. Every address of the name was refused; this is the first.
    #[error("{address} {why}; only a grant for that very address and port would allow it")]
    IpProhibited {
        /// What would have been dialled.
        address: SocketAddr,
        /// What is wrong with it.
        why: &'static str,
    },
    /// `destination-IP-unroutable`.
    #[error("there is no way to the destination's address")]
    IpUnroutable,
    /// `connection-refused`.
    #[error("the connection was refused")]
    ConnectionRefused,
    /// `connection-terminated`.
    #[error("the connection broke off")]
    ConnectionTerminated,
    /// `connection-timeout`: no connection in time, TLS included.
    #[error("connecting took too long")]
    ConnectionTimeout,
    /// `connection-read-timeout`: the peer didn't answer, or stopped amid its answer.
    #[error("the peer sent nothing for too long")]
    ReadTimeout,
    /// `connection-write-timeout`: the peer stopped taking the request's body.
    #[error("the peer took nothing of the request's body for too long")]
    WriteTimeout,
    /// `connection-limit-reached`.
    #[error("too many connections are open")]
    ConnectionLimit,
    /// `TLS-protocol-error`.
    #[error("TLS failed: {0}")]
    TlsProtocol(String),
    /// `TLS-certificate-error`.
    #[error("the peer's certificate is not accepted: {0}")]
    TlsCertificate(String),
    /// `TLS-alert-received`.
    #[error("the peer ended TLS: {message} ({id})")]
    TlsAlert {
        /// The number in RFC 8446, 6.
        id: u8,
        /// Its name.
        message: String,
    },
    /// `HTTP-response-incomplete`: the peer stopped within the body.
    #[error("the response broke off")]
    ResponseIncomplete,
    /// `HTTP-response-header-section-size`.
    #[error("the response's head is too large")]
    ResponseHead,
    /// `HTTP-upgrade-failed`: the peer switched protocols, for which it wasn't asked.
    #[error("the peer switched protocols unasked")]
    Upgraded,
    /// `HTTP-protocol-error`.
    #[error("the peer doesn't speak HTTP as it should: {0}")]
    Protocol(String),
    /// `internal-error`.
    #[error("{0}")]
    Internal(String),
}

/// Which rule a request broke before anything was dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// No grant names this origin.
    #[error("{origin} is not granted")]
    NotGranted {
        /// As it would stand in a grant.
        origin: String,
    },
    /// `CONNECT` would make a tunnel, through which anything goes.
    #[error("the method CONNECT")]
    Connect,
    /// Another protocol would not be what was granted.
    #[error("an upgrade to another protocol")]
    Upgrade,
    /// The host frames the body itself and can't do so in another coding than `chunked`.
    #[error("a transfer coding other than chunked")]
    TransferCoding,
    /// Servers differ on which `Content-Length` they believe.
    #[error("more than one Content-Length, or one that is no number")]
    ContentLength,
}

/// Settings with which there can be no [`Network`](super::Network).
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// One of the additional certificate authorities.
    #[error("a certificate authority can't be used: {0}")]
    Authority(String),
    /// Anything else about TLS.
    #[error("TLS can't be set up: {0}")]
    Tls(String),
}
