//! The one thread that writes: group commit.
//!
//! Making a write durable costs the same few milliseconds of waiting for the disk whether one
//! operation is written or a thousand. So the writer takes whatever has gathered while it was busy
//! with the last transaction, carries it out in one, in the order of arrival, commits that once,
//! and only then answers. Nobody waits for company: an operation that comes alone is committed
//! alone, at once.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use redb::{CommitError, Database, StorageError, WriteTransaction};

use super::super::KeyValueError;
use super::entries::{Entries, Fault};
use super::file::OpenError;
use super::guarded;
use super::queue::Write;
use super::slot::{Slot, unavailable};

/// Most operations in one transaction: keeps the first of them from waiting long for the last.
const BATCH_OPERATIONS: usize = 1024;
/// No operation is added to a transaction that carries so many bytes already.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Time between two attempts to open a database that failed.
const RETRY: Duration = Duration::from_secs(1);

/// How to open the database, the first time and after a failure.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, OpenError> + Send>;

type Batch = Vec<Box<dyn Write>>;

/// Why a transaction can't be counted on.
enum Failure {
    /// It was given up before the commit; the database is still good.
    Refused(KeyValueError),
    /// Nothing of it has happened, and the database has to be opened again.
    Broken(String),
    /// It failed while it was being committed, and the database has to be opened again.
    InCommit(String),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(error) => Self::Refused(error),
            Fault::Storage(error) => Self::Broken(error.to_string()),
        }
    }
}

/// What the writer's thread owns.
pub(super) struct Writer {
    slot: Arc<Slot>,
    queue: Receiver<Box<dyn Write>>,
    open: Opener,
    /// When to try again to open a database that failed; `None` while all is well.
    retry_at: Option<Instant>,
}

impl Writer {
    pub(super) fn new(slot: Arc<Slot>, queue: Receiver<Box<dyn Write>>, open: Opener) -> Self {
        Self {
            slot,
            queue,
            open,
            retry_at: None,
        }
    }

    /// Works until the queue is closed and empty, then closes the database.
    pub(super) fn run(mut self) {
        while let Some(batch) = self.next_batch() {
            self.work(batch);
        }
        close(self.slot.close());
    }

    /// Waits for work, and takes what else is waiting. `None` when there will be no more; an empty
    /// batch when it is time to try opening the database again.
    fn next_batch(&self) -> Option<Batch> {
        let first = match self.retry_at {
            None => self.queue.recv().ok()?,
            Some(at) => {
                let wait = at.saturating_duration_since(Instant::now());
                match self.queue.recv_timeout(wait) {
                    Ok(first) => first,
                    Err(RecvTimeoutError::Timeout) => return Some(Batch::new()),
                    Err(RecvTimeoutError::Disconnected) => return None,
                }
            }
        };
        let mut bytes = first.bytes();
        let mut batch = vec![first];
        while bytes < BATCH_BYTES && batch.len() < BATCH_OPERATIONS {
            let Ok(next) = self.queue.try_recv() else {
                break;
            };
            bytes += next.bytes();
            batch.push(next);
        }
        Some(batch)
    }

    fn work(&mut self, mut batch: Batch) {
        if self.retry_at.is_some_and(|at| at <= Instant::now()) {
            self.reopen();
        }
        // redb panics where it finds a file impossible; that must not end the only writer.
        let outcome = guarded(|| self.commit(&mut batch))
            .unwrap_or_else(|panic| Err(Failure::InCommit(panic)));
        let (answer, broken) = match outcome {
            Ok(()) => (Ok(()), None),
            Err(Failure::Refused(error)) => (Err(error), None),
            Err(Failure::Broken(reason)) => (Err(unavailable(&reason)), Some(reason)),
            Err(Failure::InCommit(reason)) => {
                let unknown = KeyValueError::OutcomeUnknown {
                    reason: reason.clone(),
                };
                (Err(unknown), Some(reason))
            }
        };
        if answer.is_ok() {
            self.slot.count_operations(batch.len());
        }
        for operation in batch {
            operation.answer(&answer);
        }
        if let Some(reason) = broken {
            tracing::error!(%reason, "the key-value store failed; opening it again");
            close(self.slot.fail(reason));
            self.reopen();
        }
    }

    /// Carries out a batch in one transaction.
    fn commit(&self, batch: &mut Batch) -> Result<(), Failure> {
        if batch.is_empty() {
            return Ok(());
        }
        let transaction = self.slot.begin_write()?;
        if apply(&transaction, batch)? {
            transaction.commit().map_err(|error| match error {
                CommitError::Storage(error) => Failure::InCommit(error.to_string()),
                poisoned => Failure::Broken(poisoned.to_string()),
            })?;
            self.slot.count_commit();
        } else {
            transaction
                .abort()
                .map_err(|error| Failure::Broken(error.to_string()))?;
        }
        Ok(())
    }

    /// After a failure redb wants the file closed and opened again, which also repairs it. A disk
    /// that was full may have room by then.
    fn reopen(&mut self) {
        match (self.open)() {
            Ok(database) => {
                self.slot.mend(database);
                self.retry_at = None;
                tracing::info!("the key-value store is open again");
            }
            Err(error) => {
                if self.retry_at.is_none() {
                    tracing::error!(%error, "the key-value store can't be opened; trying again every second");
                }
                close(self.slot.fail(error.to_string()));
                self.retry_at = Some(Instant::now() + RETRY);
            }
        }
    }
}

/// Lets each operation do its work. Says whether there is anything to commit.
fn apply(transaction: &WriteTransaction, batch: &mut Batch) -> Result<bool, Fault> {
    let mut entries = Entries::open(transaction)?;
    for operation in batch {
        operation.apply(&mut entries).map_err(Fault::Storage)?;
    }
    entries.finish(transaction)
}

/// All that was acknowledged is durable already, so a failure here costs a check at the next start.
fn close(database: Option<Database>) {
    let Some(database) = database else { return };
    let result = guarded(|| database.close())
        .unwrap_or_else(|panic| Err(StorageError::Corrupted(panic).into()));
    if let Err(error) = result {
        tracing::warn!(%error, "closing the key-value store failed; it is repaired when it is opened next");
    }
}
