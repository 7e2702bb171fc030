//! What the services directory holds now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread::{Builder, available_parallelism};
use std::time::{Duration, Instant, SystemTime};

use tracing::warn;

use super::fingerprint::{Files, Fingerprint, Stamp, fingerprint};
use crate::config::ServiceName;

/// A component's, and its manifest's.
type Stamps = (Stamp, Option<Stamp>);

/// What the files of a service were, when they had been quiet for long enough.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub fingerprint: Fingerprint,
    /// The component's. A file that still has it still has the content that was seen.
    pub stamp: Stamp,
}

struct Seen {
    stamps: Stamps,
    /// When the stamps were first seen as they are.
    since: Instant,
    fingerprint: Option<Fingerprint>,
    /// It could not be read, which was told.
    unread: bool,
}

/// Remembers what was seen, so that only what changed is read.
pub(super) struct Scanner {
    directory: PathBuf,
    quiet: Duration,
    /// Larger components aren't read.
    most: u64,
    seen: BTreeMap<ServiceName, Seen>,
    /// No look was taken yet.
    first: bool,
    refused_names: BTreeMap<PathBuf, Stamp>,
}

/// The outcome of one scan.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Services whose files have been quiet for long enough.
    pub settled: BTreeMap<ServiceName, Sighting>,
    /// Services whose files are still being written: to be left as they are until they settle.
    pub unsettled: BTreeSet<ServiceName>,
    /// Services whose files can't be read: to be left as they are. Nobody waits for them.
    pub unreadable: BTreeSet<ServiceName>,
}

impl Found {
    /// Whether a service has files.
    pub(super) fn has(&self, name: &ServiceName) -> bool {
        self.settled.contains_key(name)
            || self.unsettled.contains(name)
            || self.unreadable.contains(name)
    }
}

impl Scanner {
    pub(super) fn new(directory: PathBuf, quiet: Duration, most: u64) -> Self {
        Self {
            directory,
            quiet,
            most,
            seen: BTreeMap::new(),
            first: true,
            refused_names: BTreeMap::new(),
        }
    }

    /// Looks at the directory. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// A directory that can't be read: nothing is known then, which is not the same as empty.
    pub(super) fn scan(&mut self) -> io::Result<Found> {
        let now = Instant::now();
        let mut found = Found::default();
        let mut present = BTreeMap::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if let Some((name, stamps)) = self.recognise(&path) {
                present.insert(name, stamps);
            }
        }
        self.seen.retain(|name, _| present.contains_key(name));
        for (name, stamps) in &present {
            self.look(name, *stamps, now);
        }
        self.read(now);
        self.first = false;
        for (name, stamps) in present {
            match self.seen.get(&name) {
                Some(Seen {
                    fingerprint: Some(fingerprint),
                    ..
                }) => {
                    let (fingerprint, stamp) = (fingerprint.clone(), stamps.0);
                    found.settled.insert(name, Sighting { fingerprint, stamp });
                }
                Some(Seen { unread: true, .. }) => {
                    found.unreadable.insert(name);
                }
                _ => {
                    found.unsettled.insert(name);
                }
            }
        }
        Ok(found)
    }

    /// A service's name and stamps, if the path is a component's.
    fn recognise(&mut self, path: &Path) -> Option<(ServiceName, Stamps)> {
        let stem = path.file_stem()?.to_str()?;
        if path.extension()? != "wasm" || stem.starts_with('.') {
            return None;
        }
        let data = std::fs::metadata(path).ok().filter(Metadata::is_file)?;
        let stamp = Stamp::from(&data);
        let name = match ServiceName::parse(stem) {
            Ok(name) => name,
            Err(error) => {
                if self.refused_names.insert(path.to_owned(), stamp) != Some(stamp) {
                    warn!(file = ?path, %error, "a file is not deployed: its name can't be a service's");
                }
                return None;
            }
        };
        let manifest = std::fs::metadata(Files::of(&self.directory, &name).manifest).ok();
        Some((name, (stamp, manifest.as_ref().map(Stamp::from))))
    }

    /// Notes the stamps that a service's files have now.
    fn look(&mut self, name: &ServiceName, stamps: Stamps, now: Instant) {
        let fresh = Seen {
            stamps,
            since: now,
            fingerprint: None,
            unread: false,
        };
        match self.seen.get_mut(name) {
            Some(seen) if seen.stamps == stamps => {}
            Some(seen) => *seen = fresh,
            None => {
                self.seen.insert(name.clone(), fresh);
            }
        }
    }

    /// Reads what has been quiet for long enough and wasn't read yet, on all processors: at the start
    /// it may be a lot.
    fn read(&mut self, now: Instant) {
        let (directory, quiet, most) = (&self.directory, self.quiet, self.most);
        let first = self.first;
        let is_due = |seen: &Seen| {
            // what lay there before the start needn't be waited for, if the clock can be believed
            let settled =
                now.duration_since(seen.since) >= quiet || (first && all_older(seen.stamps, quiet));
            settled && seen.fingerprint.is_none()
        };
        let mut due: Vec<_> = self
            .seen
            .iter_mut()
            .filter(|(_, seen)| is_due(seen))
            .collect();
        let work = |(name, seen): &mut (&ServiceName, &mut Seen)| {
            match fingerprint(&Files::of(directory, name), most) {
                Ok(read) => seen.fingerprint = Some(read),
                // seen as gone by the next scan
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    if !std::mem::replace(&mut seen.unread, true) {
                        warn!(service = %name, %error, "a service's files can't be read; what runs goes on");
                    }
                }
            }
        };
        let share = due
            .len()
            .div_ceil(available_parallelism().map_or(1, NonZeroUsize::get));
        let mut shares = due.chunks_mut(share.max(1));
        let mine = shares.next();
        std::thread::scope(|scope| {
            for share in shares {
                // where there is no thread to be had, the next look reads them
                let _ = Builder::new().spawn_scoped(scope, move || share.iter_mut().for_each(work));
            }
            mine.into_iter().flatten().for_each(work);
        });
    }
}

