//! What the services directory holds now.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use tracing::warn;

use crate::config::ServiceName;

/// How much of a file is read at once.
const CHUNK: usize = 256 << 10;

/// What tells one content of a service's files from another: the component's SHA-256 and the
/// manifest's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub component: Arc<str>,
    pub manifest: Option<Arc<str>>,
}

/// SHA-256 as lower-case hex.
pub(crate) fn sha256(bytes: &[u8]) -> Arc<str> {
    hex(Sha256::new_with_prefix(bytes))
}

/// The same of a file, however large it is: it may be anything, and isn't held in memory.
fn sha256_of(path: &Path) -> io::Result<Arc<str>> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hex(hasher)),
            Ok(size) => hasher.update(&chunk[..size]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hex(hasher: Sha256) -> Arc<str> {
    let mut hex = String::with_capacity(64);
    for byte in hasher.finalize() {
        // writing to a string can't fail
        let _ = write!(hex, "{byte:02x}");
    }
    hex.into()
}

/// The files of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub component: PathBuf,
    pub manifest: PathBuf,
}

impl Files {
    pub(super) fn of(directory: &Path, name: &ServiceName) -> Self {
        Self {
            component: directory.join(format!("{name}.wasm")),
            manifest: directory.join(format!("{name}.toml")),
        }
    }
}

/// Tells cheaply whether a file may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    pub size: u64,
    changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(data: &Metadata) -> Self {
        Self {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            changed: (data.ctime(), data.ctime_nsec()),
        }
    }
}

impl Stamp {
    /// The stamp of the file that has this name now.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&std::fs::metadata(path)?))
    }

    /// How long ago the file was last changed, going by the clock; `None` if that is in the future.
    fn age(&self, now: SystemTime) -> Option<Duration> {
        let seconds = Duration::from_secs(self.changed.0.try_into().ok()?);
        let nanoseconds = Duration::from_nanos(self.changed.1.try_into().ok()?);
        now.duration_since(UNIX_EPOCH + seconds + nanoseconds).ok()
    }
}

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
}

/// Remembers what was seen, so that only what changed is read.
pub(super) struct Scanner {
    directory: PathBuf,
    quiet: Duration,
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
}

impl Scanner {
    pub(super) fn new(directory: PathBuf, quiet: Duration) -> Self {
        Self {
            directory,
            quiet,
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
        for (name, stamps) in present {
            match self.look(&name, stamps, now) {
                Some(sighting) => {
                    found.settled.insert(name, sighting);
                }
                None => {
                    found.unsettled.insert(name);
                }
            }
        }
        self.first = false;
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
                    warn!(file = %path.display(), %error, "a file is not deployed: its name can't be a service's");
                }
                return None;
            }
        };
        let manifest = std::fs::metadata(Files::of(&self.directory, &name).manifest).ok();
        Some((name, (stamp, manifest.as_ref().map(Stamp::from))))
    }

    fn look(&mut self, name: &ServiceName, stamps: Stamps, now: Instant) -> Option<Sighting> {
        let fresh = Seen {
            stamps,
            since: now,
            fingerprint: None,
        };
        let seen = self.seen.entry(name.clone()).or_insert(fresh);
        if seen.stamps != stamps {
            *seen = Seen {
                stamps,
                since: now,
                fingerprint: None,
            };
        }
        // what lay there before the start needn't be waited for, if the clock can be believed
        let quiet = now.duration_since(seen.since) >= self.quiet
            || (self.first && all_older(stamps, self.quiet));
        if seen.fingerprint.is_none() && quiet {
            // a file that vanishes here is seen as gone by the next scan
            seen.fingerprint = fingerprint(&Files::of(&self.directory, name)).ok();
        }
        Some(Sighting {
            fingerprint: seen.fingerprint.clone()?,
            stamp: stamps.0,
        })
    }
}

/// Whether both files were last changed so long ago.
fn all_older((component, manifest): Stamps, quiet: Duration) -> bool {
    let now = SystemTime::now();
    let old = |stamp: Stamp| stamp.age(now).is_some_and(|age| age >= quiet);
    old(component) && manifest.is_none_or(old)
}

fn fingerprint(files: &Files) -> io::Result<Fingerprint> {
    let component = sha256_of(&files.component)?;
    let manifest = match sha256_of(&files.manifest) {
        Ok(digest) => Some(digest),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(Fingerprint {
        component,
        manifest,
    })
}

#[cfg(test)]
mod tests {
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
        let mut scanner = Scanner::new(directory.path().to_owned(), Duration::ZERO);
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
        let mut scanner = Scanner::new(directory.path().to_owned(), Duration::from_hours(1));
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
        let mut scanner = Scanner::new(directory.path().to_owned(), quiet);
        assert_eq!(names(&scanner.scan().unwrap()), ["login"]);

        std::fs::write(directory.path().join("login.toml"), "new").unwrap();
        std::fs::write(directory.path().join("register.wasm"), "new").unwrap();
        std::thread::sleep(2 * quiet);
        assert_eq!(scanner.scan().unwrap().unsettled.len(), 2, "first seen now");
        std::thread::sleep(2 * quiet);
        assert_eq!(names(&scanner.scan().unwrap()), ["login", "register"]);
    }

    #[test]
    fn a_file_from_the_future_has_no_age() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("login.wasm");
        std::fs::write(&file, "whole").unwrap();
        let stamp = Stamp::of(&file).unwrap();
        let now = SystemTime::now();
        assert!(stamp.age(now + Duration::from_secs(1)).is_some());
        assert_eq!(stamp.age(now - Duration::from_hours(1)), None);
    }

    #[test]
    fn a_directory_that_is_gone_is_no_empty_directory() {
        let directory = tempfile::tempdir().unwrap();
        let mut scanner = Scanner::new(directory.path().join("gone"), Duration::ZERO);
        assert!(scanner.scan().is_err());
    }
}
