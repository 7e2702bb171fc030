//! The operator's way to the controller: orders, and what becomes of them.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

use super::archive::Archive;
use super::fingerprint::Fingerprint;
use super::source::blocking;
use super::upload::Uploads;
use crate::config::ServiceName;
use crate::service::ReleaseInfo;
use crate::service::status::Held;

/// What an operator can want of the controller.
pub(super) enum Order {
    /// To hear what becomes of files that were just written.
    Expect(ServiceName, Fingerprint, Reply),
    /// To run a release that is kept: the named one, or the one before.
    Rollback(ServiceName, Option<String>, Reply),
    /// To have no release taken.
    Hold(ServiceName, oneshot::Sender<Result<(), Refusal>>),
    /// To have releases taken again, and the one that is held.
    Resume(ServiceName, Reply),
}

/// Where an operator hears what became of an order.
pub(super) type Reply = oneshot::Sender<Result<Outcome, Refusal>>;

/// How far an accepted release has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// It has all requests.
    Live,
    /// It has a share of them.
    Canary,
}

/// A release was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Outcome {
    /// Of which service.
    pub service: String,
    /// How far it has come.
    pub state: Progress,
    /// Its number.
    pub revision: u64,
    /// SHA-256 of its component, as hex.
    pub digest: String,
}

/// An order was not carried out; nothing that is served has changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such service, or no such release.
    #[error("{0}")]
    NotFound(String),
    /// Something else is going on, or it makes no sense now.
    #[error("{0}")]
    Conflict(String),
    /// The release can't be taken.
    #[error("{0}")]
    Refused(String),
    /// The release waits for the operator.
    #[error("{}", .0.message)]
    Held(Held),
    /// The host failed, or is stopping.
    #[error("{0}")]
    Failed(String),
}

/// See the module. Cloning it is cheap.
#[derive(Clone)]
pub struct Operator {
    orders: mpsc::Sender<Order>,
    uploads: Arc<Uploads>,
    archive: Archive,
}

/// The controller's end.
pub struct Orders(pub(super) mpsc::Receiver<Order>);

impl Outcome {
    /// A release has come so far.
    pub(super) fn of(release: &ReleaseInfo, state: Progress) -> Self {
        Self {
            service: release.service.to_string(),
            state,
            revision: release.revision,
            digest: release.digest.to_string(),
        }
    }
}

impl Operator {
    /// Both ends.
    pub fn new(uploads: Uploads, archive: Archive) -> (Self, Orders) {
        let (orders, inbox) = mpsc::channel(16);
        let operator = Self {
            orders,
            uploads: Arc::new(uploads),
            archive,
        };
        (operator, Orders(inbox))
    }

    /// Lays files into the services directory, and waits for what becomes of them. Without a manifest
    /// the present one stays.
    ///
    /// # Errors
    ///
    /// They are not taken.
    pub async fn deploy(
        &self,
        name: &ServiceName,
        component: Vec<u8>,
        manifest: Option<String>,
    ) -> Result<Outcome, Refusal> {
        let uploads = Arc::clone(&self.uploads);
        let service = name.clone();
        let write = move || uploads.write(&service, &component, manifest.as_deref());
        let failed = |error| Refusal::Failed(format!("{error:#}"));
        let fingerprint = blocking(write).await.map_err(failed)?;
        self.ask(|reply| Order::Expect(name.clone(), fingerprint, reply))
            .await
    }

    /// Runs the release that is named, or the one before the running one.
    ///
    /// # Errors
    ///
    /// There is none, or it can't be run.
    pub async fn roll_back(
        &self,
        name: &ServiceName,
        wanted: Option<String>,
    ) -> Result<Outcome, Refusal> {
        self.ask(|reply| Order::Rollback(name.clone(), wanted, reply))
            .await
    }

    /// Takes no release of a service until it is resumed.
    ///
    /// # Errors
    ///
    /// There is no such service.
    pub async fn hold(&self, name: &ServiceName) -> Result<(), Refusal> {
        self.ask(|reply| Order::Hold(name.clone(), reply)).await
    }

    /// Takes releases of a service again, and first the one that is held, as it is; or the files that
    /// were gone back from.
    ///
    /// # Errors
    ///
    /// There is no such service, or what was held can't be taken.
    pub async fn resume(&self, name: &ServiceName) -> Result<(), Refusal> {
        self.ask(|reply| Order::Resume(name.clone(), reply))
            .await
            .map(drop)
    }

    /// What is kept.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    async fn ask<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Order,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let stopping = || Refusal::Failed("the server is stopping".to_owned());
        self.orders
            .send(order(reply))
            .await
            .map_err(|_| stopping())?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }
}
