//! Where the open database is to be found, by the one thread that writes and all that read.

use parking_lot::RwLock;
use redb::{Database, ReadableDatabase, StorageError, TransactionError, WriteTransaction};
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::{KeyValueError, Stats};
use super::entries::{Fault, Reader};
use super::guarded;

/// The table that reads work on.
pub(super) type ReadEntries = Reader<redb::ReadOnlyTable<&'static str, (u64, &'static [u8])>>;

enum Content {
    Open(Database),
    /// Between two attempts to open it again.
    Broken {
        reason: String,
    },
    Closed,
}

/// Holds the database. Only the writer changes what is in here, and never keeps the lock while it
/// works, so that no reader ever waits for a disk on behalf of somebody else.
pub(super) struct Slot {
    content: RwLock<Content>,
    operations: AtomicU64,
    commits: AtomicU64,
}

impl Slot {
    pub(super) fn new(database: Database) -> Self {
        Self {
            content: RwLock::new(Content::Open(database)),
            operations: AtomicU64::new(0),
            commits: AtomicU64::new(0),
        }
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            operations: self.operations.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
        }
    }

    pub(super) fn count_operations(&self, operations: usize) {
        self.operations
            .fetch_add(operations as u64, Ordering::Relaxed);
    }

    pub(super) fn count_commit(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs `read` on the entries as the last commit left them.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadEntries) -> Result<T, Fault>,
    ) -> Result<T, ReadFailure> {
        let attempt = || {
            let transaction = self.with_database(ReadableDatabase::begin_read)?;
            let entries = ReadEntries::open(&transaction)?;
            read(&entries)
        };
        match guarded(attempt) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Fault::Refused(error))) => Err(ReadFailure::Refused(error)),
            // The database was closed while this was reading.
            Ok(Err(Fault::Storage(StorageError::DatabaseClosed))) => {
                Err(ReadFailure::Refused(match &*self.content.read() {
                    Content::Closed => KeyValueError::Closed,
                    Content::Broken { .. } | Content::Open(_) => {
                        unavailable("it is being reopened")
                    }
                }))
            }
            Ok(Err(Fault::Storage(error))) => Err(ReadFailure::Broken(error.to_string())),
            Err(panic) => Err(ReadFailure::Broken(panic)),
        }
    }

    /// Only the writer may call this, so that it never waits for another's transaction.
    pub(super) fn begin_write(&self) -> Result<WriteTransaction, Fault> {
        self.with_database(Database::begin_write)
    }

    fn with_database<T>(
        &self,
        begin: impl FnOnce(&Database) -> Result<T, TransactionError>,
    ) -> Result<T, Fault> {
        match &*self.content.read() {
            Content::Open(database) => begin(database).map_err(|error| match error {
                TransactionError::Storage(error) => Fault::Storage(error),
                other => Fault::Storage(StorageError::Corrupted(other.to_string())),
            }),
            Content::Broken { reason } => Err(unavailable(reason).into()),
            Content::Closed => Err(KeyValueError::Closed.into()),
        }
    }

    /// Puts the database that was opened in place of a broken one.
    pub(super) fn mend(&self, database: Database) {
        self.replace(Content::Open(database));
    }

    /// Takes the database out of service and returns it, to be closed.
    pub(super) fn fail(&self, reason: String) -> Option<Database> {
        self.replace(Content::Broken { reason })
    }

    /// Takes the database out of service for good and returns it, to be closed.
    pub(super) fn close(&self) -> Option<Database> {
        self.replace(Content::Closed)
    }

    fn replace(&self, content: Content) -> Option<Database> {
        match std::mem::replace(&mut *self.content.write(), content) {
            Content::Open(database) => Some(database),
            Content::Broken { .. } | Content::Closed => None,
        }
    }
}

/// Why a read failed.
pub(super) enum ReadFailure {
    /// The reader's own fault, or a known state of the store.
    Refused(KeyValueError),
    /// The database is at fault and has to be opened again.
    Broken(String),
}

pub(super) fn unavailable(reason: impl Into<String>) -> KeyValueError {
    KeyValueError::Unavailable {
        reason: reason.into(),
    }
}
