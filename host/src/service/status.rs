//! What the admin API shows of a service: snapshots, taken when asked for.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::exit::{ExitReason, InstanceId};
use super::quarantine::{Evidence, Kill};
use crate::telemetry::history::Live;

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    /// It waits for a job.
    Ready,
    /// It has at least one.
    Busy,
    /// It finishes what it has and takes no more.
    Draining,
}

/// One instance.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InstanceStatus {
    /// Its name.
    pub id: InstanceId,
    /// What it is doing.
    pub state: InstanceState,
    /// Requests it holds, their response bodies included.
    pub in_flight: usize,
    /// Requests it has answered in full.
    pub served: u64,
    /// Bytes of linear memory and tables.
    pub memory_bytes: usize,
    /// Seconds since it became ready.
    pub age_seconds: f64,
}

/// How a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// Its first release is being prepared.
    Starting,
    /// All its instances are there.
    Ready,
    /// Some of its instances are being replaced.
    Degraded,
    /// It failed repeatedly and rests.
    Broken,
    /// It was removed and finishes what it has.
    Draining,
    /// None of its releases was ever taken; nothing is served.
    Refused,
}

/// The release a service runs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReleaseStatus {
    /// A number that grows with each release of the service.
    pub revision: u64,
    /// SHA-256 of the component, as hex.
    pub digest: String,
    /// When it was published, in seconds since 1970-01-01 UTC.
    pub deployed_at: f64,
}

/// A new release that gets a share of the requests, and what is known of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CanaryStatus {
    /// Its number.
    pub revision: u64,
    /// SHA-256 of its component, as hex.
    pub digest: String,
    /// When it got its first request at the earliest, in seconds since 1970-01-01 UTC.
    pub started_at: f64,
    /// When it takes over unless it proves worse.
    pub ends_at: f64,
    /// The part of the requests that it gets, of 1.
    pub share: f64,
    /// Its instances.
    pub instances: Vec<InstanceStatus>,
    /// Requests it has ended.
    pub requests: u64,
    /// Those it has failed.
    pub failures: u64,
    /// Requests the running release has ended in the same time.
    pub running_requests: u64,
    /// Those that one has failed.
    pub running_failures: u64,
    /// How much speaks for its failing more than the running release: an e-value.
    pub failure_evidence: f64,
    /// How much speaks for its being slower: an e-value.
    pub latency_evidence: f64,
}

/// Why a release is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HeldBy {
    /// It imports what the one before didn't, and what it isn't granted.
    Capabilities,
    /// The operator holds all deploys of the service.
    Operator,
}

/// A release that waits for the operator.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Held {
    /// SHA-256 of its component, as hex.
    pub digest: String,
    /// Since when, in seconds since 1970-01-01 UTC.
    pub at: f64,
    /// Why.
    pub why: HeldBy,
    /// The interfaces that it imports, that the running release doesn't, and that it isn't granted.
    pub added: Vec<String>,
    /// Why, and what to do.
    pub message: String,
}

/// A release that the host took back by itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TakenBack {
    /// Its number.
    pub revision: u64,
    /// SHA-256 of its component, as hex.
    pub digest: String,
    /// When, in seconds since 1970-01-01 UTC.
    pub at: f64,
    /// What it did.
    pub reason: String,
}

/// What happened so far, over all releases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Counts {
    /// Requests answered or refused.
    pub requests: u64,
    /// Those answered with a 5xx.
    pub errors: u64,
    /// Instances that became ready.
    pub starts: u64,
    /// Instances that ended.
    pub exits: u64,
    /// Tries that were run again.
    pub replays: u64,
    /// Jobs refused for overload or by the breaker.
    pub sheds: u64,
    /// Requests refused because of what their like did.
    pub quarantined: u64,
    /// Releases published, the first included.
    pub deploys: u64,
    /// Files that were not taken.
    pub deploy_failures: u64,
    /// Releases that the host took back by itself.
    pub rollbacks: u64,
    /// Processor time that its guests used, in seconds.
    pub cpu_seconds: f64,
}

/// A request that has ended instances.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Suspect {
    /// `METHOD /path`, without the query.
    pub line: String,
    /// Of the method, the path with its query, and the body.
    pub fingerprint: String,
    /// Instances it has ended since it was last answered.
    pub kills: u64,
    /// The last of them, oldest first.
    pub instances: Vec<KilledInstance>,
    /// Requests like it that were refused.
    pub refused: u64,
    /// Seconds until one is let through again; 0 for one that is only under suspicion.
    pub refused_for_seconds: f64,
}

/// An instance that a request ended.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KilledInstance {
    /// Its name.
    pub id: InstanceId,
    /// How it ended.
    pub reason: ExitReason,
}

impl Suspect {
    /// What is held against a request, and how long it is refused for.
    pub(super) fn of((held, left): (Evidence, Duration)) -> Self {
        let instance = |kill: &Kill| KilledInstance {
            id: kill.instance,
            reason: kill.reason,
        };
        Self {
            fingerprint: held.fingerprint.to_string(),
            kills: held.kills,
            instances: held.last.iter().map(instance).collect(),
            refused: held.refused,
            refused_for_seconds: left.as_secs_f64(),
            line: held.line,
        }
    }
}

/// Why the last file was not taken.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeployError {
    /// When, in seconds since 1970-01-01 UTC.
    pub at: f64,
    /// Why, and what to do.
    pub message: String,
}

/// One service.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: ServiceState,
    /// What it runs, if anything.
    pub release: Option<ReleaseStatus>,
    /// A new release that is being tried, if one is.
    pub canary: Option<CanaryStatus>,
    /// A release that waits for the operator.
    pub held: Option<Held>,
    /// The operator holds all deploys.
    pub frozen: bool,
    /// What the host took back by itself, until another release is taken.
    pub taken_back: Option<TakenBack>,
    /// Where it is reached.
    pub routes: Vec<String>,
    /// Its instances.
    pub instances: Vec<InstanceStatus>,
    /// Jobs that wait for an instance.
    pub queued: usize,
    /// Requests that each instance may hold now.
    pub concurrency: usize,
    /// The requests that ended instances, the latest first.
    pub quarantine: Vec<Suspect>,
    /// What happened in the last second; `null` where nothing is known yet.
    pub live: Option<Live>,
    /// What happened so far.
    pub counts: Counts,
    /// Why the last file was not taken; gone once one is.
    pub last_deploy_error: Option<DeployError>,
}
