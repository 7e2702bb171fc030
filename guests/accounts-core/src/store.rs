//! The key-value store, as narrow as the accounts need it.

use thiserror::Error;

/// How often [`Store::update`] and [`Store::create`] try again when another writer was faster.
/// Every lost round means that somebody else's write succeeded, so only a store under very heavy
/// contention for one key, or one that is broken, gets there.
const MAX_ROUNDS: usize = 64;

/// A bucket of keys and values, shared with other instances that write at the same time.
pub trait Store {
    /// What a swap compares with: a key, and the state in which it was read.
    type Version;

    /// The value of `key`.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes `key`, whatever it held.
    fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError>;

    /// Removes `key`; it is no error if there is none.
    fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Reads `key` in order to [`swap`](Self::swap) it.
    fn read(&self, key: &str) -> Result<Snapshot<Self::Version>, StoreError>;

    /// Writes the key that `version` was read from, unless it has changed since.
    fn swap(&self, version: Self::Version, value: &[u8])
    -> Result<Swap<Self::Version>, StoreError>;

    /// Writes `key` if there is none yet, and says whether it did. Of any number of concurrent
    /// calls for one key exactly one is told `true`.
    fn create(&self, key: &str, value: &[u8]) -> Result<bool, StoreError> {
        let mut created = true;
        self.update(key, |current| {
            created = current.is_none();
            created.then(|| value.to_vec())
        })?;
        Ok(created)
    }

    /// Replaces the value of `key` by what `change` makes of it, as one atomic step; `None` leaves
    /// it as it is. `change` runs again if another writer comes in between.
    fn update(
        &self,
        key: &str,
        mut change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let mut snapshot = self.read(key)?;
        for _ in 0..MAX_ROUNDS {
            let Some(value) = change(snapshot.value.as_deref()) else {
                return Ok(());
            };
            match self.swap(snapshot.version, &value)? {
                Swap::Done => return Ok(()),
                Swap::Lost(newer) => snapshot = newer,
            }
        }
        Err(StoreError::Contended)
    }
}

/// A value, and the version that it had when it was read.
#[derive(Debug)]
pub struct Snapshot<V> {
    /// The value; `None` if there is no such key.
    pub value: Option<Vec<u8>>,
    /// What to hand to [`Store::swap`].
    pub version: V,
}

/// How a [`Store::swap`] ended.
#[derive(Debug)]
pub enum Swap<V> {
    /// The value is written.
    Done,
    /// Another writer was faster; this is what it left.
    Lost(Snapshot<V>),
}

/// Why the store did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The host has no such bucket.
    #[error("there is no bucket `{bucket}`")]
    NoSuchBucket {
        /// The bucket's name.
        bucket: String,
    },
    /// The service may not use the bucket.
    #[error(
        "access to bucket `{bucket}` is denied: name it in `grants.keyvalue` of the service's manifest"
    )]
    AccessDenied {
        /// The bucket's name.
        bucket: String,
    },
    /// Other writers were always faster.
    #[error("other writers kept changing the same key")]
    Contended,
    /// A value is not what was written there.
    #[error("the value of a key under `{prefix}` can't be read: {reason}")]
    Damaged {
        /// The keys' common beginning; the whole key could name a person or a token.
        prefix: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Whatever else the host reports.
    #[error("the key-value store failed: {0}")]
    Other(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;

    #[test]
    fn only_the_first_create_of_a_key_succeeds() {
        let store = MemoryStore::default();
        assert!(store.create("k", b"first").unwrap());
        assert!(!store.create("k", b"second").unwrap());
        assert_eq!(store.get("k").unwrap().unwrap(), b"first");
    }

    #[test]
    fn a_create_that_is_overtaken_between_read_and_swap_changes_nothing() {
        let store = MemoryStore::default();
        store.before_next_swap(|store| {
            assert!(store.create("k", b"faster").unwrap());
        });
        assert!(!store.create("k", b"slower").unwrap());
        assert_eq!(store.get("k").unwrap().unwrap(), b"faster");
    }

    #[test]
    fn a_create_succeeds_if_what_overtook_it_is_gone_again() {
        let store = MemoryStore::default();
        store.before_next_swap(|store| {
            store.set("k", b"short-lived").unwrap();
            store.delete("k").unwrap();
        });
        assert!(store.create("k", b"stays").unwrap());
        assert_eq!(store.get("k").unwrap().unwrap(), b"stays");
    }

    #[test]
    fn an_update_that_is_overtaken_is_made_again_on_the_newer_value() {
        let store = MemoryStore::default();
        let append = |letter: u8| {
            move |current: Option<&[u8]>| {
                let mut value = current.unwrap_or_default().to_vec();
                value.push(letter);
                Some(value)
            }
        };
        store.before_next_swap(move |store| store.update("k", append(b'a')).unwrap());
        store.update("k", append(b'b')).unwrap();
        assert_eq!(store.get("k").unwrap().unwrap(), b"ab");
    }
}
