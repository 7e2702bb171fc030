//! The releases of one service, in memory and in their directory.
//!
//! The directory is written first, files before the index that names them, and memory follows; files
//! are removed after the index that no longer names them was written. So the index on the disk never
//! names a file that isn't whole, whenever the process ends.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tracing::{debug, warn};

use super::error::Error;
use super::folder::{Folder, PART, Unread, failed};
use super::format::{Unfit, parse, render};
use super::index::Index;
use super::rebuild::{is_there, rebuild};
use super::record::{Record, is_digest};
use crate::config::ServiceName;

/// The name of an index.
pub(super) const INDEX: &str = "index.json";

/// What an index is called that was damaged.
pub(super) const DAMAGED: &str = "index.json.damaged";

/// The most bytes of an index that are read.
const LARGEST_INDEX: u64 = 16 << 20;

/// See the module.
pub(super) struct Shelf {
    name: ServiceName,
    /// Who changes something holds it, and keeps it while it waits for the disk.
    writing: Mutex<()>,
    /// Never locked for longer than it takes to look.
    index: Mutex<Index>,
    /// It is not known whether the disk has what memory has.
    unsure: AtomicBool,
}

/// The right to change a shelf.
pub(super) struct Change<'a> {
    shelf: &'a Shelf,
    top: &'a Folder,
    /// What will be, if it is committed.
    pub index: Index,
    /// Its files change, so the index is written even if it is what it was.
    files: bool,
    _alone: MutexGuard<'a, ()>,
}

impl Shelf {
    /// What is kept of a service.
    pub(super) fn load(top: &Folder, name: &ServiceName) -> Result<Self, Error> {
        let (index, unsure) = match top.child(name.as_str())? {
            Some(folder) => read(&folder)?,
            None => (Index::default(), false),
        };
        Ok(Self {
            name: name.clone(),
            writing: Mutex::new(()),
            index: Mutex::new(index),
            unsure: AtomicBool::new(unsure),
        })
    }

    /// Looks at the releases. It never waits for the disk.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.lock())
    }

    /// Begins a change.
    pub(super) fn change<'a>(&'a self, top: &'a Folder) -> Change<'a> {
        let alone = self.writing.lock();
        Change {
            shelf: self,
            top,
            index: self.index.lock().clone(),
            files: false,
            _alone: alone,
        }
    }

    /// The record with this revision.
    pub(super) fn record(&self, revision: u64) -> Result<Record, Error> {
        let found = self.look(|index| index.get(revision).cloned());
        found.ok_or_else(|| self.unknown(revision))
    }

    fn unknown(&self, revision: u64) -> Error {
        Error::Unknown {
            service: self.name.clone(),
            revision,
        }
    }
}

impl Change<'_> {
    /// The service's directory, which is made if it is missing, to put files into.
    pub(super) fn begin_files(&mut self) -> Result<Folder, Error> {
        self.files = true;
        self.folder()
    }

    /// The size of a release's component, if the release's files are in the store.
    pub(super) fn has(&self, record: &Record) -> Result<Option<u64>, Error> {
        let folder = self.top.child(self.shelf.name.as_str())?;
        let there = folder.is_some_and(|folder| is_there(&folder, record));
        Ok(there.then_some(record.size_bytes))
    }

    /// What to say where there is no such release.
    pub(super) fn unknown(&self, revision: u64) -> Error {
        self.shelf.unknown(revision)
    }

    fn folder(&self) -> Result<Folder, Error> {
        self.top.make_child(self.shelf.name.as_str())
    }

    /// Makes it so, on the disk and then in memory. On an error memory is as it was, and the disk is
    /// either so or so.
    pub(super) fn commit(self) -> Result<(), Error> {
        let unsure = self.shelf.unsure.load(Ordering::Relaxed);
        if !unsure && !self.files && self.index == *self.shelf.index.lock() {
            return Ok(());
        }
        let folder = self.folder()?;
        self.shelf.unsure.store(true, Ordering::Relaxed);
        write(&folder, &self.index)?;
        self.shelf.unsure.store(false, Ordering::Relaxed);
        *self.shelf.index.lock() = self.index.clone();
        tidy(&folder, &self.index);
        Ok(())
    }

    /// Forgets the service.
    pub(super) fn clear(self) -> Result<(), Error> {
        let name = self.shelf.name.as_str();
        let Some(folder) = self.top.child(name)? else {
            *self.shelf.index.lock() = Index::default();
            return Ok(());
        };
        match folder.remove(INDEX) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed("removed", &folder.path(INDEX))(error));
            }
            _ => {}
        }
        *self.shelf.index.lock() = Index::default();
        self.shelf.unsure.store(false, Ordering::Relaxed);
        let _ = folder.remove(DAMAGED);
        tidy(&folder, &Index::default());
        // what isn't ours in it keeps it there
        let _ = self.top.remove_child(name);
        Ok(())
    }
}

