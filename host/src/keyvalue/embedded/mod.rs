//! The store that needs nothing but a directory: one redb file, written by one thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Bucket, KeyValueError, Stats, Store, check_bucket_name};

mod bucket;
mod entries;
mod file;
mod queue;
mod slot;
#[cfg(test)]
mod tests;
mod writer;

use bucket::EmbeddedBucket;
use queue::Queue;
use slot::Slot;
use writer::{Opener, Writer};

pub use file::{DATABASE_FILE, OpenError};

/// The embedded store: all buckets in one file of the data directory, [`DATABASE_FILE`].
///
/// Cheap to clone; clones are the same store. It closes when [`Store::close`] is called, or in the
/// background some time after the last clone and the last of its buckets are gone.
#[derive(Clone)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
}

/// What the store and its buckets have in common, and the writer doesn't keep alive.
struct Shared {
    slot: Arc<Slot>,
    queue: Queue,
    /// Turns true, or loses its sender, when the writer has ended.
    ended: watch::Receiver<bool>,
}

impl EmbeddedStore {
    /// Opens the store in `directory`, which is made if it is missing. Reads the whole file to
    /// make sure that it is sound, so call it off the async threads.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        let directory = directory.as_ref().to_owned();
        let path = directory.join(DATABASE_FILE);
        Self::start(Box::new(move || file::open(&directory)), &path)
    }

    /// A store that is kept in memory, for the tests of others.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        let open = || file::open_backend(redb::backends::InMemoryBackend::new(), "memory".as_ref());
        Self::start(Box::new(open), "memory".as_ref()).unwrap()
    }

    fn start(open: Opener, path: &Path) -> Result<Self, OpenError> {
        let slot = Arc::new(Slot::new(open()?));
        let (queue, receiver) = Queue::new();
        let (ending, ended) = watch::channel(false);
        let writer = Writer::new(Arc::clone(&slot), receiver, open);
        // An OS thread: it spends its life waiting for the disk.
        std::thread::Builder::new()
            .name("keyvalue-writer".into())
            .spawn(move || {
                writer.run();
                let _ = ending.send(true);
            })
            .map_err(|source| OpenError::Io {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            shared: Arc::new(Shared { slot, queue, ended }),
        })
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn open(&self, bucket: &str) -> Result<Arc<dyn Bucket>, KeyValueError> {
        check_bucket_name(bucket)?;
        Ok(Arc::new(EmbeddedBucket::new(&self.shared, bucket)))
    }

    fn stats(&self) -> Stats {
        self.shared.slot.stats()
    }

    async fn close(&self) {
        self.shared.queue.close();
        // An error means that the writer is gone, which is as good.
        let _ = self.shared.ended.clone().wait_for(|ended| *ended).await;
    }
}

/// Runs something that may panic, and turns the panic into what it said.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // What is shared with the outside is redb's, which notices by itself that it was interrupted.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        text.unwrap_or_else(|| "the database panicked".into())
    })
}
