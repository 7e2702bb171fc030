//! One bucket of the embedded store.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::limits::{check_batch, check_key, check_value};
use super::super::{Bucket, KeyPage, KeyValueError, Revision, Swap, Versioned};
use super::Shared;
use super::entries::{Fault, Prefix};
use super::slot::{ReadEntries, ReadFailure, unavailable};

pub(super) struct EmbeddedBucket {
    shared: Arc<Shared>,
    prefix: Prefix,
}

impl EmbeddedBucket {
    pub(super) fn new(shared: &Arc<Shared>, bucket: &str) -> Self {
        Self {
            shared: Arc::clone(shared),
            prefix: Prefix::new(bucket),
        }
    }

    fn entry(&self, key: &str) -> Result<String, KeyValueError> {
        check_key(key)?;
        Ok(self.prefix.entry(key))
    }

    fn entries(&self, keys: &[String]) -> Result<Vec<String>, KeyValueError> {
        check_batch(keys.len(), 0)?;
        keys.iter().map(|key| self.entry(key)).collect()
    }

    /// Reads on a thread that may wait: for what may touch many pages.
    async fn read_apart<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadEntries) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, KeyValueError> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || shared.read(read))
            .await
            .unwrap_or_else(|_ended| Err(unavailable("the runtime is shutting down")))
    }
}

impl Shared {
    /// Reads on the spot: for one key.
    ///
    /// That is a walk down a tree of three or four levels, in memory for whatever was used lately
    /// and at worst one read from the file per level, most of which the system has in memory too.
    /// No lock on the way is held while somebody waits for the disk, commits included, so handing
    /// it to another thread would mostly cost more than the read itself.
    fn read<T>(
        &self,
        read: impl FnOnce(&ReadEntries) -> Result<T, Fault>,
    ) -> Result<T, KeyValueError> {
        self.slot.read(read).map_err(|failure| match failure {
            ReadFailure::Refused(error) => error,
            ReadFailure::Broken(reason) => {
                self.queue.probe();
                unavailable(reason)
            }
        })
    }
}

#[async_trait]
impl Bucket for EmbeddedBucket {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        let key = self.entry(key)?;
        self.shared.read(|entries| entries.get(&key))
    }

    async fn set(&self, key: &str, value: Vec<u8>) -> Result<(), KeyValueError> {
        let key = self.entry(key)?;
        check_value(&value)?;
        self.shared
            .queue
            .submit(key.len() + value.len(), move |entries| {
                entries.set(&key, &value)
            })
            .await
    }

    async fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        let key = self.entry(key)?;
        self.shared
            .queue
            .submit(key.len(), move |entries| entries.delete(&key))
            .await
    }

    async fn exists(&self, key: &str) -> Result<bool, KeyValueError> {
        let key = self.entry(key)?;
        self.shared.read(|entries| entries.exists(&key))
    }

    async fn list_keys(&self, cursor: Option<String>) -> Result<KeyPage, KeyValueError> {
        let bucket = self.prefix.clone();
        self.read_apart(move |entries| entries.page(&bucket, cursor.as_deref()))
            .await
    }

    async fn read_for_swap(&self, key: &str) -> Result<Versioned, KeyValueError> {
        let key = self.entry(key)?;
        self.shared.read(|entries| entries.versioned(&key))
    }

    async fn swap(
        &self,
        key: &str,
        revision: Revision,
        value: Vec<u8>,
    ) -> Result<Swap, KeyValueError> {
        let key = self.entry(key)?;
        check_value(&value)?;
        self.shared
            .queue
            .submit(key.len() + value.len(), move |entries| {
                entries.swap(&key, revision, &value)
            })
            .await
    }

    async fn increment(&self, key: &str, delta: i64) -> Result<i64, KeyValueError> {
        let key = self.entry(key)?;
        self.shared
            .queue
            .submit(key.len(), move |entries| entries.increment(&key, delta))
            .await
    }

    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, KeyValueError> {
        let keys = self.entries(&keys)?;
        self.read_apart(move |entries| entries.get_many(&keys))
            .await
    }

    async fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), KeyValueError> {
        let bytes = entries
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        check_batch(entries.len(), bytes)?;
        let mut batch = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            check_value(&value)?;
            batch.push((self.entry(&key)?, value));
        }
        self.shared
            .queue
            .submit(bytes, move |entries| {
                batch
                    .iter()
                    .try_for_each(|(key, value)| entries.set(key, value))
            })
            .await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), KeyValueError> {
        let keys = self.entries(&keys)?;
        let bytes = keys.iter().map(String::len).sum();
        self.shared
            .queue
            .submit(bytes, move |entries| {
                keys.iter().try_for_each(|key| entries.delete(key))
            })
            .await
    }
}
