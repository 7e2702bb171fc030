//! Carries what is exported to the collector: a hyper client on the runtime, for the SDK's threads,
//! which have none, and for the host's own.
//!
//! A collector that is down says so once in a while and not each time.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{OtlpError, Target};
use crate::network::client_config;

/// Bytes of an answer that are read.
const ANSWER: usize = 64 << 10;

/// How long nothing more is said of a collector that is down.
const SILENCE: Duration = Duration::from_mins(5);

/// See the module. Cloning it is cheap.
#[derive(Clone)]
pub(super) struct Courier {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
    patience: Duration,
    complaints: Arc<Mutex<Complaints>>,
}

impl Courier {
    /// A courier for this target. The current runtime does its work.
    ///
    /// # Errors
    ///
    /// TLS that can't be set up.
    pub(super) fn new(target: &Target) -> Result<Self, OtlpError> {
        let authorities = match &target.certificate {
            Some(file) => authorities(file).map_err(|why| OtlpError::Certificate {
                file: file.clone(),
                why,
            })?,
            None => Vec::new(),
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(client_config(&authorities)?)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            runtime: Handle::current(),
            patience: target.timeout,
            complaints: Arc::default(),
        })
    }

    async fn send(self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let exchange = async {
            let response = self.client.request(request.map(Full::new)).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        match timeout(self.patience, exchange).await {
            Ok(result) => result,
            Err(_) => Err("the collector doesn't answer in time".into()),
        }
    }

    /// Tells the operator how it went, if there is something new in it.
    fn note(&self, result: &Result<Response<Bytes>, HttpError>) {
        let problem = match result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("the collector answers {}", response.status())),
            Err(error) => Some(causes(error.as_ref())),
        };
        let mut complaints = self.complaints.lock();
        match problem {
            Some(error) => {
                if let Some(failures) = complaints.failed(Instant::now()) {
                    warn!(
                        error,
                        failures, "telemetry can't be exported and is dropped"
                    );
                }
            }
            None if complaints.succeeded() => info!("telemetry is exported again"),
            None => {}
        }
    }
}

/// The certificates in a PEM file.
fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())?;
    let found: Result<Vec<_>, _> = found.collect();
    let found = found.map_err(|error| error.to_string())?;
    if found.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(found)
}

#[async_trait]
impl HttpClient for Courier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sending = self.runtime.spawn(self.clone().send(request));
        let result = sending.await.unwrap_or_else(|gone| Err(gone.into()));
        self.note(&result);
        result
    }
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").finish_non_exhaustive()
    }
}

/// An error with what caused it, which says more: what hyper says is only that it can't connect.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What the operator has been told of failures.
#[derive(Debug, Default)]
struct Complaints {
    /// When it was told last that it fails; `None` as long as it doesn't.
    told: Option<Instant>,
    /// Failures since.
    failures: u64,
}

impl Complaints {
    /// It failed; gives the number of failures to be told of, if it is time to.
    fn failed(&mut self, now: Instant) -> Option<u64> {
        self.failures += 1;
        let due = |told: Instant| now.saturating_duration_since(told) >= SILENCE;
        if !self.told.is_none_or(due) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.failures))
    }

    /// It went well; whether that is news.
    fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.told.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_told_of_failures_once_in_a_while_and_of_their_end() {
        let (mut complaints, start) = (Complaints::default(), Instant::now());
        assert!(!complaints.succeeded());
        assert_eq!(complaints.failed(start), Some(1));
        for seconds in 1..300 {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(complaints.failed(now), None);
        }
        assert_eq!(complaints.failed(start + SILENCE), Some(300));
        assert!(complaints.succeeded());
        assert!(!complaints.succeeded());
        assert_eq!(complaints.failed(start + SILENCE), Some(1));
    }
}
