//! From what was judged to what is served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinError;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{Controller, Ended, Entry};
use crate::config::ServiceName;
use crate::deploy::fingerprint::Fingerprint;
use crate::deploy::prepare::Judged;
use crate::exchange::Target;
use crate::router::{Conflict, Table};
use crate::service::{Release, Service};

/// A warm release that is to be published.
struct Candidate {
    name: ServiceName,
    fingerprint: Option<Fingerprint>,
    release: Arc<Release>,
}

impl Controller {
    /// Takes in what has ended, and all else that has by now: a thousand releases that become warm
    /// at about the same time need not make a thousand tables. `true` if the directory may hold what
    /// no look has dealt with.
    pub(super) fn on_ended(&mut self, ended: Result<Ended, JoinError>) -> bool {
        let mut again = false;
        let mut warm = Vec::new();
        let mut ended = Some(ended);
        while let Some(one) = ended.take().or_else(|| self.tasks.try_join_next()) {
            match one {
                Ok(Ended::Judged(judged)) => {
                    again |= self.is_outdated(&judged);
                    warm.extend(self.on_judged(judged));
                }
                Ok(Ended::Drained(name)) => self.on_drained(&name),
                Err(error) => error!(%error, "a deploy task failed"),
            }
        }
        again |= self.publish(warm);
        self.tell_ready();
        again
    }

    /// Whether the last look found something else than what was judged. Files that couldn't be read
    /// are tried again by the watcher's slow tick.
    fn is_outdated(&self, judged: &Judged) -> bool {
        let found = self.found.settled.get(&judged.name);
        let found = found.map(|sighting| &sighting.fingerprint);
        judged.fingerprint.is_some() && judged.fingerprint.as_ref() != found
    }

    fn on_drained(&mut self, name: &ServiceName) {
        let entry = self.entries.get(name);
        if entry.is_some_and(|entry| entry.known.leaving) {
            self.entries.remove(name);
            self.publish_catalog();
        }
    }

    /// Notes a judgement. A release that is warm is given back, to be published.
    fn on_judged(&mut self, judged: Judged) -> Option<Candidate> {
        let Judged {
            name,
            fingerprint,
            outcome,
        } = judged;
        if let Some(awaited) = &mut self.awaited {
            awaited.remove(&name);
        }
        let entry = self.entries.get_mut(&name)?;
        entry.known.preparing = false;
        entry.known.judged.clone_from(&fingerprint);
        entry.conflicted = false;
        match outcome {
            Ok(release) => Some(Candidate {
                name,
                fingerprint,
                release,
            }),
            Err(error) => {
                refuse(&entry.service, &format!("{error:#}"));
                None
            }
        }
    }

    /// Makes warm releases those that are served, in one step if they get along with each other and
    /// with what is served. `true` if files that were refused may now be taken.
    fn publish(&mut self, warm: Vec<Candidate>) -> bool {
        if warm.is_empty() {
            return false;
        }
        match self.table_with(&warm) {
            Ok(table) => {
                self.go_live(warm, table);
                self.retry_conflicts()
            }
            Err(conflict) => match <[Candidate; 1]>::try_from(warm) {
                Ok([alone]) => {
                    self.refuse_conflicting(&alone, &conflict);
                    false
                }
                // one by one, to see which of them it is
                Err(several) => {
                    let mut again = false;
                    for one in several {
                        again |= self.publish(vec![one]);
                    }
                    again
                }
            },
        }
    }

    fn go_live(&mut self, warm: Vec<Candidate>, table: Table<Target>) {
        let mut replaced = Vec::new();
        for Candidate {
            name,
            fingerprint,
            release,
        } in warm
        {
            let Some(entry) = self.entries.get_mut(&name) else {
                continue;
            };
            entry.known.running = fingerprint;
            let before = entry.live.replace(Arc::clone(&release));
            entry.service.publish(Some(Arc::clone(&release)));
            let routes = release.manifest.routes.iter().map(ToString::to_string);
            info!(service = %name, digest = %release.info.digest, routes = ?routes.collect::<Vec<_>>(),
                instances = release.manifest.instances.count.get(), "a release is live");
            replaced.extend(before.map(|old| (name, old)));
        }
        self.routes.store(Arc::new(table));
        for (name, old) in replaced {
            self.retire(name, old);
        }
    }

    fn refuse_conflicting(&mut self, candidate: &Candidate, conflict: &Conflict) {
        let Candidate { name, release, .. } = candidate;
        release.supervisor.drain(Instant::now());
        if let Some(entry) = self.entries.get_mut(name) {
            entry.conflicted = true;
            refuse(&entry.service, &format!("{name} is not taken: {conflict}"));
        }
    }

    /// The table of routes if these releases were those of their services.
    fn table_with(&self, warm: &[Candidate]) -> Result<Table<Target>, Conflict> {
        let new: BTreeMap<_, _> = warm.iter().map(|one| (&one.name, &one.release)).collect();
        let (served, coming): (Vec<_>, Vec<_>) = self
            .entries
            .iter()
            .partition(|(name, _)| !new.contains_key(name));
        let served = served
            .into_iter()
            .filter_map(|(name, entry)| Some((name, entry, entry.live.as_ref()?)));
        // what is served comes first, so that a conflict is the newcomer's
        let coming = coming
            .into_iter()
            .filter_map(|(name, entry)| Some((name, entry, *new.get(name)?)));
        table(served.chain(coming))
    }

    pub(super) fn publish_routes(&self) {
        let live = self
            .entries
            .iter()
            .filter_map(|(name, entry)| Some((name, entry, entry.live.as_ref()?)));
        match table(live) {
            Ok(table) => self.routes.store(Arc::new(table)),
            // a part of a table without conflicts has none
            Err(conflict) => error!(%conflict, "the routes could not be rebuilt"),
        }
    }

    pub(super) fn publish_catalog(&self) {
        let services = self
            .entries
            .iter()
            .map(|(name, entry)| (name.clone(), Arc::clone(&entry.service)));
        self.catalog.store(Arc::new(services.collect()));
    }

    /// Files refused for a conflict are judged again, now that the routes have changed. `true` if
    /// there are any.
    pub(super) fn retry_conflicts(&mut self) -> bool {
        let mut any = false;
        for entry in self.entries.values_mut().filter(|entry| entry.conflicted) {
            entry.conflicted = false;
            entry.known.judged = None;
            any = true;
        }
        any
    }

    pub(super) fn tell_ready(&self) {
        if self.awaited.as_ref().is_some_and(BTreeSet::is_empty) {
            self.ready.send_replace(true);
        }
    }
}

/// The table of these services' routes.
fn table<'a>(
    live: impl Iterator<Item = (&'a ServiceName, &'a Entry, &'a Arc<Release>)>,
) -> Result<Table<Target>, Conflict> {
    Table::build(live.map(|(name, entry, release)| {
        let target = Target {
            service: Arc::clone(&entry.service),
            release: Arc::clone(release),
        };
        (name.clone(), release.manifest.routes.clone(), target)
    }))
}

fn refuse(service: &Service, message: &str) {
    warn!(service = %service.name, reason = message, "a file is refused; what was served before still is");
    service.note_deploy_error(message.to_owned());
}
