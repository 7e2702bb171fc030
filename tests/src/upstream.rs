//! A server for guests to send requests to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use crate::server::serve;

/// Answers everything with 200 and `from upstream`, and remembers what it was asked for.
pub struct Upstream {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    /// Listens on a port of its own, as long as the test's runtime lives.
    ///
    /// # Panics
    ///
    /// If there is no port to be had.
    pub async fn start() -> Self {
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let remember = Arc::clone(&seen);
        let addr = serve(move |request| {
            let line = format!("{} {}", request.method(), request.uri().path());
            remember
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
            async { Response::new(Full::new(Bytes::from_static(b"from upstream\n"))) }
        })
        .await;
        Self { addr, seen }
    }

    /// Its origin, as a grant names it.
    pub fn origin(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The requests so far, as `METHOD /path`.
    pub fn seen(&self) -> Vec<String> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
