//! How buckets lie in the database, and what each operation does to them.
//!
//! All buckets share one table. An entry's key is the bucket's name, a NUL (which no bucket name
//! contains) and the key, so that a bucket is one range, in the order of its keys. With each value
//! lies its revision: the number of the write that put it there, counted over the whole store and
//! never used twice, which is what makes compare-and-swap free of ABA.

use redb::{
    ReadTransaction, ReadableTable, StorageError, Table, TableDefinition, TableError,
    WriteTransaction,
};

use super::super::limits::{MAX_PAGE_KEYS, check_batch};
use super::super::{KeyPage, KeyValueError, Revision, Swap, Versioned};

/// (revision, value) by bucket and key.
const ENTRIES: TableDefinition<&str, (u64, &[u8])> = TableDefinition::new("entries");
/// The store's own numbers.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// In [`META`]: how many writes there have been.
const SEQUENCE: &str = "sequence";
/// The revision of a key that isn't there; writes count from 1.
const ABSENT: Revision = Revision(0);

/// Why an operation didn't go through.
#[derive(Debug)]
pub(super) enum Fault {
    /// The operation itself is at fault, and has changed nothing. Its neighbours are fine.
    Refused(KeyValueError),
    /// The database is at fault: nothing in this transaction can be relied on.
    Storage(StorageError),
}

impl From<KeyValueError> for Fault {
    fn from(error: KeyValueError) -> Self {
        Self::Refused(error)
    }
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<TableError> for Fault {
    fn from(error: TableError) -> Self {
        Self::Storage(match error {
            TableError::Storage(error) => error,
            // Both tables are made when the file is, so one that is missing or of another shape
            // means that somebody else wrote to the file.
            other => StorageError::Corrupted(other.to_string()),
        })
    }
}

/// A bucket's name, ready to make entry keys of.
#[derive(Debug, Clone)]
pub(super) struct Prefix(String);

impl Prefix {
    /// `bucket` has to be a valid bucket name.
    pub(super) fn new(bucket: &str) -> Self {
        Self(format!("{bucket}\0"))
    }

    /// Where `key` of this bucket lies in the table.
    pub(super) fn entry(&self, key: &str) -> String {
        format!("{}{key}", self.0)
    }

    /// The first place behind this bucket's entries.
    fn end(&self) -> String {
        let name = self.0.trim_end_matches('\0');
        format!("{name}\u{1}")
    }
}

/// Makes the tables if they are missing.
pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), TableError> {
    transaction.open_table(ENTRIES)?;
    transaction.open_table(META)?;
    Ok(())
}

/// The entries as of one moment. Keys are entry keys (see [`Prefix::entry`]).
pub(super) struct Reader<T>(T);

impl Reader<redb::ReadOnlyTable<&'static str, (u64, &'static [u8])>> {
    pub(super) fn open(transaction: &ReadTransaction) -> Result<Self, Fault> {
        Ok(Self(transaction.open_table(ENTRIES)?))
    }
}

impl<T: ReadableTable<&'static str, (u64, &'static [u8])>> Reader<T> {
    pub(super) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        let entry = self.0.get(key)?;
        Ok(entry.map(|entry| entry.value().1.to_vec()))
    }

    pub(super) fn exists(&self, key: &str) -> Result<bool, Fault> {
        Ok(self.0.get(key)?.is_some())
    }

    pub(super) fn versioned(&self, key: &str) -> Result<Versioned, Fault> {
        Ok(match self.0.get(key)? {
            None => Versioned {
                value: None,
                revision: ABSENT,
            },
            Some(entry) => {
                let (revision, value) = entry.value();
                Versioned {
                    value: Some(value.to_vec()),
                    revision: Revision(revision),
                }
            }
        })
    }

    pub(super) fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        let mut values = Vec::with_capacity(keys.len());
        let mut bytes = 0;
        for key in keys {
            let value = self.get(key)?;
            bytes += value.as_ref().map_or(0, Vec::len);
            check_batch(keys.len(), bytes)?;
            values.push(value);
        }
        Ok(values)
    }

    /// The keys of a bucket behind `cursor`, as its users know them.
    pub(super) fn page(&self, bucket: &Prefix, cursor: Option<&str>) -> Result<KeyPage, Fault> {
        use std::ops::Bound::Excluded;
        // No key is empty, so that nothing lies at the bucket's very beginning.
        let start = bucket.entry(cursor.unwrap_or_default());
        let end = bucket.end();
        let mut range = self
            .0
            .range::<&str>((Excluded(start.as_str()), Excluded(end.as_str())))?;
        let mut keys = Vec::new();
        for entry in range.by_ref().take(MAX_PAGE_KEYS) {
            keys.push(entry?.0.value()[bucket.0.len()..].to_owned());
        }
        let more = range.next().transpose()?.is_some();
        let cursor = keys.last().filter(|_| more).cloned();
        Ok(KeyPage { keys, cursor })
    }
}

/// The entries inside a write transaction. Keys are entry keys.
///
/// Each method either does all of its work, or is refused and does nothing of it, or fails with
/// [`Fault::Storage`], after which the transaction must not be committed.
pub(super) struct Entries<'txn> {
    table: Reader<Table<'txn, &'static str, (u64, &'static [u8])>>,
    sequence: u64,
    changed: bool,
}

impl<'txn> Entries<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, Fault> {
        let meta = transaction.open_table(META)?;
        let sequence = meta.get(SEQUENCE)?.map_or(0, |sequence| sequence.value());
        Ok(Self {
            table: Reader(transaction.open_table(ENTRIES)?),
            sequence,
            changed: false,
        })
    }

    /// Notes how many writes there have been. Says whether there is anything to commit.
    pub(super) fn finish(self, transaction: &WriteTransaction) -> Result<bool, Fault> {
        if self.changed {
            let mut meta = transaction.open_table(META)?;
            meta.insert(SEQUENCE, self.sequence)?;
        }
        Ok(self.changed)
    }

    pub(super) fn set(&mut self, key: &str, value: &[u8]) -> Result<(), Fault> {
        self.sequence += 1;
        self.changed = true;
        self.table.0.insert(key, (self.sequence, value))?;
        Ok(())
    }

    pub(super) fn delete(&mut self, key: &str) -> Result<(), Fault> {
        let removed = self.table.0.remove(key)?.is_some();
        self.changed |= removed;
        Ok(())
    }

    pub(super) fn swap(
        &mut self,
        key: &str,
        revision: Revision,
        value: &[u8],
    ) -> Result<Swap, Fault> {
        let current = self.table.versioned(key)?;
        if current.revision != revision {
            return Ok(Swap::Conflict(current));
        }
        self.set(key, value)?;
        Ok(Swap::Done)
    }

    pub(super) fn increment(&mut self, key: &str, delta: i64) -> Result<i64, Fault> {
        let number = match self.table.get(key)? {
            None => 0,
            Some(value) => str::from_utf8(&value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .ok_or(KeyValueError::NotANumber)?,
        };
        let sum = number.checked_add(delta).ok_or(KeyValueError::Overflow)?;
        self.set(key, sum.to_string().as_bytes())?;
        Ok(sum)
    }
}
