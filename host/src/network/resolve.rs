//! From names to addresses. The system's own resolver is asked, for what it knows beside DNS:
//! `/etc/hosts`, the search domains of a cluster, whatever else the operator has put there. Nothing
//! is kept here: a connection that is used again needs no lookup, and the system has caches for
//! those who want them.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;

/// Gives the addresses of names.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// All addresses of `name`, which is in lower case, without a trailing dot, and not an address
    /// itself.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver: `getaddrinfo`.
pub(super) struct SystemResolver(Arc<Semaphore>);

impl SystemResolver {
    /// A lookup can't be called off and holds a thread until it is over, of which the rest of the
    /// host needs some too.
    const AT_ONCE: usize = 128;

    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(Self::AT_ONCE)))
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let permit = Arc::clone(&self.0)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let name = name.to_owned();
        let lookup = move || {
            let addresses = (name.as_str(), 0).to_socket_addrs();
            // Held by the thread, not by the request: that may be gone long before
            drop(permit);
            addresses.map(|all| all.map(|address| address.ip()).collect())
        };
        tokio::task::spawn_blocking(lookup)
            .await
            .map_err(io::Error::other)?
    }
}
