//! Where lines go. A file may be moved away under its writer, as logrotate does; then it is made
//! again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// See the module.
#[derive(Debug)]
pub(super) enum Sink {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file that is added to.
    File {
        /// Where it is to be.
        path: PathBuf,
        /// What was there when it was opened.
        file: File,
    },
}

impl Sink {
    /// The file at `path`, which is made if it isn't there.
    pub(super) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self::File {
            path: path.to_owned(),
            file: open(path)?,
        })
    }

    /// Writes all of `lines`.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().write_all(lines),
            Self::Stderr => io::stderr().lock().write_all(lines),
            Self::File { file, .. } => file.write_all(lines),
        }
    }

    /// Opens the file again if another one is where it was, or none.
    ///
    /// # Errors
    ///
    /// It can't be opened; the one that was moved away is written to still.
    pub(super) fn reopen_if_moved(&mut self) -> io::Result<()> {
        if let Self::File { path, file } = self
            && !is_at(file, path)
        {
            *file = open(path)?;
        }
        Ok(())
    }
}

/// Others than the operator's have no business with addresses of clients.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640).open(path)
}

fn is_at(file: &File, path: &Path) -> bool {
    let names = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let here = file.metadata().map(names);
    let there = std::fs::metadata(path).map(names);
    matches!((here, there), (Ok(here), Ok(there)) if here == there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("log"), directory.path().join("log.1"));
        std::fs::write(&path, "before\n").unwrap();
        let mut sink = Sink::file(&path).unwrap();
        sink.write(b"one\n").unwrap();
        sink.reopen_if_moved().unwrap();
        std::fs::rename(&path, &moved).unwrap();
        sink.write(b"two\n").unwrap();
        sink.reopen_if_moved().unwrap();
        sink.write(b"three\n").unwrap();
        assert_eq!(
            std::fs::read_to_string(&moved).unwrap(),
            "before\none\ntwo\n"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn a_file_that_cannot_be_made_again_is_written_to_where_it_went() {
        let directory = tempfile::tempdir().unwrap();
        let (within, moved) = (directory.path().join("a"), directory.path().join("b"));
        std::fs::create_dir(&within).unwrap();
        let mut sink = Sink::file(&within.join("log")).unwrap();
        std::fs::rename(&within, &moved).unwrap();
        assert!(sink.reopen_if_moved().is_err());
        sink.write(b"one\n").unwrap();
        assert_eq!(std::fs::read_to_string(moved.join("log")).unwrap(), "one\n");
    }
}
