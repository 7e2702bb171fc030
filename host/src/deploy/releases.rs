//! The releases of each service that were accepted, kept so that they can be run again.
//!
//! In the data directory, `releases/NAME/` has the components and manifests of a service's last
//! releases, each in a file that is named for its SHA-256, and an index that says which belong
//! together, what became of them, and what the operator or the host decided: that deploys are held,
//! or that the service runs a former release as long as its files stay what they are. Whatever the
//! store has for whole is whole, whenever the process was killed. Nothing here is needed to serve:
//! a caller whose release can't be kept goes on without a history, and says so.

mod error;
#[cfg(test)]
mod fault;
mod folder;
mod format;
mod index;
mod keep;
mod rebuild;
mod record;
mod shelf;
mod sweep;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tracing::warn;

use self::folder::Folder;
use self::index::Index;
use self::shelf::{Change, Shelf};
use super::fingerprint::Fingerprint;
use crate::config::ServiceName;

pub use self::error::{Choice, Error, FindError};
pub use self::keep::{Kept, Source};
pub use self::record::{Pin, Record, State, Why};

/// The store's directory inside the data directory.
const DIRECTORY: &str = "releases";

/// So many digits of a digest are enough to ask for it.
const DIGITS: usize = 6;

/// A release that came out of the services directory.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'a> {
    /// The component's and the manifest's digests, as they were judged.
    pub content: &'a Fingerprint,
    /// The component.
    pub component: Source<'a>,
    /// The manifest's text, if there is a manifest.
    pub manifest: Option<&'a str>,
    /// What becomes of it: live, canary or held.
    pub state: State,
    /// When.
    pub at: SystemTime,
}

/// See the module. What only looks never waits for the disk; what changes something, or loads, does.
pub struct Releases {
    path: PathBuf,
    /// Records that are kept of each service, not counting those that have to be.
    keep: usize,
    shelves: Mutex<BTreeMap<ServiceName, Arc<Shelf>>>,
}

impl Releases {
    /// Opens the store in a data directory, which must be there and be this process's alone, and
    /// removes what a process before left unfinished. Keeps so many releases of each service.
    ///
    /// # Errors
    ///
    /// The directory can't be used. A service whose releases can't be read is no error, but has none
    /// until they can.
    pub fn open(data: &Path, keep: NonZeroUsize) -> Result<Self, Error> {
        let path = data.join(DIRECTORY);
        let top = Folder::open(&path)?;
        let mut shelves = BTreeMap::new();
        for entry in top.names()? {
            // what has another name is not ours
            let Ok(name) = ServiceName::parse(&entry) else {
                continue;
            };
            match Shelf::load(&top, &name) {
                Ok(shelf) => {
                    if shelf.look(Index::is_blank) {
                        // only if nothing is in it
                        let _ = top.remove_child(name.as_str());
                    }
                    shelves.insert(name, Arc::new(shelf));
                }
                Err(error) => {
                    warn!(service = %name, %error, "the releases of a service can't be used");
                }
            }
        }
        Ok(Self {
            path,
            keep: keep.get(),
            shelves: Mutex::new(shelves),
        })
    }

    /// Keeps a release that came out of the services directory, and prunes older ones. Its revision:
    /// a new one, or that of a former release with the same component and manifest.
    ///
    /// If it is live, what was live is kept from now on, and a pin is over. If it is the one that
    /// is live already, it stays so, whatever `state` says, and where nothing else changes nothing
    /// is written. Not to be called for a release that was loaded from the store: for that there
    /// are [`Self::pin`] and [`Self::mark`].
    ///
    /// # Errors
    ///
    /// It isn't kept: the disk is full or the like, or it is not what `content` says.
    pub fn accept(&self, name: &ServiceName, release: Accepted<'_>) -> Result<u64, Error> {
        self.change(name, |change| {
            let content = release.content;
            let live = change.index.live().filter(|r| r.content == *content);
            let size = match live.map(|live| change.has(live)).transpose()?.flatten() {
                Some(size) => size,
                None => keep::put(&change.begin_files()?, &release)?,
            };
            let revision = change
                .index
                .accept(content, size, release.state, release.at);
            change.index.prune(self.keep, Some(revision));
            Ok(revision)
        })
    }

    /// Says what became of a release, and why. Where only one release can have the state, the one
    /// that had it is kept. A canary or a held release that goes live comes after what was live
    /// until now; any other one keeps its place, as in a rollback. Ends a pin, unless the release
    /// that it names stays live.
    ///
    /// # Errors
    ///
    /// There is no such release, or the disk can't be written to.
    pub fn mark(
        &self,
        name: &ServiceName,
        revision: u64,
        state: State,
        note: Option<String>,
    ) -> Result<(), Error> {
        self.change_one(name, revision, |index| index.mark(revision, state, note))
    }

    /// Decides that a service runs a release from the store as long as its files are `pin.seen`. In
    /// one step that release is live, and what was live, or a canary of what was seen, is kept or,
    /// if the host decided, taken back.
    ///
    /// # Errors
    ///
    /// There is no such release, or the disk can't be written to.
    pub fn pin(&self, name: &ServiceName, pin: Pin) -> Result<(), Error> {
        self.change_one(name, pin.run, |index| index.pin(pin))
    }

    /// Ends the decision: the service is to run its files again.
    pub fn unpin(&self, name: &ServiceName) -> Result<(), Error> {
        self.change(name, |change| {
            change.index.pin = None;
            Ok(())
        })
    }

