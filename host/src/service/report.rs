//! Snapshots of a service for the operator.

use super::canary::Canary;
use super::canary::trial::Arm;
use super::exit::unix_seconds;
use super::pool::Phase;
use super::status::{CanaryStatus, Counts, ReleaseStatus, ServiceState, ServiceStatus, Suspect};
use super::{Notes, Release, Service};

impl Service {
    /// How the service is now.
    pub fn status(&self) -> ServiceStatus {
        let current = self.current();
        let current = current.as_deref();
        let notes = self.notes.lock().clone();
        ServiceStatus {
            name: self.name.to_string(),
            state: state(current, &notes),
            release: current.map(Release::status),
            canary: self.canary().map(|canary| canary.status()),
            held: notes.held,
            frozen: notes.frozen,
            taken_back: notes.taken_back,
            routes: current.map_or_else(Vec::new, |release| {
                let routes = release.manifest.routes.iter();
                routes.map(ToString::to_string).collect()
            }),
            instances: current.map_or_else(Vec::new, |release| release.pool.instances()),
            queued: current.map_or(0, |release| release.pool.load().1),
            concurrency: current.map_or(0, |release| release.pool.concurrency().get()),
            quarantine: current.map_or_else(Vec::new, |release| {
                release
                    .ward
                    .evidence()
                    .into_iter()
                    .map(Suspect::of)
                    .collect()
            }),
            live: None,
            counts: self.counts(),
            last_deploy_error: notes.deploy_error,
        }
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        let metrics = &self.metrics;
        Counts {
            requests: self.requests.sums()[0],
            errors: metrics.errors(),
            starts: metrics.starts.get(),
            exits: metrics.exits(),
            replays: metrics.replays.get(),
            sheds: metrics.sheds.get(),
            quarantined: metrics.quarantined.get(),
            deploys: metrics.deploys.get(),
            deploy_failures: metrics.deploy_failures.get(),
            rollbacks: metrics.rollbacks.get(),
            cpu_seconds: metrics.cpu.total().as_secs_f64(),
        }
    }
}

fn state(current: Option<&Release>, notes: &Notes) -> ServiceState {
    let Some(release) = current else {
        return match notes.deploy_error {
            Some(_) => ServiceState::Refused,
            None => ServiceState::Starting,
        };
    };
    match release.pool.phase() {
        Phase::Broken { .. } | Phase::Probing => ServiceState::Broken,
        Phase::Draining | Phase::Closed => ServiceState::Draining,
        Phase::Open if release.pool.usable() < release.manifest.instances.count.get() => {
            ServiceState::Degraded
        }
        Phase::Open => ServiceState::Ready,
    }
}

impl Release {
    fn status(&self) -> ReleaseStatus {
        ReleaseStatus {
            revision: self.info.revision,
            digest: self.info.digest.to_string(),
            deployed_at: unix_seconds(self.info.made),
        }
    }
}

impl Canary {
    fn status(&self) -> CanaryStatus {
        let (own, running) = (self.tally(Arm::Canary), self.tally(Arm::Running));
        let evidence = self.evidence();
        let began = unix_seconds(self.began);
        CanaryStatus {
            revision: self.release.info.revision,
            digest: self.release.info.digest.to_string(),
            started_at: began,
            ends_at: began + self.lasts.as_secs_f64(),
            share: self.share.part(),
            instances: self.release.pool.instances(),
            requests: own.requests,
            failures: own.failures,
            running_requests: running.requests,
            running_failures: running.failures,
            failure_evidence: evidence.failures,
            latency_evidence: evidence.latency,
        }
    }
}
