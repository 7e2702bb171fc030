//! A directory that nobody but this server can write to, and that keeps what was put there.
//!
//! As in the compile cache, what is checked is what was opened, never a path, and no symbolic link
//! is followed. A file has its name only once it is whole and on the disk.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::error::Error;
#[cfg(test)]
use super::fault;

/// What the names of files end with that are being written.
pub(super) const PART: &str = ".part";

/// Bits of a mode that let others write, and that let others do anything.
const OTHERS_WRITE: u32 = 0o022;
const OTHERS: u32 = 0o077;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Why a file is not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// There is none.
    Missing,
    /// There is something else in its place.
    Odd(String),
    /// It can't be read.
    Io(io::Error),
}

/// The directory, opened.
pub(super) struct Folder {
    file: File,
    path: PathBuf,
}

impl Folder {
    /// Opens a directory, which is made if it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {
                let parent = path.parent().unwrap_or(path);
                let synced = File::open(parent).and_then(|parent| parent.sync_all());
                synced.map_err(failed("written", parent))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("made", path)(error)),
        }
        let opened = openat(CWD, path, DIRECTORY, Mode::empty());
        Self::checked(opened.map(File::from), path.to_owned())
    }

    /// Opens a directory in this one, if it is there.
    pub(super) fn child(&self, name: &str) -> Result<Option<Self>, Error> {
        let path = self.path.join(name);
        match openat(&self.file, name, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            opened => Self::checked(opened.map(File::from), path).map(Some),
        }
    }

    /// Opens a directory in this one, which is made if it is missing.
    pub(super) fn make_child(&self, name: &str) -> Result<Self, Error> {
        if let Some(child) = self.child(name)? {
            return Ok(child);
        }
        let make = || {
            #[cfg(test)]
            fault::step()?;
            match mkdirat(&self.file, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => self.file.sync_all(),
                Err(error) => Err(error.into()),
            }
        };
        let path = self.path.join(name);
        make().map_err(failed("made", &path))?;
        let opened = openat(&self.file, name, DIRECTORY, Mode::empty());
        Self::checked(opened.map(File::from), path)
    }

    /// Makes sure that nobody else can have changed what is open, and that nobody else can read it.
    fn checked(opened: rustix::io::Result<File>, path: PathBuf) -> Result<Self, Error> {
        let refused = |reason: String| {
            let path = path.clone();
            Err(Error::Refused { path, reason })
        };
        let file = match opened {
            Ok(file) => file,
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return refused("it is no directory; remove it, and one is made".to_owned());
            }
            Err(error) => return Err(failed("opened", &path)(error.into())),
        };
        let data = file.metadata().map_err(failed("read", &path))?;
        let (owner, user, mode) = (data.uid(), geteuid().as_raw(), data.mode() & 0o777);
        if owner != user {
            return refused(format!(
                "it belongs to user {owner}, and this server runs as user {user}"
            ));
        }
        if mode & OTHERS_WRITE != 0 {
            return refused(format!(
                "others may write to it (its mode is {mode:03o}); if what is in it can be trusted, \
                 set its mode to 700"
            ));
        }
        if mode & OTHERS != 0 {
            // it may be the copy of one, and manifests may hold secrets
            let tightened = file.set_permissions(Permissions::from_mode(0o700));
            tightened.map_err(failed("made private", &path))?;
        }
        Ok(Self { file, path })
    }

    /// The path of what is in it, for people.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The size of a plain file, if there is one.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        let data = statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let plain = FileType::from_raw_mode(data.st_mode) == FileType::RegularFile;
        plain.then(|| u64::try_from(data.st_size).ok())?
    }

    /// When a file was written.
    pub(super) fn written(&self, name: &str) -> Option<std::time::SystemTime> {
        self.opened(name).ok()?.metadata().ok()?.modified().ok()
    }

    /// Opens a plain file that is ours.
    pub(super) fn opened(&self, name: &str) -> Result<File, Unread> {
        // without NONBLOCK, opening a pipe would wait for its other end
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.file, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Err(Unread::Missing),
            Err(Errno::LOOP | Errno::NXIO) => return Err(Unread::Odd("is no plain file".into())),
            Err(error) => return Err(Unread::Io(error.into())),
        };
        let data = file.metadata().map_err(Unread::Io)?;
        if !data.is_file() {
            return Err(Unread::Odd("is no plain file".into()));
        }
        if data.uid() != geteuid().as_raw() {
            return Err(Unread::Odd(format!("belongs to user {}", data.uid())));
        }
        if data.mode() & OTHERS != 0 {
            // the directory keeps others out meanwhile
            let _ = file.set_permissions(Permissions::from_mode(0o600));
        }
        Ok(file)
    }

    /// Reads a whole file, of at most so many bytes.
    pub(super) fn read(&self, name: &str, most: u64) -> Result<Vec<u8>, Unread> {
        let file = self.opened(name)?;
        let size = file.metadata().map_err(Unread::Io)?.len();
        let room = usize::try_from(size).ok().filter(|_| size <= most);
        let Some(room) = room else {
            return Err(Unread::Odd(format!(
                "has {size} bytes, and {most} at the most are expected"
            )));
        };
        let mut bytes = Vec::with_capacity(room);
        file.take(most)
            .read_to_end(&mut bytes)
            .map_err(Unread::Io)?;
        Ok(bytes)
    }

    /// Makes a file, in place of one of that name, of what `content` writes: it is there when all of
    /// it is on the disk, and not before.
    pub(super) fn put(
        &self,
        name: &str,
        content: impl FnOnce(&mut File) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let part = format!("{name}{PART}");
        let shown = self.path(name);
        let put = self.write(&part, &shown, content).and_then(|()| {
            self.rename(&part, name)
                .and_then(|()| self.sync())
                .map_err(failed("written", &shown))
        });
        if put.is_err() {
            // half a file is worth nothing, and the disk may be full
            let _ = self.remove(&part);
        }
        put
    }

    fn write(
        &self,
        part: &str,
        shown: &Path,
        content: impl FnOnce(&mut File) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let make = || -> io::Result<File> {
            let _ = self.remove(part);
            #[cfg(test)]
            fault::step()?;
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = openat(&self.file, part, flags, Mode::RUSR | Mode::WUSR)?;
            Ok(File::from(file))
        };
        let mut file = make().map_err(failed("written", shown))?;
        content(&mut file)?;
        #[cfg(test)]
        fault::torn(&file).map_err(failed("written", shown))?;
        file.sync_all().map_err(failed("written", shown))
    }

    /// Gives a file another name, in one step.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        #[cfg(test)]
        fault::step()?;
        Ok(renameat(&self.file, from, &self.file, to)?)
    }

    /// Sees to it that the names in the directory are on the disk.
    fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        fault::step()?;
        self.file.sync_all()
    }

    /// Removes a file.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        #[cfg(test)]
        fault::step()?;
        Ok(unlinkat(&self.file, name, AtFlags::empty())?)
    }

    /// Removes a directory that is empty.
    pub(super) fn remove_child(&self, name: &str) -> io::Result<()> {
        #[cfg(test)]
        fault::step()?;
        Ok(unlinkat(&self.file, name, AtFlags::REMOVEDIR)?)
    }

    /// The names of all that is there.
    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        let read = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in Dir::read_from(&self.file)? {
                // what has another name is not ours
                if let Ok(name) = entry?.file_name().to_str()
                    && name != "."
                    && name != ".."
                {
                    names.push(name.to_owned());
                }
            }
            Ok(names)
        };
        read().map_err(failed("read", &self.path))
    }
}

/// Says what could not be done, and to what.
pub(super) fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |error| Error::Io {
        what,
        path: path.clone(),
        error,
    }
}
