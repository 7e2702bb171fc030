//! The table of routes, from what is live and what is to be.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::error;

use super::publish::Candidate;
use super::{Controller, Entry};
use crate::config::ServiceName;
use crate::exchange::Target;
use crate::router::{Conflict, Table};
use crate::service::Release;

impl Controller {
    /// The table of routes if these releases were those of their services.
    pub(super) fn table_with(&self, warm: &[Candidate]) -> Result<Table<Target>, Conflict> {
        let new: BTreeMap<_, _> = warm
            .iter()
            .map(|one| (&one.name, &one.warm.release))
            .collect();
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
