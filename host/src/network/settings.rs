//! What the operator decides about the network, for the whole host, and what a guest may ask for
//! with one request.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

/// Limits, default timeouts and what belongs to the host itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The host's own listeners, with the ports that they really have. None of them is dialled for
    /// a guest unless a grant names that literal address and port. An unspecified address stands
    /// for all of the machine's.
    pub listeners: Vec<SocketAddr>,
    /// Certificate authorities beside the public ones.
    pub authorities: Vec<CertificateDer<'static>>,
    /// How long a guest waits for a connection unless it says otherwise, TLS included.
    pub connect: Duration,
    /// The longest wait for a connection, whatever a guest says.
    pub longest_connect: Duration,
    /// How long a name may take to be looked up, within the above.
    pub lookup: Duration,
    /// How long a guest waits for the response's head unless it says otherwise.
    pub first_byte: Duration,
    /// How long a guest waits for the next part of the response unless it says otherwise.
    pub between_bytes: Duration,
    /// How long a connection is kept that nobody uses. Servers commonly give up after a minute or
    /// so, and it's better to be the one who does.
    pub idle: Duration,
    /// How many such connections are kept for one scheme, host and port.
    pub idle_per_host: usize,
    /// How many connections may be open in one partition, idle ones included.
    pub connections: usize,
    /// The largest head of a response, in bytes; at least 8192.
    pub response_head: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            authorities: Vec::new(),
            connect: Duration::from_secs(10),
            longest_connect: Duration::from_mins(1),
            lookup: Duration::from_secs(5),
            first_byte: Duration::from_mins(1),
            between_bytes: Duration::from_mins(1),
            idle: Duration::from_secs(30),
            idle_per_host: 8,
            connections: 256,
            response_head: 64 * 1024,
        }
    }
}

/// How long a guest would wait; `None` for what [`Settings`] say. The three are those of
/// `request-options` in `wasi:http`. A limit for all of a request is the caller's: it drops the
/// future or the body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Option<Duration>,
    /// From then, or from when the peer last took a part of the request's body, to the response's
    /// head.
    pub first_byte: Option<Duration>,
    /// For the next part of the response's body.
    pub between_bytes: Option<Duration>,
}
