//! A guest's requests on their way out.
//!
//! [`Network::send`] reads where a request goes ([`origin`]), asks the grants how far it may reach
//! ([`reach`]), cleans its head ([`hygiene`]) and gives it to the pool for that reach ([`pools`]),
//! which sends it on a connection that is open or has the [`connector`] open one: look the name up
//! ([`resolve`]), check each address ([`address`], [`listeners`]), dial ([`dial`]), speak TLS
//! ([`tls`]). Redirects are the guest's to follow, with a request that is checked like any other,
//! and no proxy of the environment is heeded.

mod address;
mod connector;
mod dial;
mod error;
mod failure;
mod hygiene;
mod listeners;
mod origin;
mod pools;
mod reach;
mod resolve;
mod settings;
mod stream;
mod tls;
mod upload;

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use http_body::Body;
use http_body_util::BodyExt as _;
use http_body_util::combinators::MapErr;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::capture_connection;
use tokio::time::{Instant, sleep, sleep_until};

pub use dial::{Dial, Io};
pub use error::{Denial, NetworkError, SetupError};
pub use resolve::Resolve;
pub use settings::{Settings, Timeouts};
pub(crate) use tls::client_config;

use crate::body::patient::{Late, Patient};
use crate::config::HttpGrant;
use connector::Ways;
use listeners::Listeners;
use origin::Origin;
use pools::{Pool, Pools};
use tls::Tls;
use upload::{Progress, Upload};

/// A response's body.
pub type Download = MapErr<Patient<Incoming>, fn(Late<hyper::Error>) -> NetworkError>;

/// The way out of the host. Clones share their connections; [`partition`](Self::partition) makes
/// one that doesn't.
#[derive(Clone)]
pub struct Network {
    settings: Arc<Settings>,
    ways: Arc<Ways>,
    pools: Arc<Pools>,
}

impl Network {
    /// With the system's resolver and TCP.
    ///
    /// # Errors
    ///
    /// TLS can't be set up with these settings.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let resolver = Arc::new(resolve::SystemResolver::new());
        Self::with(settings, resolver, Arc::new(dial::Tcp))
    }

    /// With other ways to find addresses and to connect to them.
    ///
    /// # Errors
    ///
    /// TLS can't be set up with these settings.
    pub fn with(
        settings: Settings,
        resolver: Arc<dyn Resolve>,
        dial: Arc<dyn Dial>,
    ) -> Result<Self, SetupError> {
        let ways = Arc::new(Ways {
            resolver,
            dial,
            listeners: Listeners::new(settings.listeners.clone()),
            tls: Tls::new(&settings.authorities)?,
            lookup: settings.lookup,
            longest: settings.longest_connect,
        });
        Ok(Self {
            pools: Arc::new(Pools::new(&settings, &ways)),
            settings: Arc::new(settings),
            ways,
        })
    }

    /// The same network with connections and a limit to them of its own. Services are kept apart
    /// with it: one can't use up the connections of another, nor leave one in a state from which
    /// another's request suffers (a server may take a connection for authenticated, or answer out
    /// of step).
    #[must_use]
    pub fn partition(&self) -> Self {
        Self {
            pools: Arc::new(Pools::new(&self.settings, &self.ways)),
            ..self.clone()
        }
    }

    /// Whether a request to `uri` may be sent at all. What its host turns out to be is checked when
    /// it is dialled.
    ///
    /// # Errors
    ///
    /// [`NetworkError::UriInvalid`] or [`NetworkError::Denied`].
    pub fn permits(uri: &Uri, grants: &[HttpGrant]) -> Result<(), NetworkError> {
        Origin::of(uri)?.reach(grants)?;
        Ok(())
    }

    /// Sends a request to where `grants` allow it. Dropping the future or the response's body ends
    /// the exchange.
    ///
    /// # Errors
    ///
    /// See [`NetworkError`].
    pub async fn send<B>(
        &self,
        request: Request<B>,
        grants: &[HttpGrant],
        timeouts: Timeouts,
    ) -> Result<Response<Download>, NetworkError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (mut head, body) = request.into_parts();
        let origin = Origin::of(&head.uri)?;
        let reach = origin.reach(grants)?;
        let length = if body.is_end_stream() {
            Some(0)
        } else {
            body.size_hint().exact()
        };
        head.uri = origin.target(&head.uri, head.method == Method::OPTIONS)?;
        hygiene::clean_request(&mut head, length)?;
        let (upload, progress) = Upload::new(body);
        let request = Request::from_parts(head, upload);
        let pool = self.pools.of(reach);
        let response = self.exchange(pool, request, &progress, timeouts).await?;
        let (mut head, incoming) = response.into_parts();
        hygiene::clean_response(&mut head)?;
        let patience = timeouts
            .between_bytes
            .unwrap_or(self.settings.between_bytes);
        let incoming = Patient::new(incoming, patience).map_err(late as fn(_) -> NetworkError);
        Ok(Response::from_parts(head, incoming))
    }

    /// Waits for a connection, then for the response's head.
    async fn exchange(
        &self,
        pool: &Pool,
        mut request: Request<Upload>,
        progress: &Progress,
        timeouts: Timeouts,
    ) -> Result<Response<Incoming>, NetworkError> {
        let connect = timeouts.connect.unwrap_or(self.settings.connect);
        let patience = timeouts.first_byte.unwrap_or(self.settings.first_byte);
        let mut captured = capture_connection(&mut request);
        let connected = async {
            captured.wait_for_connection_metadata().await;
        };
        let mut response = pin!(pool.request(request));
        tokio::select! {
            biased;
            response = &mut response => return response.map_err(|error| failure::of_client(&error)),
            () = connected => {}
            () = sleep(connect) => return Err(NetworkError::ConnectionTimeout),
        }
        let connected = Instant::now();
        loop {
            tokio::select! {
                biased;
                response = &mut response => {
                    return response.map_err(|error| failure::of_client(&error));
                }
                () = sleep_until(progress.due(connected, patience)) => {
                    if let Some(error) = progress.late(connected, patience) {
                        return Err(error);
                    }
                }
            }
        }
    }
}

fn late(error: Late<hyper::Error>) -> NetworkError {
    match error {
        Late::TimedOut => NetworkError::ReadTimeout,
        Late::Body(error) => failure::of_body(&error),
    }
}

#[cfg(test)]
mod tests;
