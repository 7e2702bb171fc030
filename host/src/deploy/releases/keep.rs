//! Puts a release's files into the store, and takes them out.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

use super::super::fingerprint::{Fingerprint, sha256, sha256_from};
use super::Accepted;
use super::error::Error;
use super::folder::{Folder, Unread, failed};
use super::record::{Record, component_file, is_digest, manifest_file};

/// The most bytes that a manifest may have.
const LARGEST_MANIFEST: u64 = 16 << 20;

/// Where a component is taken from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// From memory.
    Bytes(&'a [u8]),
    /// From a file. It is copied, and shares its blocks where the file system can do that.
    File(&'a Path),
}

/// What is needed to run a release again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What is known of it.
    pub record: Record,
    /// The component.
    pub component: Vec<u8>,
    /// The manifest's text, if it has one.
    pub manifest: Option<String>,
}

/// Puts a release's files into the store, where they aren't there yet. The component's size in
/// bytes.
pub(super) fn put(folder: &Folder, release: &Accepted<'_>) -> Result<u64, Error> {
    let Fingerprint {
        component,
        manifest,
    } = release.content;
    let found = release.manifest.map(|text| sha256(text.as_bytes()));
    expect("manifest", manifest.as_ref(), found.as_ref())?;
    if let (Some(digest), Some(text)) = (manifest, release.manifest) {
        put_manifest(folder, digest, text)?;
    }
    put_component(folder, component, release.component)
}

fn put_component(folder: &Folder, digest: &Arc<str>, source: Source<'_>) -> Result<u64, Error> {
    if !is_digest(digest) {
        expect("component", Some(digest), None)?;
    }
    let name = component_file(digest);
    let shown = folder.path(&name);
    match source {
        Source::Bytes(bytes) => {
            let size = bytes.len() as u64;
            expect("component", Some(digest), Some(&sha256(bytes)))?;
            if !has(folder, &name, size, digest) {
                folder.put(&name, |file| {
                    file.write_all(bytes).map_err(failed("written", &shown))
                })?;
            }
            Ok(size)
        }
        Source::File(path) => {
            let (source, size) = open(path).map_err(failed("read", path))?;
            if !has(folder, &name, size, digest) {
                folder.put(&name, |file| {
                    // in the kernel, where that can be
                    let copied = io::copy(&mut source.take(size), file);
                    let back = copied.and_then(|_| file.rewind());
                    back.map_err(failed("written", &shown))?;
                    // the copy is checked: the file itself may change at any time
                    let found = sha256_from(file).map_err(failed("read", &shown))?;
                    expect("component", Some(digest), Some(&found))
                })?;
            }
            Ok(size)
        }
    }
}

fn put_manifest(folder: &Folder, digest: &Arc<str>, text: &str) -> Result<(), Error> {
    let name = manifest_file(digest);
    let shown = folder.path(&name);
    let size = text.len() as u64;
    if size > LARGEST_MANIFEST {
        let error = io::Error::from(io::ErrorKind::FileTooLarge);
        return Err(failed("written", &shown)(error));
    }
    if has(folder, &name, size, digest) {
        return Ok(());
    }
    folder.put(&name, |file| {
        let written = file.write_all(text.as_bytes());
        written.map_err(failed("written", &shown))
    })
}

/// Whether the store has a file and it is sound. One that isn't is written anew.
fn has(folder: &Folder, name: &str, size: u64, digest: &Arc<str>) -> bool {
    if folder.size(name) != Some(size) {
        return false;
    }
    let file = folder.opened(name).ok();
    file.is_some_and(|file| sha256_from(file).is_ok_and(|found| found == *digest))
}

/// The component's bytes, checked.
pub(super) fn component(folder: &Folder, record: &Record) -> Result<Vec<u8>, Error> {
    let digest = &record.content.component;
    checked(folder, &component_file(digest), digest, record.size_bytes)
}

/// The manifest's text, checked, if it has one.
pub(super) fn manifest(folder: &Folder, record: &Record) -> Result<Option<String>, Error> {
    let Some(digest) = &record.content.manifest else {
        return Ok(None);
    };
    let name = manifest_file(digest);
    let bytes = checked(folder, &name, digest, LARGEST_MANIFEST)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::Damaged {
        path: folder.path(&name),
        reason: "is not UTF-8 text".to_owned(),
    })?;
    Ok(Some(text))
}

fn checked(folder: &Folder, name: &str, digest: &Arc<str>, most: u64) -> Result<Vec<u8>, Error> {
    let path = folder.path(name);
    let reason = match folder.read(name, most) {
        Ok(bytes) if sha256(&bytes) == *digest => return Ok(bytes),
        Ok(_) => "is damaged (its SHA-256 is not the one in its name)".to_owned(),
        Err(Unread::Missing) => "is gone".to_owned(),
        Err(Unread::Odd(reason)) => reason,
        Err(Unread::Io(error)) => return Err(failed("read", &path)(error)),
    };
    Err(Error::Damaged { path, reason })
}

fn expect(
    what: &'static str,
    expected: Option<&Arc<str>>,
    found: Option<&Arc<str>>,
) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    let shown = |digest: Option<&Arc<str>>| digest.map_or_else(|| "none".into(), Arc::clone);
    Err(Error::Changed {
        what,
        expected: shown(expected),
        found: shown(found),
    })
}

/// Opens the operator's file, which may be a link but is no pipe, and its size.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let nonblock = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblock)
        .open(path)?;
    let data = file.metadata()?;
    if data.is_file() {
        Ok((file, data.len()))
    } else {
        Err(io::Error::other("it is no plain file"))
    }
}
