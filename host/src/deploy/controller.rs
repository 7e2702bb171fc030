//! The task that owns what is deployed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::diff::{Known, Step, diff};
use super::prepare::{Judged, Prepared, Workshop, prepare};
use super::scan::{Found, Scanner};
use super::watcher::Watcher;
use crate::config::{Config, ServiceName};
use crate::ingress::{Routes, Target};
use crate::keyvalue::Store as KeyValueStore;
use crate::router::{Conflict, Table};
use crate::service::{Ledger, Release, Service};
use crate::wasm::{Component, Sandbox};

/// The services as the admin API sees them.
pub type Catalog = ArcSwap<BTreeMap<ServiceName, Arc<Service>>>;

/// One service, as the controller keeps it.
struct Entry {
    service: Arc<Service>,
    known: Known,
    live: Option<(Arc<Release>, Component)>,
    /// Its last file was refused for a conflict, which another service's change may end.
    conflicted: bool,
}

/// Something that was going on beside the controller has ended.
enum Ended {
    Judged(Box<Judged>),
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
    tasks: JoinSet<Ended>,
}

impl Controller {
    /// A controller with nothing deployed. It publishes to `routes` and `catalog`, and says `ready`
    /// when every service that was there at the start is up or refused.
    pub fn new(
        config: Config,
        sandbox: Arc<Sandbox>,
        keyvalue: Arc<dyn KeyValueStore>,
        ledger: Arc<Ledger>,
        routes: Arc<Routes>,
        catalog: Arc<Catalog>,
        ready: watch::Sender<bool>,
    ) -> Self {
        let compiles = Semaphore::new(config.deploy.parallel_compiles.get());
        let workshop = Arc::new(Workshop {
            config,
            sandbox,
            keyvalue,
            ledger,
            compiles,
        });
        Self {
            workshop,
            entries: BTreeMap::new(),
            routes,
            catalog,
            ready,
            awaited: None,
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
        loop {
            let unsettled = match scanner.take() {
                Some(with) => {
                    let (with, again) = self.look(with).await;
                    scanner = Some(with);
                    again
                }
                None => false,
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(ended) => self.on_end(ended),
                    Err(error) => error!(%error, "a deploy task failed"),
                },
                () = sleep(quiet), if unsettled => {}
                () = watcher.changed() => {}
            }
        }
        self.drain().await;
    }

    /// One look at the directory. `true` if files were still being written.
    async fn look(&mut self, mut scanner: Scanner) -> (Scanner, bool) {
        let scanning = tokio::task::spawn_blocking(move || {
            let found = scanner.scan();
            (scanner, found)
        });
        let (scanner, found) = match scanning.await {
            Ok((scanner, Ok(found))) => (scanner, found),
            Ok((scanner, Err(error))) => {
                let directory = self.workshop.config.services.display();
                warn!(%error, %directory, "the services directory can't be read; what runs goes on");
                return (scanner, false);
            }
            Err(error) => {
                error!(%error, "a scan failed");
                let config = &self.workshop.config;
                return (
                    Scanner::new(config.services.clone(), config.deploy.quiet),
                    true,
                );
            }
        };
        self.apply(&found);
        let unsettled = !found.unsettled.is_empty();
        if self.awaited.is_none() && !unsettled {
            self.awaited = Some(
                self.entries
                    .iter()
                    .filter(|(_, e)| e.known.preparing)
                    .map(|(n, _)| n.clone())
                    .collect(),
            );
        }
        self.tell_ready();
        (scanner, unsettled)
    }

    fn apply(&mut self, found: &Found) {
        let known = self
            .entries
            .iter()
            .map(|(name, entry)| (name.clone(), entry.known.clone()))
            .collect();
        for step in diff(found, &known) {
            match step {
                Step::Deploy(name) => self.deploy(name),
                Step::Settle(name) => {
                    if let Some(entry) = self.entries.get_mut(&name) {
                        entry.known.judged.clone_from(&entry.known.running);
                        entry.service.clear_deploy_error();
                        info!(service = %name, "the file is again the one that runs");
                    }
                }
                Step::Remove(name) => self.remove(&name),
            }
        }
    }

    fn deploy(&mut self, name: ServiceName) {
        let ledger = &self.workshop.ledger;
        let entry = self.entries.entry(name.clone()).or_insert_with(|| Entry {
            service: Service::new(name, ledger),
            known: Known::default(),
            live: None,
            conflicted: false,
        });
        entry.known.preparing = true;
        entry.known.leaving = false;
        let compiled = entry
            .live
            .as_ref()
            .map(|(release, component)| (Arc::clone(&release.info.digest), component.clone()));
        let work = prepare(
            Arc::clone(&self.workshop),
            Arc::clone(&entry.service),
            compiled,
        );
        self.tasks
            .spawn(async move { Ended::Judged(Box::new(work.await)) });
        self.publish_catalog();
    }

    fn remove(&mut self, name: &ServiceName) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        entry.known = Known {
            leaving: true,
            ..Known::default()
        };
        entry.conflicted = false;
        let Some((release, _)) = entry.live.take() else {
            self.forget(name);
            return;
        };
        info!(service = %name, "the service's file is gone; it is drained");
        entry.service.publish(None);
        let name = name.clone();
        self.publish_routes();
        self.retry_conflicts();
        self.retire(name, release);
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