    /// Says whether the operator holds a service's deploys.
    pub fn freeze(&self, name: &ServiceName, frozen: bool) -> Result<(), Error> {
        self.change(name, |change| {
            change.index.frozen = frozen;
            Ok(())
        })
    }

    /// What was decided about a service. Whether it still stands, [`Pin::holds`] says.
    pub fn pinned(&self, name: &ServiceName) -> Option<Pin> {
        self.shelf(name)?.look(|index| index.pin.clone())
    }

    /// Whether the operator holds a service's deploys.
    pub fn frozen(&self, name: &ServiceName) -> bool {
        self.shelf(name)
            .is_some_and(|shelf| shelf.look(|index| index.frozen))
    }

    /// The releases of a service, newest first: in the order in which they were last accepted.
    pub fn list(&self, name: &ServiceName) -> Vec<Record> {
        self.shelf(name).map_or_else(Vec::new, |shelf| {
            shelf.look(|index| index.records.iter().rev().cloned().collect())
        })
    }

    /// The release that is meant by a revision or by 6 digits or more of a component's digest. A
    /// number is a revision if there is one; of several that begin so it is the newest.
    pub fn find(&self, name: &ServiceName, text: &str) -> Result<Record, FindError> {
        let records = self.list(name);
        if records.is_empty() {
            return Err(FindError::Empty(name.clone()));
        }
        let digits = text.to_ascii_lowercase();
        let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        let revision = text.parse::<u64>().ok();
        let by_revision = records.iter().find(|r| Some(r.revision) == revision);
        let by_digest = || {
            let mut matching = records
                .iter()
                .filter(|r| r.content.component.starts_with(&digits));
            (digits.len() >= DIGITS).then(|| matching.next()).flatten()
        };
        if let Some(found) = by_revision.or_else(by_digest) {
            return Ok(found.clone());
        }
        let kept = records.into_iter();
        let kept = Choice(kept.map(|r| (r.revision, r.content.component)).collect());
        let text = text.to_owned();
        if hex && revision.is_none() && digits.len() < DIGITS {
            Err(FindError::TooShort { text, kept })
        } else {
            Err(FindError::NoMatch { text, kept })
        }
    }

    /// The release that a rollback from this one goes to: what was live when it was accepted; or, if
    /// that was taken back or isn't kept, what it came after in turn.
    pub fn previous(&self, name: &ServiceName, revision: u64) -> Option<Record> {
        self.shelf(name)?
            .look(|index| index.previous(revision).cloned())
    }

    /// Reads a release, and checks that it is what it was.
    ///
    /// # Errors
    ///
    /// There is no such release, or its files are damaged.
    pub fn load(&self, name: &ServiceName, revision: u64) -> Result<Kept, Error> {
        self.read(name, revision, |folder, record| {
            let manifest = keep::manifest(folder, &record)?;
            let component = keep::component(folder, &record)?;
            Ok(Kept {
                record,
                component,
                manifest,
            })
        })
    }

    /// The same of its manifest alone, for a component whose code is compiled already.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`].
    pub fn manifest(&self, name: &ServiceName, revision: u64) -> Result<Option<String>, Error> {
        self.read(name, revision, |folder, record| {
            keep::manifest(folder, &record)
        })
    }

    fn read<T>(
        &self,
        name: &ServiceName,
        revision: u64,
        read: impl FnOnce(&Folder, Record) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let top = Folder::open(&self.path)?;
        let record = self.shelf_or_load(&top, name)?.record(revision)?;
        let folder = top.child(name.as_str())?;
        let folder = folder.ok_or_else(|| Error::Damaged {
            path: top.path(name.as_str()),
            reason: "is gone".to_owned(),
        })?;
        read(&folder, record)
    }

    fn shelf(&self, name: &ServiceName) -> Option<Arc<Shelf>> {
        self.shelves.lock().get(name).map(Arc::clone)
    }

    fn shelves(&self) -> Vec<(ServiceName, Arc<Shelf>)> {
        let shelves = self.shelves.lock();
        let shelves = shelves.iter();
        shelves.map(|(n, s)| (n.clone(), Arc::clone(s))).collect()
    }

    /// The shelf of a service that is new, or could not be read before.
    fn shelf_or_load(&self, top: &Folder, name: &ServiceName) -> Result<Arc<Shelf>, Error> {
        if let Some(known) = self.shelf(name) {
            return Ok(known);
        }
        let mut shelves = self.shelves.lock();
        // another thread may have been quicker; none may load, and tidy up, where another one writes
        if let Some(known) = shelves.get(name) {
            return Ok(Arc::clone(known));
        }
        let loaded = Arc::new(Shelf::load(top, name)?);
        shelves.insert(name.clone(), Arc::clone(&loaded));
        Ok(loaded)
    }

    fn change<T>(
        &self,
        name: &ServiceName,
        decide: impl FnOnce(&mut Change<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let top = Folder::open(&self.path)?;
        let place = self.shelf_or_load(&top, name)?;
        let mut change = place.change(&top);
        let answer = decide(&mut change)?;
        change.commit()?;
        Ok(answer)
    }

    fn change_one(
        &self,
        name: &ServiceName,
        revision: u64,
        decide: impl FnOnce(&mut Index) -> bool,
    ) -> Result<(), Error> {
        self.change(name, |change| {
            if !decide(&mut change.index) {
                return Err(change.unknown(revision));
            }
            change.index.prune(self.keep, None);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
