//! What services remember: named buckets of keys and values, shared by the services that are
//! granted them. This module says what any store has to promise, in terms that wasi:keyvalue, in
//! each of its drafts, can be mapped onto; [`EmbeddedStore`] keeps the promise in one file of the
//! data directory, and a networked store can take its place without a guest noticing. Nothing in
//! here knows about WebAssembly.

use std::sync::Arc;

use async_trait::async_trait;

mod embedded;
mod error;
mod limits;

pub use embedded::{DATABASE_FILE, EmbeddedStore, OpenError};
pub use error::KeyValueError;
pub use limits::{
    MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, MAX_BUCKET_NAME_BYTES, MAX_KEY_BYTES, MAX_PAGE_KEYS,
    MAX_VALUE_BYTES, check_batch, check_bucket_name, check_key, check_value,
};

/// A place that holds buckets.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The bucket of that name, which exists as soon as somebody asks for it.
    ///
    /// # Errors
    ///
    /// [`KeyValueError::InvalidBucketName`] if no bucket can have that name.
    async fn open(&self, bucket: &str) -> Result<Arc<dyn Bucket>, KeyValueError>;

    /// What the store has done since it was opened.
    fn stats(&self) -> Stats;

    /// Finishes what was accepted, then lets go of files and connections. Operations that come
    /// later fail with [`KeyValueError::Closed`]. Once this returns, for whichever caller, another
    /// process may open the same place.
    async fn close(&self);
}

/// One bucket: keys with a value each. All services that are granted a bucket see the same one.
///
/// A write that returned `Ok` is durable, and every read that starts afterwards sees it, whoever
/// reads. Dropping the future of a write withdraws interest, not the write: once accepted it
/// happens, as a whole, though nobody is told.
///
/// Every method checks its arguments against the limits of this module first, and a refused call
/// changes nothing.
#[async_trait]
pub trait Bucket: Send + Sync + 'static {
    /// The value of `key`, or `None` if the bucket has no such key.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError>;

    /// Gives `key` that value, whether or not it had one.
    async fn set(&self, key: &str, value: Vec<u8>) -> Result<(), KeyValueError>;

    /// Removes `key`. A key that isn't there is no error.
    async fn delete(&self, key: &str) -> Result<(), KeyValueError>;

    /// Whether the bucket has `key`.
    async fn exists(&self, key: &str) -> Result<bool, KeyValueError>;

    /// Up to [`MAX_PAGE_KEYS`] keys that come after `cursor`, the one that the page before ended
    /// with; the first page for `None`. A key that exists during the whole walk is listed exactly
    /// once, whatever is written meanwhile.
    async fn list_keys(&self, cursor: Option<String>) -> Result<KeyPage, KeyValueError>;

    /// The value of `key` together with the revision that [`Bucket::swap`] asks for.
    async fn read_for_swap(&self, key: &str) -> Result<Versioned, KeyValueError>;

    /// Gives `key` that value if nobody wrote the key since `revision` was read, not even the same
    /// value again (no ABA).
    ///
    /// Absence is the exception: for a key that was absent, what counts is that it is absent now,
    /// even if it existed in between. That makes the swap an atomic create-if-absent.
    async fn swap(
        &self,
        key: &str,
        revision: Revision,
        value: Vec<u8>,
    ) -> Result<Swap, KeyValueError>;

    /// Adds `delta` to the number under `key`, in one step, and returns the sum. Numbers are kept
    /// as decimal text, as Redis keeps them, so that `get` and `set` can read and write them. A
    /// missing key counts as 0.
    ///
    /// # Errors
    ///
    /// [`KeyValueError::NotANumber`] and [`KeyValueError::Overflow`], both of which leave the
    /// value alone.
    async fn increment(&self, key: &str, delta: i64) -> Result<i64, KeyValueError>;

    /// The values of `keys`, in their order, all as of one moment.
    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, KeyValueError>;

    /// Sets all of them, or none. If a key occurs twice, the later one stays.
    async fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), KeyValueError>;

    /// Removes all of them, or none. Keys that aren't there are skipped.
    async fn delete_many(&self, keys: Vec<String>) -> Result<(), KeyValueError>;
}

/// One page of a bucket's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys, each once.
    pub keys: Vec<String>,
    /// What to ask the next page with; `None` if this was the last.
    pub cursor: Option<String>,
}

/// Which write of a key a reader saw. The number means something only to the store that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision(pub u64);

/// A value, or its absence, and the revision at which it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The value, or `None` for a key that wasn't there.
    pub value: Option<Vec<u8>>,
    /// What to hand to [`Bucket::swap`].
    pub revision: Revision,
}

/// How a [`Bucket::swap`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Swap {
    /// The value is set.
    Done,
    /// Somebody was faster: nothing is changed, and this is what the key holds now.
    Conflict(Versioned),
}

/// What a store has done since it was opened, for the metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Write operations carried out, including those that ended in a conflict or were refused for
    /// what the key holds. A batch counts as one.
    pub operations: u64,
    /// Durable commits (for a networked store: round trips) that it took.
    pub commits: u64,
}
