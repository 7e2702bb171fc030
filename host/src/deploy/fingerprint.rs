//! What tells one content of a service's files from another, and tells cheaply that nothing changed.

use std::fmt::Write as _;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use crate::config::ServiceName;

/// How much of a file is read at once.
const CHUNK: usize = 256 << 10;

/// What tells one content of a service's files from another: the component's SHA-256 and the
/// manifest's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The component's, as 64 lower-case hex digits.
    pub component: Arc<str>,
    /// The manifest's, if there is one.
    pub manifest: Option<Arc<str>>,
}

/// SHA-256 as lower-case hex.
pub(crate) fn sha256(bytes: &[u8]) -> Arc<str> {
    hex(&Sha256::digest(bytes)).into()
}

/// The same of a file.
fn sha256_of(path: &Path) -> io::Result<Arc<str>> {
    sha256_from(File::open(path)?)
}

/// The same of all that can be read, however much it is: it may be anything, and isn't held in memory.
pub(super) fn sha256_from(mut source: impl Read) -> io::Result<Arc<str>> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match source.read(&mut chunk) {
            Ok(0) => return Ok(hex(&hasher.finalize()).into()),
            Ok(size) => hasher.update(&chunk[..size]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // writing to a string can't fail
        let _ = write!(hex, "{byte:02x}");
    }
    hex
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
    pub(super) fn age(&self, now: SystemTime) -> Option<Duration> {
        let seconds = Duration::from_secs(self.changed.0.try_into().ok()?);
        let nanoseconds = Duration::from_nanos(self.changed.1.try_into().ok()?);
        now.duration_since(UNIX_EPOCH + seconds + nanoseconds).ok()
    }
}

/// Reads a service's files.
pub(super) fn fingerprint(files: &Files) -> io::Result<Fingerprint> {
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

    #[test]
    fn a_file_has_the_digest_of_its_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("login.wasm");
        for size in [0, 1, CHUNK, 2 * CHUNK + 1] {
            let bytes = vec![7; size];
            std::fs::write(&file, &bytes).unwrap();
            assert_eq!(sha256_of(&file).unwrap(), sha256(&bytes));
        }
        assert_eq!(&sha256(b"abc")[..16], "ba7816bf8f01cfea");
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
}
