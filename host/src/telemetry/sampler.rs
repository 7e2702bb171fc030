//! Looks at what was counted, once a second, for the charts and for those who look on.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use utoipa::ToSchema;

use super::history::{History, INTERVAL, Moment, Point, Totals};
use super::otlp::{ServiceTotals, Snapshot};
use crate::config::ServiceName;
use crate::service::exit::unix_seconds;
use crate::service::status::ServiceStatus;
use crate::service::{Catalog, Service};

/// All services at one moment.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Picture {
    /// When, in seconds since 1970-01-01 UTC.
    pub at: f64,
    /// The services, by name.
    pub services: Vec<ServiceStatus>,
}

/// See the module. Cloning it is cheap.
#[derive(Clone)]
pub struct Sampler {
    catalog: Arc<Catalog>,
    history: Arc<Mutex<History>>,
    /// Told when a second is over.
    seconds: watch::Sender<u64>,
}

impl Sampler {
    /// One that has seen nothing yet.
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Self {
            catalog,
            history: Arc::default(),
            seconds: watch::Sender::new(0),
        }
    }

    /// Looks once a second, for as long as the future is polled.
    pub async fn run(self) {
        let start = Instant::now();
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = Moment {
                at: unix_seconds(SystemTime::now()),
                clock: start.elapsed(),
            };
            let catalog = self.catalog.load_full();
            let totals = catalog
                .iter()
                .map(|(name, service)| (name.clone(), totals(service)));
            self.history.lock().note(now, totals);
            self.seconds.send_modify(|seconds| *seconds += 1);
        }
    }

    /// Hears of each second that is over.
    pub fn seconds(&self) -> watch::Receiver<u64> {
        self.seconds.subscribe()
    }

    /// A service now, with what it did in the last second.
    pub fn status(&self, service: &Service) -> ServiceStatus {
        ServiceStatus {
            live: self.history.lock().live(service.name.as_str()),
            ..service.status()
        }
    }

    /// All services now.
    pub fn picture(&self) -> Picture {
        let catalog = self.catalog.load();
        Picture {
            at: unix_seconds(SystemTime::now()),
            services: catalog
                .values()
                .map(|service| self.status(service))
                .collect(),
        }
    }

    /// The last seconds of a service, oldest first.
    pub fn points(&self, service: &ServiceName) -> Vec<Point> {
        self.history.lock().points(service.as_str())
    }
}

impl Snapshot for Sampler {
    fn services(&self) -> Vec<ServiceTotals> {
        let catalog = self.catalog.load();
        catalog.values().map(|service| exported(service)).collect()
    }
}

fn exported(service: &Service) -> ServiceTotals {
    let counts = service.counts();
    let (in_flight, queued, usable) = service.load();
    ServiceTotals {
        service: service.name.clone(),
        answers: service.metrics.by_class(),
        durations: service.metrics.duration.buckets(),
        in_flight: in_flight as u64,
        queued: queued as u64,
        instances: usable as u64,
        sheds: counts.sheds,
        replays: counts.replays,
        exits: service.metrics.exits_by_reason(),
    }
}

fn totals(service: &Service) -> Totals {
    let counts = service.counts();
    let (in_flight, ..) = service.load();
    let durations = service.metrics.duration.buckets();
    Totals {
        requests: durations.counts.iter().sum(),
        errors: counts.errors,
        sheds: counts.sheds,
        replays: counts.replays,
        exits: counts.exits,
        in_flight: in_flight as u64,
        durations,
    }
}
