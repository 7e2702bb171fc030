//! Metric families, by Prometheus' conventions: base units, `_total` on counters.
//!
//! Each service gets its handles once, so that counting a request takes no look-up by name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::shards::{Counts, Durations, Seconds};
use crate::config::ServiceName;
use crate::keyvalue::Stats;
use crate::service::exit::ExitReason;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByService {
    service: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    service: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    service: String,
    reason: &'static str,
}

/// Statuses that are counted by each thread on its own until somebody asks.
const COMMON: [u16; 12] = [200, 201, 202, 204, 302, 304, 400, 401, 404, 500, 503, 504];

/// All metric families of one process.
pub struct Metrics {
    registry: Registry,
    requests: Family<ByStatus, Counter>,
    duration: Family<ByService, Durations>,
    cpu: Family<ByService, Seconds>,
    in_flight: Family<ByService, Gauge>,
    queue: Family<ByService, Gauge>,
    instances: Family<ByService, Gauge>,
    sheds: Family<ByService, Counter>,
    quarantined: Family<ByService, Counter>,
    starts: Family<ByService, Counter>,
    exits: Family<ByReason, Counter>,
    replays: Family<ByService, Counter>,
    deploys: Family<ByService, Counter>,
    deploy_failures: Family<ByService, Counter>,
    rollbacks: Family<ByService, Counter>,
    connections: Gauge,
    unrouted: Counter,
    keyvalue_operations: Counter,
    keyvalue_commits: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every family.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("wharf"),
            requests: Family::default(),
            duration: Family::default(),
            cpu: Family::default(),
            in_flight: Family::default(),
            queue: Family::default(),
            instances: Family::default(),
            sheds: Family::default(),
            quarantined: Family::default(),
            starts: Family::default(),
            exits: Family::default(),
            replays: Family::default(),
            deploys: Family::default(),
            deploy_failures: Family::default(),
            rollbacks: Family::default(),
            connections: Gauge::default(),
            unrouted: Counter::default(),
            keyvalue_operations: Counter::default(),
            keyvalue_commits: Counter::default(),
        };
        metrics.register();
        metrics
    }

    /// A service is gone: what it is doing is no longer told. What it did still is.
    pub fn forget(&self, service: &ServiceName) {
        let service = ByService {
            service: service.to_string(),
        };
        for gauge in [&self.in_flight, &self.queue, &self.instances] {
            gauge.remove(&service);
        }
    }

    fn register(&mut self) {
        let to = &mut self.registry;
        to.register(
            "requests",
            "Requests answered, by status",
            self.requests.clone(),
        );
        let help = "Time from a request's arrival to the head of its response";
        to.register_with_unit(
            "request_duration",
            help,
            Unit::Seconds,
            self.duration.clone(),
        );
        let help = "Processor time that guests used, measured by the clock around their work";
        to.register_with_unit("guest_cpu", help, Unit::Seconds, self.cpu.clone());
        to.register(
            "requests_in_flight",
            "Requests in instances",
            self.in_flight.clone(),
        );
        to.register(
            "queue_depth",
            "Jobs waiting for an instance",
            self.queue.clone(),
        );
        to.register(
            "instances_ready",
            "Instances that can take jobs",
            self.instances.clone(),
        );
        to.register(
            "sheds",
            "Jobs refused for overload or by the breaker",
            self.sheds.clone(),
        );
        to.register(
            "quarantined",
            "Requests refused because their like ended one instance after the other",
            self.quarantined.clone(),
        );
        to.register(
            "instance_starts",
            "Instances that became ready",
            self.starts.clone(),
        );
        to.register(
            "instance_exits",
            "Instances that ended, by reason",
            self.exits.clone(),
        );
        to.register(
            "replays",
            "Interrupted requests that were run again",
            self.replays.clone(),
        );
        to.register("deploys", "Releases published", self.deploys.clone());
        to.register(
            "deploy_failures",
            "Files that were not taken",
            self.deploy_failures.clone(),
        );
        to.register(
            "rollbacks",
            "Releases that the host took back by itself",
            self.rollbacks.clone(),
        );
        to.register(
            "connections",
            "Open client connections",
            self.connections.clone(),
        );
        to.register(
            "requests_unrouted",
            "Requests that no service's route matches",
            self.unrouted.clone(),
        );
        let help = "Write operations of the key-value store since the start";
        to.register(
            "keyvalue_write_operations",
            help,
            self.keyvalue_operations.clone(),
        );
        let help = "Durable commits that those writes took";
        to.register("keyvalue_commits", help, self.keyvalue_commits.clone());
    }

    /// The handles of one service.
    pub fn service(&self, name: &ServiceName) -> ServiceMetrics {
        let label = ByService {
            service: name.to_string(),
        };
        ServiceMetrics {
            name: name.to_string(),
            requests: self.requests.clone(),
            answers: Counts::default(),
            settled: Arc::default(),
            duration: self.duration.get_or_create_owned(&label),
            cpu: self.cpu.get_or_create_owned(&label),
            in_flight: self.in_flight.get_or_create_owned(&label),
            queue: self.queue.get_or_create_owned(&label),
            instances: self.instances.get_or_create_owned(&label),
            sheds: self.sheds.get_or_create_owned(&label),
            quarantined: self.quarantined.get_or_create_owned(&label),
            starts: self.starts.get_or_create_owned(&label),
            exits: ExitReason::ALL.map(|reason| {
                let label = ByReason {
                    service: name.to_string(),
                    reason: reason.word(),
                };
                (reason, self.exits.get_or_create_owned(&label))
            }),
            replays: self.replays.get_or_create_owned(&label),
            deploys: self.deploys.get_or_create_owned(&label),
            deploy_failures: self.deploy_failures.get_or_create_owned(&label),
            rollbacks: self.rollbacks.get_or_create_owned(&label),
            errors: Counter::default(),
            uncommon: Arc::default(),
        }
    }

    /// Notes what the key-value store has done so far.
    pub fn keyvalue(&self, stats: Stats) {
        for (counter, now) in [
            (&self.keyvalue_operations, stats.operations),
            (&self.keyvalue_commits, stats.commits),
        ] {
            counter.inner().fetch_max(now, Ordering::Relaxed);
        }
    }

    /// Open client connections.
    pub fn connections(&self) -> &Gauge {
        &self.connections
    }

    /// Requests that no route matches.
    pub fn unrouted(&self) -> &Counter {
        &self.unrouted
    }

    /// Everything in the `OpenMetrics` text format 1.0.
    ///
    /// # Errors
    ///
    /// A metric that can't be written as text; a bug.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// The metrics of one service.
