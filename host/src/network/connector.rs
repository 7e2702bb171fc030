//! Opens the connections of a pool: looks the name up, checks every address against the reach of
//! the grant, dials those that pass, and speaks TLS. What is checked is what is dialled, so a name
//! that resolves otherwise a moment later is of no use to anybody.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use http::Uri;
use http::uri::Scheme;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower_service::Service;
use tracing::debug;

use super::dial::{Dial, order, race};
use super::error::NetworkError;
use super::listeners::Listeners;
use super::origin::port;
use super::reach::Reach;
use super::resolve::Resolve;
use super::stream::Stream;
use super::tls::{Secured, Tls};

/// What all connectors of a host have in common.
pub(super) struct Ways {
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) dial: Arc<dyn Dial>,
    pub(super) listeners: Listeners,
    pub(super) tls: Tls,
    pub(super) lookup: Duration,
    pub(super) longest: Duration,
}

/// See the module. Called with the canonical URI of an origin.
#[derive(Clone)]
pub(super) struct Connector {
    reach: Reach,
    ways: Arc<Ways>,
    room: Arc<Room>,
}

/// What one partition may take of the machine.
pub(super) struct Room {
    connections: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
}

impl Room {
    /// Few, as names that never resolve would otherwise use up the resolver's threads for all.
    const LOOKUPS: usize = 16;

    pub(super) fn new(connections: usize) -> Self {
        let connections = connections.min(Semaphore::MAX_PERMITS);
        Self {
            connections: Arc::new(Semaphore::new(connections)),
            lookups: Arc::new(Semaphore::new(Self::LOOKUPS)),
        }
    }
}

impl Connector {
    pub(super) fn new(reach: Reach, ways: Arc<Ways>, room: Arc<Room>) -> Self {
        Self { reach, ways, room }
    }

    async fn connect(self, uri: Uri) -> Result<Stream, NetworkError> {
        let permit = Arc::clone(&self.room.connections)
            .try_acquire_owned()
            .map_err(|_| NetworkError::ConnectionLimit)?;
        let addresses = self.allowed(&uri).await?;
        let addresses = order(addresses, &mut rand::rng());
        let io = race(&*self.ways.dial, addresses).await?;
        let secured = if uri.scheme() == Some(&Scheme::HTTP) {
            Secured { io, h2: false }
        } else {
            self.ways.tls.secure(&uri, io).await?
        };
        Ok(Stream::new(secured, permit))
    }

    /// The addresses of the host that may be dialled.
    async fn allowed(&self, uri: &Uri) -> Result<Vec<SocketAddr>, NetworkError> {
        let host = uri.host().unwrap_or_default();
        let mut refusal = NetworkError::DestinationNotFound;
        let mut allowed = Vec::new();
        for ip in self.addresses(host).await? {
            let address = SocketAddr::new(ip, port(uri));
            match self.reach.check(address, &self.ways.listeners) {
                Ok(()) => allowed.push(address),
                Err(error) => {
                    debug!(host, %error, "an address was left out");
                    if refusal == NetworkError::DestinationNotFound {
                        refusal = error;
                    }
                }
            }
        }
        if allowed.is_empty() {
            return Err(refusal);
        }
        Ok(allowed)
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, NetworkError> {
        match self.reach {
            Reach::Literal => {
                let ip = host.trim_start_matches('[').trim_end_matches(']');
                let ip = ip
                    .parse()
                    .map_err(|error| NetworkError::UriInvalid(format!("{ip:?}: {error}")))?;
                Ok(vec![ip])
            }
            Reach::Localhost => Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
            Reach::Name | Reach::Below => timeout(self.ways.lookup, self.look_up(host))
                .await
                .map_err(|_| NetworkError::DnsTimeout)?
                .map_err(|error| NetworkError::Dns(error.to_string())),
        }
    }

    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let permit = Arc::clone(&self.room.lookups)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let resolver = Arc::clone(&self.ways.resolver);
        let name = name.to_owned();
        // A task of its own, since a lookup that nobody waits for any longer still goes on
        let lookup = tokio::spawn(async move {
            let addresses = resolver.resolve(&name).await;
            drop(permit);
            addresses
        });
        lookup.await.map_err(io::Error::other)?
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = NetworkError;
    type Future = BoxFuture<'static, Result<Stream, NetworkError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NetworkError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let longest = self.ways.longest;
        // The pool may go on connecting for a request that is gone, so there is an end to it here
        let connect = timeout(longest, self.clone().connect(uri));
        connect
            .map(|connected| connected.unwrap_or(Err(NetworkError::ConnectionTimeout)))
            .boxed()
    }
}
