//! A service: its current release, that release's instances, and the way of a job through them.
//!
//! [`Service::dispatch`] runs a job: it finds a place in an instance, hands the [`errand`] over, and if
//! the instance dies under it, decides whether another may have it. All the decisions are made by pure
//! functions ([`balance`], [`failover`], [`restart`]); the state is owned by the [`pool`] and its
//! [`supervisor`]. A new release may have to stand up to the running one first ([`canary`]).

pub mod admission;
mod ahead;
pub mod balance;
mod burst;
pub mod calling;
pub mod canary;
pub mod downshift;
pub mod drive;
pub mod ejection;
pub mod errand;
pub mod exit;
pub mod failover;
pub mod gate;
mod guarded;
mod keeper;
pub mod lane;
pub mod launch;
pub mod lease;
pub mod mailbox;
pub mod meter;
pub mod nearness;
pub mod pool;
pub mod quarantine;
mod queue;
mod report;
pub mod restart;
mod run;
pub mod run_queue;
pub mod shares;
pub mod status;
pub mod supervisor;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use tokio::time::Instant;

use self::canary::Canary;
use self::exit::{ExitLog, InstanceId, unix_seconds};
use self::failover::RetryBudget;
use self::gate::{Gate, Share};
use self::lane::Lane;
use self::pool::Pool;
use self::quarantine::Ward;
use self::status::{DeployError, Held, TakenBack};
use self::supervisor::Supervisor;
use crate::config::{Key, Manifest, ServiceName};
use crate::telemetry::events::Events;
use crate::telemetry::logbook::Logbook;
use crate::telemetry::metrics::{Metrics, ServiceMetrics};
use crate::telemetry::record::Place;
use crate::telemetry::shards::Counts;

/// The services by name.
pub type Catalog = ArcSwap<BTreeMap<ServiceName, Arc<Service>>>;

/// What all services write into.
pub struct Ledger {
    instances: AtomicU64,
    /// The last exits.
    pub exits: ExitLog,
    /// The metric families.
    pub metrics: Metrics,
    /// Who shares the processors.
    pub gate: Arc<Gate>,
    /// What happens, for the operator.
    pub events: Events,
    /// The last lines that guests wrote.
    pub logbook: Logbook,
}

impl Ledger {
    /// An empty ledger, of services that share the processors behind `gate`.
    pub fn new(gate: Arc<Gate>) -> Arc<Self> {
        Arc::new(Self {
            gate,
            instances: AtomicU64::new(0),
            exits: ExitLog::default(),
            metrics: Metrics::new(),
            events: Events::default(),
            logbook: Logbook::default(),
        })
    }

