//! A directory that nobody but us can write to.
//!
//! What is checked is what was opened, never a path: whoever may change a path can change it between
//! the check and the use.

use std::ffi::CStr;
use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens, openat,
    renameat, statat, unlinkat,
};
use rustix::process::geteuid;

/// Bits of a mode that let others write.
const OTHERS_WRITE: u32 = 0o022;

/// Why a directory or a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It can't be opened or read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is a link, a pipe or the like.
    #[error("it is no plain file")]
    NoFile,
    /// Someone else's.
    #[error("it belongs to user {owner}, and this server runs as user {user}")]
    Foreign {
        /// Whose it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// Others could have changed it.
    #[error("others may write to it (its mode is {mode:03o})")]
    Writable {
        /// Its permissions.
        mode: u32,
    },
    /// It has more bytes than it may have.
    #[error("it has {0} bytes")]
    TooLarge(u64),
}

/// A file in the directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub name: String,
    pub size: u64,
    /// When it was made or last read, in seconds and nanoseconds.
    pub used: (i64, i64),
}

/// The directory, opened.
pub(super) struct Private(OwnedFd);

impl Private {
    /// Opens a directory, which is made if it is missing, and makes sure that it is private.
    pub(super) fn open(path: &Path) -> Result<Self, Refusal> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(CWD, path, flags, Mode::empty());
        let directory = match opened.map_err(io::Error::from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match DirBuilder::new().mode(0o700).create(path) {
                    // another thread was quicker
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(error.into());
                    }
                    _ => {}
                }
                openat(CWD, path, flags, Mode::empty()).map_err(io::Error::from)?
            }
            opened => opened?,
        };
        let directory = File::from(directory);
        ours(&directory)?;
        Ok(Self(directory.into()))
    }

    /// Reads a whole file, of at most so many bytes, and notes that it was used.
    pub(super) fn read(&self, name: &str, most: u64) -> Result<Vec<u8>, Refusal> {
        // without NONBLOCK, opening a pipe would wait for its other end
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.0, name, flags, Mode::empty()).map_err(io::Error::from)?;
        let mut file = File::from(file);
        let data = ours(&file)?;
        if !data.is_file() {
            return Err(Refusal::NoFile);
        }
        let size = data.len();
        let room = usize::try_from(size).ok().filter(|_| size <= most);
        let mut bytes = Vec::with_capacity(room.ok_or(Refusal::TooLarge(size))?);
        file.read_to_end(&mut bytes)?;
        let now = |nanoseconds| Timespec {
            tv_sec: 0,
            tv_nsec: nanoseconds,
        };
        // only what is removed first hangs on it
        let _ = futimens(
            &file,
            &Timestamps {
                last_access: now(UTIME_OMIT),
                last_modification: now(UTIME_NOW),
            },
        );
        Ok(bytes)
    }

    /// Makes a new file of these parts, in place of one of the same name.
    pub(super) fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let _ = self.remove(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?);
        let written = parts.iter().try_for_each(|part| file.write_all(part));
        if written.is_err() {
            // half a file is worth nothing, and the disk may be full
            let _ = self.remove(name);
        }
        written
    }

    /// Gives a file another name, in one step.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    /// Removes a file.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// All that is there.
    pub(super) fn list(&self) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let Some(name) = name(entry.file_name()) else {
                continue;
            };
            let Ok(data) = statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) else {
                // it has just been removed
                continue;
            };
            listed.push(Listed {
                name: name.to_owned(),
                size: u64::try_from(data.st_size).unwrap_or_default(),
                used: (
                    data.st_mtime,
                    data.st_mtime_nsec.try_into().unwrap_or_default(),
                ),
            });
        }
        Ok(listed)
    }
}

fn name(name: &CStr) -> Option<&str> {
    let name = name.to_str().ok()?;
    (name != "." && name != "..").then_some(name)
}

/// Makes sure that nobody else can have changed what is open.
fn ours(file: &File) -> Result<std::fs::Metadata, Refusal> {
    let data = file.metadata()?;
    let user = geteuid().as_raw();
    if data.uid() != user {
        return Err(Refusal::Foreign {
            owner: data.uid(),
            user,
        });
    }
    if data.mode() & OTHERS_WRITE != 0 {
        return Err(Refusal::Writable {
            mode: data.mode() & 0o777,
        });
    }
    Ok(data)
}