/// Whether both files were last changed so long ago.
fn all_older((component, manifest): Stamps, quiet: Duration) -> bool {
    let now = SystemTime::now();
    let old = |stamp: Stamp| stamp.age(now).is_some_and(|age| age >= quiet);
    old(component) && manifest.is_none_or(old)
}

#[cfg(test)]
mod tests {
    use super::super::fingerprint::sha256;
    use super::*;

    fn names(found: &Found) -> Vec<&str> {
        found.settled.keys().map(ServiceName::as_str).collect()
    }

    #[test]
    fn components_are_found_with_their_manifests_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        for name in [
            "login.wasm",
            "login.toml",
            "register.wasm",
            "lonely.toml",
            ".hidden.wasm",
            "Bad_Name.wasm",
            "a.txt",
        ] {
            write(name, name);
        }
        let mut scanner = Scanner::new(directory.path().to_owned(), Duration::ZERO, u64::MAX);
        let found = scanner.scan().unwrap();
        assert_eq!(names(&found), ["login", "register"]);
        let login = &found.settled["login"].fingerprint;
        assert_eq!(login.component, sha256(b"login.wasm"));
        assert_eq!(login.manifest, Some(sha256(b"login.toml")));
        assert_eq!(found.settled["register"].fingerprint.manifest, None);

        std::fs::remove_file(directory.path().join("login.toml")).unwrap();
        std::fs::remove_file(directory.path().join("register.wasm")).unwrap();
        let found = scanner.scan().unwrap();
        assert_eq!(names(&found), ["login"]);
        assert_eq!(found.settled["login"].fingerprint.manifest, None);
    }

    #[test]
    fn a_file_that_was_just_written_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("login.wasm"), "half").unwrap();
        let mut scanner = Scanner::new(
            directory.path().to_owned(),
            Duration::from_hours(1),
            u64::MAX,
        );
        let found = scanner.scan().unwrap();
        assert!(found.settled.is_empty());
        assert_eq!(found.unsettled.len(), 1);
    }

    #[test]
    fn what_lay_there_before_the_start_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let quiet = Duration::from_millis(50);
        std::fs::write(directory.path().join("login.wasm"), "whole").unwrap();
        std::thread::sleep(2 * quiet);
        let mut scanner = Scanner::new(directory.path().to_owned(), quiet, u64::MAX);
        assert_eq!(names(&scanner.scan().unwrap()), ["login"]);

        std::fs::write(directory.path().join("login.toml"), "new").unwrap();
        std::fs::write(directory.path().join("register.wasm"), "new").unwrap();
        std::thread::sleep(2 * quiet);
        assert_eq!(scanner.scan().unwrap().unsettled.len(), 2, "first seen now");
        std::thread::sleep(2 * quiet);
        assert_eq!(names(&scanner.scan().unwrap()), ["login", "register"]);
    }

    #[test]
    fn what_cant_be_read_is_there_and_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("login.wasm"), "whole").unwrap();
        // not even root reads a directory as a file
        let manifest = directory.path().join("login.toml");
        std::fs::create_dir(&manifest).unwrap();
        let mut scanner = Scanner::new(directory.path().to_owned(), Duration::ZERO, u64::MAX);
        let found = scanner.scan().unwrap();
        assert_eq!(found.unreadable.len(), 1);
        assert!(found.unsettled.is_empty() && found.settled.is_empty());
        assert!(found.has(&"login".parse().unwrap()));
        std::fs::remove_dir(&manifest).unwrap();
        assert_eq!(names(&scanner.scan().unwrap()), ["login"]);
    }

    #[test]
    fn a_directory_that_is_gone_is_no_empty_directory() {
        let directory = tempfile::tempdir().unwrap();
        let mut scanner = Scanner::new(directory.path().join("gone"), Duration::ZERO, u64::MAX);
        assert!(scanner.scan().is_err());
    }
}