#[derive(Clone, Debug)]
pub struct ServiceMetrics {
    name: String,
    requests: Family<ByStatus, Counter>,
    /// Answers with [`COMMON`] statuses.
    answers: Counts<{ COMMON.len() }>,
    /// What of them is in the family already.
    settled: Arc<Mutex<[u64; COMMON.len()]>>,
    /// Time from a request's arrival to its response's head.
    pub duration: Durations,
    /// Processor time that its guests used.
    pub cpu: Seconds,
    /// Requests in instances; set when metrics are asked for.
    pub in_flight: Gauge,
    /// Jobs that wait; set when metrics are asked for.
    pub queue: Gauge,
    /// Instances that can take jobs; set when metrics are asked for.
    pub instances: Gauge,
    /// Jobs refused.
    pub sheds: Counter,
    /// Requests refused because of what their like did.
    pub quarantined: Counter,
    /// Instances that became ready.
    pub starts: Counter,
    exits: [(ExitReason, Counter); ExitReason::ALL.len()],
    /// Tries run again.
    pub replays: Counter,
    /// Releases published.
    pub deploys: Counter,
    /// Files not taken.
    pub deploy_failures: Counter,
    /// Releases the host took back.
    pub rollbacks: Counter,
    /// Answers with a 5xx.
    errors: Counter,
    /// Answers with statuses that aren't [`COMMON`], by their first digit.
    uncommon: Arc<[AtomicU64; 5]>,
}

impl ServiceMetrics {
    /// A request was answered.
    pub fn answered(&self, status: http::StatusCode) {
        if status.is_server_error() {
            self.errors.inc();
        }
        let status = status.as_u16();
        if let Some(index) = COMMON.iter().position(|common| *common == status) {
            self.answers.add(index, 1);
        } else {
            self.add_answers(status, 1);
            self.uncommon[class(status)].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Makes the family say what the threads have counted. To be called before it is encoded.
    pub fn settle(&self) {
        let mut settled = self.settled.lock();
        let sums = self.answers.sums();
        for (status, (sum, before)) in COMMON.iter().zip(sums.iter().zip(settled.iter())) {
            if sum > before {
                self.add_answers(*status, sum - before);
            }
        }
        *settled = sums;
    }

    fn add_answers(&self, status: u16, count: u64) {
        let label = ByStatus {
            service: self.name.clone(),
            status,
        };
        self.requests.get_or_create(&label).inc_by(count);
    }

    /// Requests answered with a 5xx.
    pub fn errors(&self) -> u64 {
        self.errors.get()
    }

    /// Requests answered, by the first digit of their status, from 1 to 5.
    pub fn by_class(&self) -> [u64; 5] {
        let mut classes = self
            .uncommon
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed));
        for (status, count) in COMMON.iter().zip(self.answers.sums()) {
            classes[class(*status)] += count;
        }
        classes
    }

    /// Instances that ended, by reason.
    pub fn exits_by_reason(&self) -> Vec<(&'static str, u64)> {
        let exits = self.exits.iter();
        exits
            .map(|(reason, count)| (reason.word(), count.get()))
            .collect()
    }

    /// An instance ended.
    pub fn exited(&self, reason: ExitReason) {
        if let Some((_, counter)) = self.exits.iter().find(|(of, _)| *of == reason) {
            counter.inc();
        }
    }

    /// Instances that ended, for whatever reason.
    pub fn exits(&self) -> u64 {
        self.exits.iter().map(|(_, counter)| counter.get()).sum()
    }
}

/// Where a status is counted among the classes.
fn class(status: u16) -> usize {
    usize::from(status / 100).clamp(1, 5) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_text_names_families_services_and_reasons() {
        let metrics = Metrics::new();
        let login = metrics.service(&"login".parse().unwrap());
        login.answered(http::StatusCode::OK);
        login.exited(ExitReason::Trap);
        login.duration.observe(Duration::from_millis(2));
        login.cpu.add_nanos(1_500_000_000);
        login.settle();
        login.settle();
        let text = metrics.encode().unwrap();
        assert!(
            text.contains(r#"wharf_requests_total{service="login",status="200"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"wharf_instance_exits_total{service="login",reason="trap"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"wharf_instance_exits_total{service="login",reason="memory"} 0"#),
            "{text}"
        );
        for line in [
            r#"wharf_request_duration_seconds_bucket{le="0.0016",service="login"} 0"#,
            r#"wharf_request_duration_seconds_bucket{le="0.0032",service="login"} 1"#,
            r#"wharf_request_duration_seconds_bucket{le="+Inf",service="login"} 1"#,
            r#"wharf_request_duration_seconds_sum{service="login"} 0.002"#,
            r#"wharf_guest_cpu_seconds_total{service="login"} 1.5"#,
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert_eq!(login.exits(), 1);
    }
}
