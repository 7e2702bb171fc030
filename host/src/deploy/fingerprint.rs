//! What tells one content of a service's files from another, and tells cheaply that nothing changed.

use std::fmt::Write as _;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use crate::config::ServiceName;

/// How much of a file is read at once.
const CHUNK: usize = 256 << 10;

/// The most bytes of a manifest: more than anybody writes.
const MAX_MANIFEST: u64 = 1 << 20;

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

/// Opens a file, and says how large it is. What is none, such as a pipe, is not waited for.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| named(path, &error))?;
    let data = file.metadata()?;
    if data.is_file() {
        Ok((file, data.len()))
    } else {
        let error = io::Error::other("it is no plain file");
        Err(named(path, &error))
    }
}

/// Opens a manifest, if there is one.
pub(super) fn open_manifest(path: &Path) -> io::Result<Option<File>> {
    match open(path) {
        Ok((_, size)) if size > MAX_MANIFEST => {
            let error = format!("it has {size} bytes; a manifest may have {MAX_MANIFEST}");
            Err(named(path, &io::Error::other(error)))
        }
        Ok((file, _)) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
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

/// Reads a service's files. A component of more than `most` bytes, which isn't taken, isn't read either:
/// its size stands for it.
pub(super) fn fingerprint(files: &Files, most: u64) -> io::Result<Fingerprint> {
    let (component, size) = open(&files.component)?;
    let component = if size > most {
        format!("{size} bytes").into()
    } else {
        sha256_from(component)?
    };
    let manifest = open_manifest(&files.manifest)?.map(sha256_from);
    let manifest = manifest.transpose()?;
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
            assert_eq!(sha256_from(open(&file).unwrap().0).unwrap(), sha256(&bytes));
        }
        assert_eq!(&sha256(b"abc")[..16], "ba7816bf8f01cfea");
    }

    #[test]
    fn what_is_too_large_or_no_file_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::of(directory.path(), &"login".parse().unwrap());
        let file = File::create(&files.component).unwrap();
        file.set_len(1 << 40).unwrap();
        let print = fingerprint(&files, 1 << 20).unwrap();
        assert_eq!(&*print.component, "1099511627776 bytes");
        file.set_len(3).unwrap();
        let pipe = rustix::fs::mknodat(
            rustix::fs::CWD,
            &files.manifest,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        );
        pipe.unwrap();
        let error = fingerprint(&files, 1 << 20).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("login.toml: it is no plain file"),
            "{error}"
        );
        std::fs::remove_file(&files.manifest).unwrap();
        let manifest = File::create(&files.manifest).unwrap();
        manifest.set_len(MAX_MANIFEST + 1).unwrap();
        let error = fingerprint(&files, 1 << 20).unwrap_err();
        assert!(error.to_string().contains("a manifest may have"), "{error}");
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
