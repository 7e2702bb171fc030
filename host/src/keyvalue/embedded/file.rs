//! Opening the database file, and saying clearly why it can't be opened.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableTable, StorageBackend, StorageError, TableHandle,
    WriteTransaction,
};

use super::entries::{META, create_tables};
use super::guarded;

/// The file's name inside the data directory.
pub const DATABASE_FILE: &str = "keyvalue.redb";
/// Memory that may be spent on keeping parts of the database at hand.
const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// In [`META`]: which layout of tables the file has.
const FORMAT: &str = "format";
/// The layout that this program reads and writes.
const CURRENT_FORMAT: u64 = 1;

/// Why the embedded store can't be opened. Whatever the reason, the file is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory or the file in it can't be made, read or written.
    #[error("can't open the key-value store {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another process has the file open.
    #[error(
        "another wharf uses this data directory: {} is locked; stop it, or choose another \
         directory with --data",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else, or a later version wrote it.
    #[error(
        "{} is no key-value store that this version of wharf can read ({reason}); move it away, \
         or choose another directory with --data",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is odd about it.
        reason: String,
    },
    /// The file was a key-value store and is damaged.
    #[error(
        "the key-value store {} is damaged ({reason}); restore it from a backup, or move it away \
         to start with an empty one",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Opens the database in `directory`, making both if they are missing. After a crash, and to find
/// damage before a request does, this reads the whole file.
pub(super) fn open(directory: &Path) -> Result<Database, OpenError> {
    let path = directory.join(DATABASE_FILE);
    let file = open_file(directory, &path).map_err(|source| OpenError::Io {
        path: path.clone(),
        source,
    })?;
    let backend = FileBackend::new(file).map_err(|error| describe(error, &path))?;
    open_backend(backend, &path)
}

/// Opens a database wherever it is kept; `path` is what errors call it.
pub(super) fn open_backend(
    backend: impl StorageBackend,
    path: &Path,
) -> Result<Database, OpenError> {
    // redb may panic over a file that was tampered with, rather than call it corrupt.
    guarded(|| {
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)
            .map_err(|error| describe(error, path))?;
        claim(&database, path)?;
        Ok(database)
    })
    .unwrap_or_else(|reason| {
        Err(OpenError::Corrupt {
            path: path.to_owned(),
            reason,
        })
    })
}

/// What is in the file concerns only the user that wharf runs as: a new directory and a new file
/// are closed to all others.
fn open_file(directory: &Path, path: &Path) -> io::Result<File> {
    let mut making = fs::DirBuilder::new();
    let mut opening = OpenOptions::new();
    opening.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        making.mode(0o700);
        opening.mode(0o600);
    }
    making.recursive(true).create(directory)?;
    let file = opening.open(path)?;
    // The file's name has to survive a power cut as well as its contents do.
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    Ok(file)
}

/// Makes an empty database ours, and makes sure that any other one is.
fn claim(database: &Database, path: &Path) -> Result<(), OpenError> {
    let attempt = || -> Result<Option<String>, redb::Error> {
        let transaction = database.begin_write()?;
        if transaction.list_tables()?.next().is_none() {
            create_tables(&transaction)?;
            transaction
                .open_table(META)?
                .insert(FORMAT, CURRENT_FORMAT)?;
            transaction.commit()?;
            return Ok(None);
        }
        let reason = refusal(&transaction)?;
        transaction.abort()?;
        Ok(reason)
    };
    match attempt() {
        Ok(None) => Ok(()),
        Ok(Some(reason)) => Err(OpenError::Foreign {
            path: path.to_owned(),
            reason,
        }),
        Err(redb::Error::Io(source)) => Err(OpenError::Io {
            path: path.to_owned(),
            source,
        }),
        Err(error) => Err(OpenError::Corrupt {
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    }
}

/// What speaks against using a database that isn't empty.
fn refusal(transaction: &WriteTransaction) -> Result<Option<String>, redb::Error> {
    if !transaction
        .list_tables()?
        .any(|table| table.name() == META.name())
    {
        return Ok(Some("another program made this redb database".into()));
    }
    let format = transaction
        .open_table(META)?
        .get(FORMAT)?
        .map(|format| format.value());
    Ok(match format {
        Some(CURRENT_FORMAT) => {
            create_tables(transaction)?;
            None
        }
        Some(other) => Some(format!("its format is {other}, not {CURRENT_FORMAT}")),
        None => Some("it doesn't say its format".into()),
    })
}

fn describe(error: DatabaseError, path: &Path) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse { path }
        }
        DatabaseError::UpgradeRequired(version) => OpenError::Foreign {
            path,
            reason: format!("its redb file format is {version}, which is outdated"),
        },
        // This is how redb says that a file doesn't begin as its files do.
        DatabaseError::Storage(StorageError::Io(source))
            if source.kind() == io::ErrorKind::InvalidData =>
        {
            OpenError::Foreign {
                path,
                reason: source.to_string(),
            }
        }
        // The file is shorter than it says.
        DatabaseError::Storage(StorageError::Io(source))
            if source.kind() == io::ErrorKind::UnexpectedEof =>
        {
            OpenError::Corrupt {
                path,
                reason: source.to_string(),
            }
        }
        DatabaseError::Storage(StorageError::Io(source)) => OpenError::Io { path, source },
        other => OpenError::Corrupt {
            path,
            reason: other.to_string(),
        },
    }
}
