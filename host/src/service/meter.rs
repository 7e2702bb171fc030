//! What an instance uses of the processors, and its turns to do so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::burst;
use super::gate::{Share, Turn};

/// See the module.
pub struct Meter {
    share: Arc<Share>,
    /// The turn that the instance has for what it does next, until it waits or is interrupted.
    turn: Mutex<Option<Turn>>,
    /// There is one. Looked at each time that the instance has worked, so not behind a lock.
    holds: AtomicBool,
}

impl Meter {
    /// For an instance of the service that has this share.
    pub fn new(share: Arc<Share>) -> Arc<Self> {
        Arc::new(Self {
            share,
            turn: Mutex::new(None),
            holds: AtomicBool::new(false),
        })
    }

    /// For an instance that shares the processors with nobody.
    #[cfg(test)]
    pub(super) fn alone() -> Arc<Self> {
        Self::new(super::gate::Gate::new(1, 1).join(crate::telemetry::shards::Seconds::default()))
    }

    /// Lets the instance work, and charges it for that. After that its turn is over. Tells how many
    /// nanoseconds it took.
    pub(super) fn measure<T>(&self, work: impl FnOnce() -> T) -> (T, u64) {
        let (done, took) = burst::measure(work);
        self.share.used().add_nanos(took);
        if self.holds.load(Ordering::Relaxed) && self.holds.swap(false, Ordering::Acquire) {
            let over = self.turn.lock().take();
            drop(over);
        }
        (done, took)
    }

    /// A turn for what the instance does next.
    pub(super) fn keep(&self, turn: Turn) {
        if turn.counts() {
            let before = self.turn.lock().replace(turn);
            self.holds.store(true, Ordering::Release);
            drop(before);
        }
    }

    /// The instance's computation was interrupted: waits until it may go on. Whatever it works on has
    /// to be over by `deadline`.
    pub async fn interrupted(self: Arc<Self>, deadline: Option<Instant>) {
        self.keep(self.share.turn_to_go_on(deadline).await);
    }
}
