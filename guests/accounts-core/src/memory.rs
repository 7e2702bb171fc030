//! A store in memory, with which a test can let writers overtake one another.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;

use crate::store::{Snapshot, Store, StoreError, Swap};

type Interruption = Box<dyn FnOnce(&MemoryStore)>;

/// A [`Store`] in memory.
#[derive(Default)]
pub struct MemoryStore {
    entries: RefCell<BTreeMap<String, (u64, Vec<u8>)>>,
    clock: Cell<u64>,
    before_swap: RefCell<Option<Interruption>>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

/// A key, and the number of the write that its value came from; `None` if it had no value.
#[derive(Debug)]
pub struct Version {
    key: String,
    write: Option<u64>,
}

impl MemoryStore {
    /// Runs `other` once, just before the next swap is tried: what another instance could do
    /// between this one's read and its write.
    pub fn before_next_swap(&self, other: impl FnOnce(&Self) + 'static) {
        *self.before_swap.borrow_mut() = Some(Box::new(other));
    }

    /// All keys and values, in the order of the keys.
    pub fn dump(&self) -> Vec<(String, Vec<u8>)> {
        let entries = self.entries.borrow();
        entries
            .iter()
            .map(|(key, (_, value))| (key.clone(), value.clone()))
            .collect()
    }
}

impl Store for MemoryStore {
    type Version = Version;

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.read(key)?.value)
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.clock.set(self.clock.get() + 1);
        let entry = (self.clock.get(), value.to_vec());
        self.entries.borrow_mut().insert(key.to_owned(), entry);
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.entries.borrow_mut().remove(key);
        Ok(())
    }

    fn read(&self, key: &str) -> Result<Snapshot<Version>, StoreError> {
        let entry = self.entries.borrow().get(key).cloned();
        let (write, value) = entry.unzip();
        let version = Version {
            key: key.to_owned(),
            write,
        };
        Ok(Snapshot { value, version })
    }

    fn swap(&self, version: Version, value: &[u8]) -> Result<Swap<Version>, StoreError> {
        let other = self.before_swap.take();
        if let Some(other) = other {
            other(self);
        }
        let newer = self.read(&version.key)?;
        if newer.version.write != version.write {
            return Ok(Swap::Lost(newer));
        }
        self.set(&version.key, value)?;
        Ok(Swap::Done)
    }
}
