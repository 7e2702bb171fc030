//! What the services directory holds now.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tracing::warn;

use crate::config::ServiceName;

/// What tells one content of a service's files from another: the component's SHA-256 and the
/// manifest's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub component: Arc<str>,
    pub manifest: Option<Arc<str>>,
}

/// SHA-256 as lower-case hex.
pub(crate) fn sha256(bytes: &[u8]) -> Arc<str> {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
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
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
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

type Stamps = (Stamp, Option<Stamp>);

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
    refused_names: BTreeMap<PathBuf, Stamp>,
}

/// The outcome of one scan.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Services whose files have been quiet for long enough.
    pub settled: BTreeMap<ServiceName, Fingerprint>,
    /// Services whose files are still being written: to be left as they are until they settle.
    pub unsettled: Vec<ServiceName>,
}

impl Scanner {
    pub(super) fn new(directory: PathBuf, quiet: Duration) -> Self {
        Self {
            directory,
            quiet,
            seen: BTreeMap::new(),
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
                Some(fingerprint) => {
                    found.settled.insert(name, fingerprint);
                }
                None => found.unsettled.push(name),
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
                    warn!(file = %path.display(), %error, "a file is not deployed: its name can't be a service's");
                }
                return None;
            }
        };
        let manifest = std::fs::metadata(Files::of(&self.directory, &name).manifest).ok();
        Some((name, (stamp, manifest.as_ref().map(Stamp::from))))
    }

    fn look(&mut self, name: &ServiceName, stamps: Stamps, now: Instant) -> Option<Fingerprint> {
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
        if seen.fingerprint.is_none() && now.duration_since(seen.since) >= self.quiet {
            // a file that vanishes here is seen as gone by the next scan
            seen.fingerprint = fingerprint(&Files::of(&self.directory, name)).ok();
        }
        seen.fingerprint.clone()
    }
}

fn fingerprint(files: &Files) -> io::Result<Fingerprint> {
    let component = sha256(&std::fs::read(&files.component)?);
    let manifest = match std::fs::read(&files.manifest) {
        Ok(bytes) => Some(sha256(&bytes)),
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
        let login = &found.settled["login"];
        assert_eq!(login.component, sha256(b"login.wasm"));
        assert_eq!(login.manifest, Some(sha256(b"login.toml")));
        assert_eq!(found.settled["register"].manifest, None);

        std::fs::remove_file(directory.path().join("login.toml")).unwrap();
        std::fs::remove_file(directory.path().join("register.wasm")).unwrap();
        let found = scanner.scan().unwrap();
        assert_eq!(names(&found), ["login"]);
        assert_eq!(found.settled["login"].manifest, None);
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
    fn a_directory_that_is_gone_is_no_empty_directory() {
        let directory = tempfile::tempdir().unwrap();
        let mut scanner = Scanner::new(directory.path().join("gone"), Duration::ZERO);
        assert!(scanner.scan().is_err());
    }
}
