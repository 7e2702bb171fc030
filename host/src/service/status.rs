//! What the admin API shows of a service: snapshots, taken when asked for.

use serde::Serialize;

use super::exit::InstanceId;

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Debug, Serialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
    /// Its only release was refused; nothing is served.
    Refused,
}

/// The release a service runs.
#[derive(Clone, Debug, Serialize)]
pub struct ReleaseStatus {
    /// SHA-256 of the component, as hex.
    pub digest: String,
    /// When it was published, in seconds since 1970-01-01 UTC.
    pub deployed_at: f64,
}

/// What happened so far, over all releases.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counts {
    /// Requests answered or refused.
    pub requests: u64,
    /// Instances that became ready.
    pub starts: u64,
    /// Instances that ended.
    pub exits: u64,
    /// Tries that were run again.
    pub replays: u64,
    /// Jobs refused for overload or by the breaker.
    pub sheds: u64,
    /// Releases published, the first included.
    pub deploys: u64,
}

/// Why the last file was not taken.
#[derive(Clone, Debug, Serialize)]
pub struct DeployError {
    /// When, in seconds since 1970-01-01 UTC.
    pub at: f64,
    /// Why, and what to do.
    pub message: String,
}

/// One service.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: ServiceState,
    /// What it runs, if anything.
    pub release: Option<ReleaseStatus>,
    /// Where it is reached.
    pub routes: Vec<String>,
    /// Its instances.
    pub instances: Vec<InstanceStatus>,
    /// Jobs that wait for an instance.
    pub queued: usize,
    /// What happened so far.
    pub counts: Counts,
    /// Why the last file was not taken; gone once one is.
    pub last_deploy_error: Option<DeployError>,
}
