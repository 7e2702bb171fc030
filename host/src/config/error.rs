//! Why what the operator wrote was refused.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A configuration file that was refused, in words meant for the person who wrote it: which
/// file, which key, what is wrong and what is allowed. Never quotes the value of a
/// [`Setting`](super::Setting).
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file is not there, or is not readable UTF-8 text.
    ///
    /// The cause is part of the message and therefore not a `source`, so that printing the
    /// chain doesn't say it twice.
    #[error("{}: cannot be read: {cause}", file.display())]
    Read {
        /// The file that was asked for.
        file: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },

    /// The file is not TOML.
    #[error("{}:{line}:{column}: not valid TOML: {message}", file.display())]
    Syntax {
        /// The file that was read.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What the TOML parser said, on one line.
        message: String,
    },

    /// A key is unknown, or its value can't be used.
    #[error("{}: {key}: {problem}", file.display())]
    Value {
        /// The file that was read.
        file: PathBuf,
        /// The path of the key, such as `limits.timeout` or `routes[1]`.
        key: String,
        /// What is wrong, and what is allowed instead.
        problem: String,
    },
}

impl ConfigError {
    /// The file that was refused.
    pub fn file(&self) -> &Path {
        match self {
            Self::Read { file, .. } | Self::Syntax { file, .. } | Self::Value { file, .. } => file,
        }
    }

    /// The path of the key that was refused, such as `limits.timeout`; `None` if the file as a
    /// whole was.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Value { key, .. } => Some(key),
            Self::Read { .. } | Self::Syntax { .. } => None,
        }
    }
}