    fn on_end(&mut self, ended: Ended) {
        match ended {
            Ended::Judged(judged) => self.on_judged(*judged),
            Ended::Drained(name) => {
                if self
                    .entries
                    .get(&name)
                    .is_some_and(|entry| entry.known.leaving)
                {
                    self.forget(&name);
                }
            }
        }
    }

    fn on_judged(&mut self, judged: Judged) {
        let Judged {
            name,
            fingerprint,
            outcome,
        } = judged;
        if let Some(awaited) = &mut self.awaited {
            awaited.remove(&name);
        }
        let Some(entry) = self.entries.get_mut(&name) else {
            return;
        };
        entry.known.preparing = false;
        entry.known.judged.clone_from(&fingerprint);
        entry.conflicted = false;
        match outcome {
            Ok(prepared) => match self.table_with(&name, &prepared.release) {
                Ok(table) => {
                    if let Some(entry) = self.entries.get_mut(&name) {
                        entry.known.running = fingerprint;
                    }
                    self.publish(&name, prepared, table);
                }
                Err(conflict) => {
                    prepared.release.supervisor.drain(Instant::now());
                    if let Some(entry) = self.entries.get_mut(&name) {
                        entry.conflicted = true;
                        refuse(&entry.service, &format!("{name} is not taken: {conflict}"));
                    }
                }
            },
            Err(error) => refuse(&entry.service, &format!("{error:#}")),
        }
        self.tell_ready();
    }

    /// Makes a warm release the one that is served, in one step.
    fn publish(&mut self, name: &ServiceName, prepared: Prepared, table: Table<Target>) {
        let Prepared { release, component } = prepared;
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        let routes: Vec<String> = release
            .manifest
            .routes
            .iter()
            .map(ToString::to_string)
            .collect();
        let before = entry.live.replace((Arc::clone(&release), component));
        entry.service.publish(Some(Arc::clone(&release)));
        self.routes.store(Arc::new(table));
        info!(service = %name, digest = %release.info.digest, ?routes, instances = release.manifest.instances.count.get(),
            "a release is live");
        if let Some((old, _)) = before {
            self.retire(name.clone(), old);
        }
        self.retry_conflicts();
    }

    /// The table of routes if `release` were the one of service `name`.
    fn table_with(
        &self,
        name: &ServiceName,
        release: &Arc<Release>,
    ) -> Result<Table<Target>, Conflict> {
        let others = self
            .entries
            .iter()
            .filter(|(other, _)| *other != name)
            .filter_map(|(other, entry)| {
                let (release, _) = entry.live.as_ref()?;
                Some((other.clone(), &entry.service, release))
            });
        let this = self
            .entries
            .get(name)
            .map(|entry| (name.clone(), &entry.service, release));
        Table::build(others.chain(this).map(|(name, service, release)| {
            let target = Target {
                service: Arc::clone(service),
                release: Arc::clone(release),
            };
            (name, release.manifest.routes.clone(), target)
        }))
    }

    fn publish_routes(&self) {
        let live = self.entries.iter().filter_map(|(name, entry)| {
            let (release, _) = entry.live.as_ref()?;
            let target = Target {
                service: Arc::clone(&entry.service),
                release: Arc::clone(release),
            };
            Some((name.clone(), release.manifest.routes.clone(), target))
        });
        match Table::build(live) {
            Ok(table) => self.routes.store(Arc::new(table)),
            // a part of a table without conflicts has none
            Err(conflict) => error!(%conflict, "the routes could not be rebuilt"),
        }
    }

    fn publish_catalog(&self) {
        let services = self
            .entries
            .iter()
            .map(|(name, entry)| (name.clone(), Arc::clone(&entry.service)));
        self.catalog.store(Arc::new(services.collect()));
    }

    fn forget(&mut self, name: &ServiceName) {
        self.entries.remove(name);
        self.publish_catalog();
    }

    /// Files refused for a conflict are judged again, now that the routes have changed.
    fn retry_conflicts(&mut self) {
        for entry in self.entries.values_mut().filter(|entry| entry.conflicted) {
            entry.conflicted = false;
            entry.known.judged = None;
        }
    }

    fn tell_ready(&self) {
        if self.awaited.as_ref().is_some_and(BTreeSet::is_empty) {
            self.ready.send_replace(true);
        }
    }

    /// Ends everything, in the time that the configuration gives.
    async fn drain(mut self) {
        let until = Instant::now() + self.workshop.config.drain.grace;
        let live: Vec<_> = self
            .entries
            .values_mut()
            .filter_map(|entry| entry.live.take())
            .collect();
        for (release, _) in &live {
            release.supervisor.drain(until);
        }
        for (release, _) in &live {
            release.supervisor.ended().await;
        }
        self.tasks.shutdown().await;
    }
}

fn refuse(service: &Service, message: &str) {
    warn!(service = %service.name, reason = message, "a file is refused; what was served before still is");
    service.note_deploy_error(message.to_owned());
}