/// Reads what a directory holds, and whether it has to be written again.
fn read(folder: &Folder) -> Result<(Index, bool), Error> {
    let shown = folder.path(INDEX);
    let (reason, salvaged) = match folder.read(INDEX, LARGEST_INDEX) {
        Ok(bytes) => match parse(&bytes) {
            Ok(index) => {
                tidy(folder, &index);
                return Ok((index, false));
            }
            Err(Unfit::Newer(version)) => {
                let path = shown;
                return Err(Error::Newer { path, version });
            }
            Err(Unfit::Damaged(reason, salvaged)) => {
                // a copy, so that there is never no index
                let aside = folder.put(DAMAGED, |file| {
                    let copied = std::io::Write::write_all(file, &bytes);
                    copied.map_err(failed("written", &folder.path(DAMAGED)))
                });
                (aside.map(|()| reason), *salvaged)
            }
        },
        Err(Unread::Missing) => {
            // no release was ever accepted whole
            tidy(folder, &Index::default());
            return Ok((Index::default(), false));
        }
        Err(Unread::Odd(reason)) => {
            let aside = folder.rename(INDEX, DAMAGED);
            let aside = aside.map_err(failed("renamed", &shown));
            (aside.map(|()| reason), Index::lost())
        }
        Err(Unread::Io(error)) => return Err(failed("read", &shown)(error)),
    };
    let index = rebuild(folder, salvaged);
    let written = reason.and_then(|reason| {
        warn!(file = %shown.display(), reason, releases = index.records.len(),
            "the index of a service's releases is damaged; it is set aside, and what can be told without it is kept");
        write(folder, &index)
    });
    match written {
        Ok(()) => {
            tidy(folder, &index);
            Ok((index, false))
        }
        Err(error) => {
            warn!(%error, "a damaged index can't be replaced; it is tried again with the next change");
            Ok((index, true))
        }
    }
}

fn write(folder: &Folder, index: &Index) -> Result<(), Error> {
    folder.put(INDEX, |file| {
        let text = render(index).map_err(std::io::Error::from);
        let written = text.and_then(|text| std::io::Write::write_all(file, text.as_bytes()));
        written.map_err(failed("written", &folder.path(INDEX)))
    })
}

/// Removes files of ours that no record names: what was pruned, and what an end of the process left.
fn tidy(folder: &Folder, index: &Index) {
    let needed = index.files();
    let names = match folder.names() {
        Ok(names) => names,
        Err(error) => {
            warn!(%error, "files that are no longer needed are not removed");
            return;
        }
    };
    let ours = |name: &str| {
        let whole = name.strip_suffix(PART).unwrap_or(name);
        let digest = whole.strip_suffix(".wasm").or(whole.strip_suffix(".toml"));
        digest.is_some_and(is_digest) || (whole != name && [INDEX, DAMAGED].contains(&whole))
    };
    for name in names {
        if !ours(&name) || needed.contains(&name) {
            continue;
        }
        let file = folder.path(&name);
        match folder.remove(&name) {
            Ok(()) => debug!(file = %file.display(), "a file is no longer needed"),
            Err(error) => {
                warn!(file = %file.display(), %error, "a file that is no longer needed can't be removed");
            }
        }
    }
}
