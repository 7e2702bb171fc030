//! The task that owns what is deployed.

mod publish;
mod terms;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use self::publish::Candidate;
use self::terms::Terms;
use super::diff::{Known, Step, diff};
use super::prepare::{Judged, Workshop, prepare};
use super::scan::{Found, Scanner, Sighting};
use super::watcher::Watcher;
use crate::config::{Config, ServiceName};
use crate::ingress::Routes;
use crate::service::{Catalog, Ledger, Release, Service};
use crate::wasm::{Library, Reach, Sandbox};

/// The directory of compiled code inside the data directory.
const COMPILED: &str = "compiled";

/// One service, as the controller keeps it.
struct Entry {
    service: Arc<Service>,
    known: Known,
    live: Option<Arc<Release>>,
    /// What the live release and other services expect of one another.
    terms: Option<Terms>,
    /// Its last file was refused for a conflict, which another service's change may end.
    conflicted: bool,
}

/// Something that was going on beside the controller has ended.
enum Ended {
    Judged(Judged),
    Drained(ServiceName),
}

/// See the module.
pub struct Controller {
    workshop: Arc<Workshop>,
    entries: BTreeMap<ServiceName, Entry>,
    routes: Arc<Routes>,
    catalog: Arc<Catalog>,
    ready: watch::Sender<bool>,
    /// Services that were there at the start and are not judged yet; `None` before the first scan.
    awaited: Option<BTreeSet<ServiceName>>,
    /// Releases that are warm, and not yet live: what they lack of other services may be on its way.
    waiting: Vec<Candidate>,
    /// What the last look at the directory found.
    found: Found,
    tasks: JoinSet<Ended>,
}

impl Controller {
    /// A controller with nothing deployed. It publishes to `routes` and `catalog`, and says `ready`
    /// when every service that was there at the start is up or refused.
    pub fn new(
        config: Config,
        sandbox: Arc<Sandbox>,
        reach: Reach,
        ledger: Arc<Ledger>,
        routes: Arc<Routes>,
        catalog: Arc<Catalog>,
        ready: watch::Sender<bool>,
    ) -> Self {
        let compiles = Semaphore::new(config.deploy.parallel_compiles.get());
        // loading is checking a sum and copying: more at once than there are processors gains nothing
        let loads = Semaphore::new(available_parallelism().map_or(1, NonZeroUsize::get));
        let cache = config.deploy.compile_cache;
        let cache = cache.map(|most| (config.data.join(COMPILED), most));
        let workshop = Arc::new(Workshop {
            library: Library::new(Arc::clone(&sandbox), cache),
            config,
            sandbox,
            reach,
            ledger,
            compiles,
            loads,
        });
        Self {
            workshop,
            entries: BTreeMap::new(),
            routes,
            catalog,
            ready,
            awaited: None,
            waiting: Vec::new(),
            found: Found::default(),
            tasks: JoinSet::new(),
        }
    }

