//! A disk in memory that can be slow, or fail, when a test says so.

use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, RwLock};
use redb::StorageBackend;
use tokio::sync::watch;

/// Clones are the same disk, so that a store can be opened on it again.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    bytes: RwLock<Vec<u8>>,
    mood: Mutex<Mood>,
    changed: Condvar,
    waiting: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Mood {
    held: bool,
    /// How many syncs from now on fail.
    failing_syncs: usize,
    syncs: usize,
}

impl Disk {
    /// From now on a sync takes until [`Disk::release`].
    pub(super) fn hold(&self) {
        self.0.mood.lock().held = true;
    }

    pub(super) fn release(&self) {
        self.0.mood.lock().held = false;
        self.0.changed.notify_all();
    }

    /// Waits until a commit hangs in its sync.
    pub(super) async fn sync_waits(&self) {
        let mut waiting = self.0.waiting.subscribe();
        waiting.wait_for(|waiting| *waiting > 0).await.unwrap();
    }

    pub(super) fn fail_syncs(&self, count: usize) {
        self.0.mood.lock().failing_syncs = count;
    }

    pub(super) fn syncs(&self) -> usize {
        self.0.mood.lock().syncs
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.bytes.read().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let bytes = self.0.bytes.read();
        let found = bytes.get(start..start + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).unwrap();
        self.0.bytes.write().resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut mood = self.0.mood.lock();
        self.0.waiting.send_modify(|waiting| *waiting += 1);
        self.0.changed.wait_while(&mut mood, |mood| mood.held);
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
        if mood.failing_syncs > 0 {
            mood.failing_syncs -= 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        mood.syncs += 1;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let mut bytes = self.0.bytes.write();
        bytes[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}
