//! The fields of the admin API's answers that the commands show. What is unknown is left aside, and
//! what a host may leave out has a default: a command works with hosts a little older or newer than
//! itself. Times are seconds since 1970.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Number;

/// A host. `GET /api/host`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Host {
    pub(super) version: String,
    pub(super) pid: u32,
    pub(super) listen: String,
    pub(super) services_directory: String,
}

/// All services, by name. `GET /api/services`, and `services` of `GET /api/live`
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Services {
    pub(super) services: Vec<Service>,
}

/// A service. `GET /api/services/NAME`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) release: Option<Running>,
    pub(super) canary: Option<Canary>,
    pub(super) held: Option<Held>,
    pub(super) frozen: bool,
    pub(super) taken_back: Option<TakenBack>,
    pub(super) routes: Vec<String>,
    pub(super) instances: Vec<Instance>,
    pub(super) queued: u64,
    pub(super) concurrency: u64,
    pub(super) live: Option<Live>,
    pub(super) counts: BTreeMap<String, Number>,
    pub(super) quarantine: Vec<Quarantined>,
    pub(super) last_deploy_error: Option<DeployError>,
}

impl Service {
    /// One of its counters since it was first deployed.
    pub(super) fn count(&self, name: &str) -> u64 {
        let count = self.counts.get(name).and_then(Number::as_u64);
        count.unwrap_or_default()
    }

    /// Instances that take requests, and all of them.
    pub(super) fn serving(&self) -> (usize, usize) {
        let serves = |instance: &&Instance| matches!(instance.state.as_str(), "ready" | "busy");
        (
            self.instances.iter().filter(serves).count(),
            self.instances.len(),
        )
    }

    /// Requests that run.
    pub(super) fn in_flight(&self) -> u64 {
        self.instances
            .iter()
            .map(|instance| instance.in_flight)
            .sum()
    }
}

/// The release that runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Running {
    pub(super) revision: u64,
    pub(super) digest: String,
    pub(super) deployed_at: f64,
}

/// A release on trial.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Canary {
    pub(super) revision: u64,
    pub(super) digest: String,
    pub(super) ends_at: f64,
    pub(super) share: f64,
    pub(super) requests: u64,
    pub(super) failures: u64,
    pub(super) running_requests: u64,
    pub(super) running_failures: u64,
}

/// A release that waits for the operator.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Held {
    pub(super) digest: String,
    pub(super) at: f64,
    pub(super) why: String,
    pub(super) added: Vec<String>,
    pub(super) message: String,
}

/// A release that the host itself took back.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct TakenBack {
    pub(super) revision: u64,
    pub(super) digest: String,
    pub(super) at: f64,
    pub(super) reason: String,
}

/// A sandbox.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) in_flight: u64,
    pub(super) served: u64,
    pub(super) memory_bytes: u64,
    pub(super) age_seconds: f64,
}

/// The last second.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Live {
    pub(super) requests_per_second: f64,
    pub(super) errors_per_second: f64,
    pub(super) p50_seconds: Option<f64>,
    pub(super) p99_seconds: Option<f64>,
}

/// Requests that are refused because they kill.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Quarantined {
    pub(super) line: String,
    pub(super) kills: u64,
    pub(super) refused: u64,
    pub(super) refused_for_seconds: Option<f64>,
}

/// A deploy that failed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct DeployError {
    pub(super) at: f64,
    pub(super) message: String,
}

/// `GET /api/services/NAME/releases`, newest first
#[derive(Debug, Deserialize)]
pub(super) struct Releases {
    pub(super) releases: Vec<Release>,
}

/// A release that the host keeps.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Release {
    pub(super) revision: Option<u64>,
    pub(super) digest: String,
    pub(super) size_bytes: u64,
    pub(super) accepted_at: f64,
    pub(super) state: String,
    pub(super) note: Option<String>,
}

/// `GET /api/services/NAME/logs`, oldest first
#[derive(Debug, Deserialize)]
pub(super) struct Lines {
    pub(super) lines: Vec<LogLine>,
}

/// A line that a guest wrote.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LogLine {
    pub(super) at: f64,
    pub(super) instance: String,
    pub(super) stream: String,
    pub(super) level: Option<String>,
    pub(super) text: String,
}

/// `GET /api/exits`, newest first
#[derive(Debug, Deserialize)]
pub(super) struct Exits {
    pub(super) exits: Vec<Exit>,
}

/// How an instance ended.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Exit {
    pub(super) service: String,
    pub(super) release: String,
    pub(super) instance: String,
    pub(super) reason: String,
    pub(super) message: Option<String>,
    pub(super) backtrace: Vec<String>,
    pub(super) requests: Vec<String>,
    pub(super) age_seconds: f64,
    pub(super) served: u64,
    pub(super) at: f64,
}

/// `GET /api/events`, oldest first
#[derive(Debug, Deserialize)]
pub(super) struct Events {
    pub(super) events: Vec<Event>,
}

/// Something that happened.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    pub(super) at: f64,
    pub(super) kind: String,
    pub(super) service: Option<String>,
    pub(super) level: String,
    pub(super) message: String,
    pub(super) stage: Option<String>,
}

/// What became of a deploy or a rollback.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Outcome {
    pub(super) state: String,
    pub(super) revision: u64,
    pub(super) digest: String,
}