    /// Follows the directory until `stop` changes, then drains everything by the configured grace.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let directory = self.workshop.config.services.clone();
        let quiet = self.workshop.config.deploy.quiet;
        // the watcher is there before the first scan, so that nothing falls between them
        let mut watcher = Watcher::new(&directory);
        let mut scanner = Some(Scanner::new(directory, quiet));
        let mut next_look = Some(Instant::now());
        loop {
            if next_look.is_some_and(|at| at <= Instant::now())
                && let Some(with) = scanner.take()
            {
                let (with, again) = self.look(with).await;
                scanner = Some(with);
                let now = Instant::now();
                next_look = if again {
                    Some(now)
                } else {
                    let unsettled = !self.found.unsettled.is_empty();
                    unsettled.then_some(now + quiet)
                };
            }
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(ended) = self.tasks.join_next() => {
                    if self.on_ended(ended) {
                        next_look = Some(Instant::now());
                    }
                }
                () = sleep_until(next_look.unwrap_or_else(Instant::now)), if next_look.is_some() => {}
                () = watcher.changed() => next_look = Some(Instant::now()),
            }
        }
        self.drain().await;
    }

    /// One look at the directory. `true` if another one is due at once.
    async fn look(&mut self, mut scanner: Scanner) -> (Scanner, bool) {
        let start = Instant::now();
        let scanning = tokio::task::spawn_blocking(move || {
            let found = scanner.scan();
            (scanner, found)
        });
        let scanner = match scanning.await {
            Ok((scanner, Ok(found))) => {
                debug!(
                    settled = found.settled.len(),
                    unsettled = found.unsettled.len(),
                    ms = start.elapsed().as_secs_f64() * 1e3,
                    "looked at the services directory"
                );
                self.found = found;
                scanner
            }
            Ok((scanner, Err(error))) => {
                let directory = self.workshop.config.services.display();
                warn!(%error, %directory, "the services directory can't be read; what runs goes on");
                return (scanner, false);
            }
            Err(error) => {
                error!(%error, "a scan failed");
                let config = &self.workshop.config;
                let (directory, quiet) = (config.services.clone(), config.deploy.quiet);
                return (Scanner::new(directory, quiet), false);
            }
        };
        let again = self.apply();
        if self.awaited.is_none() && self.found.unsettled.is_empty() {
            self.awaited = Some(
                self.entries
                    .iter()
                    .filter(|(_, e)| e.known.preparing)
                    .map(|(n, _)| n.clone())
                    .collect(),
            );
        }
        self.tell_ready();
        (scanner, again)
    }

    /// Carries out what the difference between the directory and what runs calls for. `true` if it
    /// calls for more after that.
    fn apply(&mut self) -> bool {
        let known = self.entries.iter();
        let known = known.map(|(name, entry)| (name, &entry.known)).collect();
        let steps = diff(&self.found, &known);
        let others = steps.iter().any(|step| !matches!(step, Step::Settle(_)));
        let mut gone = Vec::new();
        for step in steps {
            match step {
                Step::Deploy(name) => {
                    if let Some(sighting) = self.found.settled.get(&name).cloned() {
                        self.deploy(name, sighting);
                    }
                }
                Step::Settle(name) => {
                    if let Some(entry) = self.entries.get_mut(&name) {
                        entry.known.judged.clone_from(&entry.known.running);
                        entry.conflicted = false;
                        entry.service.clear_deploy_error();
                        info!(service = %name, "the file is again the one that runs");
                    }
                    self.no_longer_awaited(&name);
                }
                Step::Remove(name) => {
                    let release = self.remove(&name);
                    gone.extend(release.map(|release| (name, release)));
                }
            }
        }
        if others {
            self.publish_catalog();
        }
        if gone.is_empty() {
            return false;
        }
        self.publish_routes();
        for (name, release) in gone {
            self.retire(name, release);
        }
        self.retry_conflicts()
    }

    fn deploy(&mut self, name: ServiceName, sighting: Sighting) {
        let ledger = &self.workshop.ledger;
        let entry = self.entries.entry(name.clone()).or_insert_with(|| Entry {
            service: Service::new(name, ledger),
            known: Known::default(),
            live: None,
            terms: None,
            conflicted: false,
        });
        entry.known.preparing = true;
        entry.known.leaving = false;
        let work = prepare(
            Arc::clone(&self.workshop),
            Arc::clone(&entry.service),
            sighting,
        );
        self.tasks.spawn(async move { Ended::Judged(work.await) });
    }

    /// Takes a service's release away from it, if it has one, to be retired.
    fn remove(&mut self, name: &ServiceName) -> Option<Arc<Release>> {
        let entry = self.entries.get_mut(name)?;
        entry.known = Known {
            leaving: true,
            ..Known::default()
        };
        entry.conflicted = false;
        entry.terms = None;
        let release = entry.live.take();
        if release.is_some() {
            info!(service = %name, "the service's file is gone; it is drained");
            entry.service.publish(None);
        } else {
            self.entries.remove(name);
        }
        self.no_longer_awaited(name);
        for importer in self.bound_to(name) {
            warn!(service = %name, %importer, "a service is gone that another calls; its calls will fail");
        }
        release
    }

    /// Lets an old release finish beside what came after it.
    fn retire(&mut self, name: ServiceName, release: Arc<Release>) {
        release
            .supervisor
            .drain(Instant::now() + self.workshop.config.deploy.drain);
        self.tasks.spawn(async move {
            release.supervisor.ended().await;
            Ended::Drained(name)
        });
    }

    /// Ends everything, in the time that the configuration gives.
    async fn drain(mut self) {
        let until = Instant::now() + self.workshop.config.drain.grace;
        let live: Vec<_> = self
            .entries
            .values_mut()
            .filter_map(|entry| entry.live.take())
            .collect();
        for waiting in self.waiting.drain(..) {
            waiting.abandon();
        }
        for release in &live {
            release.supervisor.drain(until);
        }
        for release in &live {
            release.supervisor.ended().await;
        }
        self.tasks.shutdown().await;
    }
}