    /// A name no instance of this process had before.
    pub fn next_instance(&self) -> InstanceId {
        InstanceId(self.instances.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// What names a release.
#[derive(Clone, Debug)]
pub struct ReleaseInfo {
    /// The service.
    pub service: ServiceName,
    /// A number that grows with each release of the service.
    pub revision: u64,
    /// SHA-256 of the component, as hex.
    pub digest: Arc<str>,
    /// When it was made, before it was published.
    pub made: SystemTime,
}

/// The first digits of a release's digest, which are enough to tell it from others.
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// One version of a service, with its instances.
pub struct Release {
    /// What names it.
    pub info: Arc<ReleaseInfo>,
    /// What its operator wants.
    pub manifest: Manifest,
    /// Its instances.
    pub pool: Arc<Pool>,
    /// What it doesn't take any more.
    pub ward: Ward,
    /// Who keeps them alive.
    pub supervisor: Supervisor,
}

impl Release {
    /// What it is to whoever records a request.
    pub fn place(&self) -> Place {
        Place {
            service: self.info.service.clone(),
            digest: Arc::clone(&self.info.digest),
            revision: Some(self.info.revision),
        }
    }
}

/// What the operator is to know of a service's deploys.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Why the last file was not taken.
    pub deploy_error: Option<DeployError>,
    /// A release that waits for the operator.
    pub held: Option<Held>,
    /// The release that the host has taken back.
    pub taken_back: Option<TakenBack>,
    /// The operator holds all deploys.
    pub frozen: bool,
}

/// What a name in the services directory stands for.
pub struct Service {
    /// The name.
    pub name: ServiceName,
    /// What is counted of it.
    pub metrics: ServiceMetrics,
    /// Its share of the processors.
    pub share: Arc<Share>,
    current: ArcSwapOption<Release>,
    canary: ArcSwapOption<Canary>,
    budget: Mutex<RetryBudget>,
    born: Instant,
    requests: Counts<1>,
    notes: Mutex<Notes>,
    events: Events,
}

impl Service {
    /// A service that has no release yet.
    pub fn new(name: ServiceName, ledger: &Ledger) -> Arc<Self> {
        let metrics = ledger.metrics.service(&name);
        Arc::new(Self {
            share: ledger.gate.join(metrics.cpu.clone()),
            metrics,
            name,
            current: ArcSwapOption::empty(),
            canary: ArcSwapOption::empty(),
            budget: Mutex::new(RetryBudget::new(Duration::ZERO)),
            born: Instant::now(),
            requests: Counts::default(),
            notes: Mutex::default(),
            events: ledger.events.clone(),
        })
    }

    /// The release that new jobs go to.
    pub fn current(&self) -> Option<Arc<Release>> {
        self.current.load_full()
    }

    /// The running release, and one that is being tried.
    pub fn releases(&self) -> impl Iterator<Item = Arc<Release>> {
        let canary = self.canary();
        let canary = canary.map(|canary| Arc::clone(&canary.release));
        self.current().into_iter().chain(canary)
    }

    /// Requests in its instances, jobs that wait, and instances that take jobs.
    pub fn load(&self) -> (usize, usize, usize) {
        self.releases()
            .fold((0, 0, 0), |(busy, queued, usable), release| {
                let (in_flight, waiting) = release.pool.load();
                (
                    busy + in_flight,
                    queued + waiting,
                    usable + release.pool.usable(),
                )
            })
    }

    /// The release that is being tried, if a job in this lane goes to it.
    pub fn tried_in(&self, lane: Lane) -> Option<Arc<Release>> {
        let canary = self.canary.load();
        let taking = canary.as_ref().filter(|canary| canary.takes(lane))?;
        Some(Arc::clone(&taking.release))
    }

    /// The lane of a request from outside: by what its manifest chooses, that of a release that is being
    /// tried before that of the `running` one; else its `client`'s.
    pub fn lane(&self, running: &Release, client: Lane, by: impl FnOnce(&Key) -> Lane) -> Lane {
        let canary = self.canary.load();
        let release = canary.as_ref().map_or(running, |canary| &canary.release);
        let rollout = release.manifest.rollout.as_ref();
        rollout.map_or(client, |rollout| by(&rollout.by))
    }

    /// The release that is being tried, if one is.
    pub fn canary(&self) -> Option<Arc<Canary>> {
        self.canary.load_full()
    }

    /// Tries a release, or none any more. Returns the one that was tried before.
    pub fn try_out(&self, canary: Option<Arc<Canary>>) -> Option<Arc<Canary>> {
        self.canary.swap(canary)
    }

    /// Makes a release the one that new jobs go to, or none. Returns the one before.
    pub fn publish(&self, release: Option<Arc<Release>>) -> Option<Arc<Release>> {
        if let Some(release) = &release {
            self.share.set_weight(release.manifest.weight);
            self.metrics.deploys.inc();
            self.notes.lock().deploy_error = None;
        }
        self.current.swap(release)
    }

    /// Notes that a file was not taken, and why.
    pub fn note_deploy_error(&self, message: String) {
        self.metrics.deploy_failures.inc();
        self.notes.lock().deploy_error = Some(DeployError {
            at: unix_seconds(SystemTime::now()),
            message,
        });
    }

    /// Whether a release waits for the operator.
    pub fn is_held(&self) -> bool {
        self.notes.lock().held.is_some()
    }

    /// Changes what the operator is to know.
    pub fn note(&self, change: impl FnOnce(&mut Notes)) {
        change(&mut self.notes.lock());
    }
}

#[cfg(test)]
mod tests;
