//! What can go wrong with the store, and which release was asked for in vain.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::ServiceName;

/// The store could not do what was asked. What is served is not concerned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refuses: the disk is full, the directory can't be written to, or the like.
    #[error("{} can't be {what}: {error}", path.display())]
    Io {
        /// What was tried: "read", "written".
        what: &'static str,
        /// Of what.
        path: PathBuf,
        /// Why not. `StorageFull` is a full disk.
        error: io::Error,
    },
    /// A directory, or a component, that is no such thing, or isn't this server's alone.
    #[error("{} is not used: {reason}", path.display())]
    Refused {
        /// Which.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// What was to be kept is not what was judged.
    #[error("the {what} is not the one that was judged: its SHA-256 is {found}, not {expected}")]
    Changed {
        /// "component" or "manifest".
        what: &'static str,
        /// What it should be.
        expected: Arc<str>,
        /// What it is.
        found: Arc<str>,
    },
    /// A kept file is not what it was.
    #[error(
        "{} {reason}, so this release can't be run again; choose another one, or deploy it from its file",
        path.display()
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such release.
    #[error("no release {revision} of {service} is kept")]
    Unknown {
        /// Of which service.
        service: ServiceName,
        /// The revision that was asked for.
        revision: u64,
    },
    /// An index of a version of Wharf that is newer than this one.
    #[error(
        "{} has version {version}, and this server knows version 1: it was written by a newer one; \
         run that, or remove the directory to begin a new history",
        path.display()
    )]
    Newer {
        /// The index.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
}

/// No release is the one that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// None is kept.
    #[error("no release of {0} is kept")]
    Empty(ServiceName),
    /// It may be the beginning of a digest, but says too little.
    #[error(
        "{text:?} is no revision, and too short for a digest: give at least 6 digits; kept: {kept}"
    )]
    TooShort {
        /// What was asked for.
        text: String,
        /// What there is.
        kept: Choice,
    },
    /// Nothing matches.
    #[error(
        "no release is {text:?}: give a revision, or 6 digits of a digest or more; kept: {kept}"
    )]
    NoMatch {
        /// What was asked for.
        text: String,
        /// What there is.
        kept: Choice,
    },
}

/// Releases to choose from, newest first: revisions and digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice(pub Vec<(u64, Arc<str>)>);

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (revision, digest)) in self.0.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{revision} ({digest:.12})")?;
        }
        Ok(())
    }
}
