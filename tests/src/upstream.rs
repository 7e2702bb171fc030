//! A server for guests to send requests to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

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
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("there is a free port");
        let addr = listener
            .local_addr()
            .expect("a bound listener has an address");
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let remember = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let remember = Arc::clone(&remember);
                let service = service_fn(move |request: http::Request<_>| {
                    let line = format!("{} {}", request.method(), request.uri().path());
                    remember
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(line);
                    async {
                        let body = Full::new(Bytes::from_static(b"from upstream\n"));
                        Ok::<_, Infallible>(Response::new(body))
                    }
                });
                tokio::spawn(
                    http1::Builder::new().serve_connection(TokioIo::new(connection), service),
                );
            }
        });
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
