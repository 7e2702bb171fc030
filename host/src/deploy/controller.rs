//! The task that owns what is deployed.

mod entry;
mod judge;
mod orders;
mod publish;
mod routes;
mod terms;
mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use self::entry::{Decision, Entry};
use self::publish::Candidate;
use self::trials::Found;
use super::diff::{Known, Step, diff};
use super::operator::{Orders, Outcome, Progress, Refusal};
use super::prepare::{Judged, Origin, Workshop};
use super::scan::{Found as Directory, Scanner};
use super::watcher::Watcher;
use crate::config::ServiceName;
use crate::ingress::Routes;
use crate::service::canary::Canary;
use crate::service::{Catalog, Release};
use crate::telemetry::events::{Event, Kind, Stage};

/// How often the releases of services that are gone are looked through; their time is counted in months.
const SWEEP_EVERY: Duration = Duration::from_hours(24);

/// Something that was going on beside the controller has ended.
enum Ended {
    Judged(Judged),
    Drained(ServiceName),
    /// A canary.
    Tried(ServiceName, Arc<Canary>, Found),
    /// A release that had just taken over from the one of the number `good`.
    Watched {
        name: ServiceName,
        release: Arc<Release>,
        good: u64,
        found: Found,
    },
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
    found: Directory,
    orders: Orders,
    tasks: JoinSet<Ended>,
    /// The releases of services that are gone are to be looked through.
    sweep_due: bool,
    /// There are files that no look has dealt with.
    look_again: bool,
}

impl Controller {
    /// A controller with nothing deployed. It publishes to `routes` and `catalog`, and says `ready`
    /// when every service that was there at the start is up or refused.
    pub fn new(
        workshop: Workshop,
        orders: Orders,
        routes: Arc<Routes>,
        catalog: Arc<Catalog>,
        ready: watch::Sender<bool>,
    ) -> Self {
        Self {
            workshop: Arc::new(workshop),
            entries: BTreeMap::new(),
            routes,
            catalog,
            ready,
            awaited: None,
            waiting: Vec::new(),
            found: Directory::default(),
            orders,
            tasks: JoinSet::new(),
            sweep_due: true,
            look_again: false,
        }
    }

    /// Follows the directory until `stop` says until when, then drains everything by then.
    pub async fn run(mut self, mut stop: watch::Receiver<Option<Instant>>) {
        let directory = self.workshop.config.services.clone();
        let quiet = self.workshop.config.deploy.quiet;
        // the watcher is there before the first scan, so that nothing falls between them
        let mut watcher = Watcher::new(&directory);
        let mut scanner = Some(self.scanner());
        let mut next_look = Some(Instant::now());
        let mut next_sweep = Instant::now() + SWEEP_EVERY;
        loop {
            if next_look.is_some_and(|at| at <= Instant::now())
                && let Some(with) = scanner.take()
            {
                let looked = tokio::select! {
                    biased;
                    _ = stop.wait_for(Option::is_some) => None,
                    looked = self.look(with) => Some(looked),
                };
                let Some((with, again)) = looked else { break };
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
                _ = stop.wait_for(Option::is_some) => break,
                Some(ended) = self.tasks.join_next() => {
                    if self.on_ended(ended) {
                        next_look = Some(Instant::now());
                    }
                }
                Some(order) = self.orders.0.recv() => {
                    if self.obey(order) {
                        next_look = Some(Instant::now());
                    }
                }
                () = sleep_until(next_look.unwrap_or_else(Instant::now)), if next_look.is_some() => {}
                () = watcher.changed() => next_look = Some(Instant::now()),
                () = sleep_until(next_sweep) => {
                    self.sweep_due = true;
                    next_sweep += SWEEP_EVERY;
                    next_look = Some(Instant::now());
                }
            }
        }
        let until = *stop.borrow();
        self.drain(until.unwrap_or_else(Instant::now)).await;
    }

    /// Who has looked at nothing yet.
    fn scanner(&self) -> Scanner {
        let config = &self.workshop.config;
        let most = config.deploy.max_component_size as u64;
        Scanner::new(config.services.clone(), config.deploy.quiet, most)
    }

