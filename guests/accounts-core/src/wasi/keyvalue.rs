//! The store through `wasi:keyvalue`.

use std::cell::OnceCell;

use super::bindings::wasi::keyvalue::atomics::{self, Cas, CasError};
use super::bindings::wasi::keyvalue::store;
use crate::store::{Snapshot, Store, StoreError, Swap};

/// A bucket, opened when it is first used: a request that needs none is answered without.
#[derive(Debug)]
pub struct Bucket {
    name: &'static str,
    opened: OnceCell<store::Bucket>,
}

impl Bucket {
    /// The bucket with this name.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            opened: OnceCell::new(),
        }
    }

    fn open(&self) -> Result<&store::Bucket, StoreError> {
        if let Some(bucket) = self.opened.get() {
            return Ok(bucket);
        }
        let bucket = store::open(self.name).map_err(|error| self.error(error))?;
        Ok(self.opened.get_or_init(|| bucket))
    }

    fn error(&self, error: store::Error) -> StoreError {
        match error {
            store::Error::NoSuchStore => StoreError::NoSuchBucket {
                bucket: self.name.to_owned(),
            },
            store::Error::AccessDenied => StoreError::AccessDenied {
                bucket: self.name.to_owned(),
            },
            store::Error::Other(reason) => StoreError::Other(reason),
        }
    }

    fn snapshot(&self, cas: Cas) -> Result<Snapshot<Cas>, StoreError> {
        let value = cas.current().map_err(|error| self.error(error))?;
        Ok(Snapshot {
            value,
            version: cas,
        })
    }
}

impl Store for Bucket {
    type Version = Cas;

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.open()?.get(key).map_err(|error| self.error(error))
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.open()?
            .set(key, value)
            .map_err(|error| self.error(error))
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.open()?.delete(key).map_err(|error| self.error(error))
    }

    fn read(&self, key: &str) -> Result<Snapshot<Cas>, StoreError> {
        let cas = Cas::new(self.open()?, key).map_err(|error| self.error(error))?;
        self.snapshot(cas)
    }

    fn swap(&self, version: Cas, value: &[u8]) -> Result<Swap<Cas>, StoreError> {
        match atomics::swap(version, value) {
            Ok(()) => Ok(Swap::Done),
            Err(CasError::CasFailed(newer)) => self.snapshot(newer).map(Swap::Lost),
            Err(CasError::StoreError(error)) => Err(self.error(error)),
        }
    }
}