    /// One look at the directory. `true` if another one is due at once.
    async fn look(&mut self, mut scanner: Scanner) -> (Scanner, bool) {
        let start = Instant::now();
        let were_unsettled = !self.found.unsettled.is_empty();
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
                return (self.scanner(), false);
            }
        };
        self.do_without();
        let mut again = self.apply();
        if were_unsettled && self.found.unsettled.is_empty() && !self.waiting.is_empty() {
            // what they waited for may be gone
            again |= self.publish(Vec::new());
        }
        if self.awaited.is_none() && self.found.unsettled.is_empty() {
            self.awaited = Some(
                self.entries
                    .iter()
                    .filter(|(_, e)| e.known.preparing > 0)
                    .map(|(n, _)| n.clone())
                    .collect(),
            );
        }
        if self.sweep_due && self.found.unsettled.is_empty() {
            self.sweep_due = false;
            let present = self.found.settled.keys().chain(&self.found.unreadable);
            let present = present.cloned().collect();
            self.workshop.archive.sweep(present);
        }
        self.tell_ready();
        (scanner, again)
    }

    /// Services whose files can't be read: at the start what ran before runs, and nobody waits for more.
    fn do_without(&mut self) {
        for name in self.found.unreadable.clone() {
            let entry = self.entry(name.clone());
            if entry.known.preparing > 0 {
                continue;
            }
            if let (None, Some(ran)) = (&entry.live, entry.ran()) {
                entry.wait_for_first();
                self.order(&name, Origin::Kept(ran));
                self.publish_catalog();
                continue;
            }
            let message = format!("the files of {name} can't be read");
            entry.answer_all(&Refusal::Refused(message));
            self.no_longer_awaited(&name);
        }
    }

    /// Carries out what the difference between the directory and what runs calls for. `true` if it
    /// calls for more after that.
    fn apply(&mut self) -> bool {
        for (name, entry) in &mut self.entries {
            if let Some(found) = self.found.settled.get(name) {
                entry.forsake(&found.fingerprint);
            }
        }
        let known = self.entries.iter();
        let known = known.map(|(name, entry)| (name, &entry.known)).collect();
        let steps = diff(&self.found, &known);
        let others = steps.iter().any(|step| !matches!(step, Step::Settle(_)));
        let mut gone = Vec::new();
        for step in steps {
            match step {
                Step::Deploy(name) => self.deploy(&name),
                Step::Settle(name) => self.settle(&name),
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

    /// A service's files are again those that run.
    fn settle(&mut self, name: &ServiceName) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.known.judged.clone_from(&entry.known.running);
            entry.conflicted = false;
            entry.service.note(|notes| notes.deploy_error = None);
            info!(service = %name, "the file is again the one that runs");
        }
        self.end_canary(name, "the running release's file was put back");
        self.settle_pin(name);
        if let Some(entry) = self.entries.get_mut(name)
            && let Some(live) = &entry.live
        {
            let live = Outcome::of(&live.info, Progress::Live);
            let content = entry.known.running.clone();
            entry.told(content.as_ref(), &Ok(live));
        }
        self.no_longer_awaited(name);
    }

    /// Does with a service's files what was decided about such.
    fn deploy(&mut self, name: &ServiceName) {
        let Some(sighting) = self.found.settled.get(name).cloned() else {
            return;
        };
        let content = sighting.fingerprint.clone();
        let entry = self.entry(name.clone());
        match entry.decide(&content) {
            Decision::Take => self.order(name, Origin::Files(sighting)),
            Decision::Instead(revision) => {
                entry.known.judged = Some(content.clone());
                let message = format!(
                    "release {revision} runs in its place; take it with: wharf resume {name}"
                );
                entry.told(Some(&content), &Err(Refusal::Conflict(message)));
                let runs = entry.live.as_ref();
                let runs = runs.is_some_and(|live| live.info.revision == revision);
                if entry.pin.as_ref().is_some_and(|pin| pin.holds(&content)) {
                    entry.show_pin();
                } else {
                    entry.hold(&content);
                }
                if runs {
                    self.no_longer_awaited(name);
                } else {
                    self.order(name, Origin::Kept(revision));
                }
            }
            Decision::First(revision) => {
                entry.wait_for_first();
                self.order(name, Origin::Kept(revision));
            }
            Decision::Hold => {
                entry.known.leaving = false;
                entry.known.judged = Some(content.clone());
                let event = Event::deploy(Stage::Held)
                    .service(name)
                    .digest(&content.component);
                self.leave(name, &content, event);
                self.no_longer_awaited(name);
            }
        }
    }

    /// Takes a service's release away from it, if it has one, to be retired.
    fn remove(&mut self, name: &ServiceName) -> Option<Arc<Release>> {
        let entry = self.entries.get_mut(name)?;
        entry.remember();
        entry.known = Known {
            leaving: true,
            ..Known::default()
        };
        entry.conflicted = false;
        entry.terms = None;
        entry.facts = None;
        let message = format!("the files of {name} are gone");
        entry.answer_all(&Refusal::Conflict(message));
        let release = entry.live.take();
        if release.is_some() {
            let event = Event::of(Kind::Removed).service(name);
            entry.service.publish(None);
            self.tell(event.say("the service's file is gone; it is drained"));
            self.end_canary(name, "the service's file is gone");
        } else if entry.retiring == 0 {
            self.forget(name);
        }
        self.no_longer_awaited(name);
        for importer in self.bound_to(name) {
            warn!(service = %name, %importer, "a service is gone that another calls; its calls will fail");
        }
        release
    }

    /// Tells the operator what happened.
    fn tell(&self, event: Event) {
        self.workshop.ledger.events.tell(event);
    }

    /// Lets an old release finish beside what came after it.
    fn retire(&mut self, name: ServiceName, release: Arc<Release>) {
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.retiring += 1;
        }
        release
            .supervisor
            .drain(Instant::now() + self.workshop.config.deploy.drain);
        self.tasks.spawn(async move {
            release.supervisor.ended().await;
            Ended::Drained(name)
        });
    }

    /// Ends everything by then.
    async fn drain(mut self, until: Instant) {
        let entries = self.entries.values_mut();
        let live: Vec<_> = entries
            .flat_map(|entry| {
                let tried = entry.service.try_out(None);
                let tried = tried.map(|canary| Arc::clone(&canary.release));
                entry.live.take().into_iter().chain(tried)
            })
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
