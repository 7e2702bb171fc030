//! A place in an instance, and what the two ends of it tell one another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::calling::Calls;
use super::drive::Hold;
use super::exit::InstanceId;
use super::gate::Turn;
use super::mailbox::Mailbox;
use super::pool::Pool;
use crate::clock;
use crate::dispatch::Attempt;

/// What an instance tells about itself while it runs.
#[derive(Debug, Default)]
pub struct Vitals {
    /// Bytes of linear memory and tables in use.
    pub memory: AtomicUsize,
    /// Told by a lease whose client went away; the instance looks which of its leases it was.
    pub abandoned: Notify,
}

/// When a place was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// On the pool's clock.
    pub at: Duration,
    /// How many places were taken then, this one included.
    pub places: usize,
}

/// What a lease tells when it comes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Return {
    pub taken: Taken,
    /// The request was answered in full.
    pub served: bool,
    /// Whether the guest failed; `None` if it can't be said.
    pub failed: Option<bool>,
    /// When the response began, if the pool doesn't know yet.
    pub answered: Option<Instant>,
}

/// One place in one instance. Dropping it gives the place to the next who waits.
pub struct Lease {
    pool: Arc<Pool>,
    instance: InstanceId,
    mailbox: Mailbox,
    vitals: Arc<Vitals>,
    taken: Taken,
    served: AtomicBool,
    failed: AtomicBool,
    abandoned: AtomicBool,
    answered: Mutex<Option<Instant>>,
    /// What the holder waits for.
    pub(super) calls: Calls,
}

impl Lease {
    pub(super) fn new(
        pool: Arc<Pool>,
        instance: InstanceId,
        mailbox: Mailbox,
        vitals: Arc<Vitals>,
        taken: Taken,
    ) -> Self {
        Self {
            pool,
            instance,
            mailbox,
            vitals,
            taken,
            served: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            answered: Mutex::new(None),
            abandoned: AtomicBool::new(false),
            calls: Calls::default(),
        }
    }

    /// Hands an attempt to the instance, or back if the instance has ended. The instance works on it in this
    /// `turn`, and unless that is likely to take long, in the caller's task, until it has to wait for
    /// something. Then it is on hold as long as what is returned is kept.
    ///
    /// # Errors
    ///
    /// The attempt itself.
    pub(super) fn send(&self, attempt: Attempt, turn: Turn) -> Result<Option<Hold<'_>>, Attempt> {
        self.mailbox.send(attempt, turn)
    }

    /// What wakes the instance from now on is left to who lets it work here.
    pub(super) fn hold(&self) -> Option<Hold<'_>> {
        self.mailbox.hold()
    }

    /// Lets the instance work in the caller's task, unless that is likely to take long, until it has to wait
    /// for something.
    pub(super) fn lend(&self) {
        self.mailbox.lend(Turn::none());
    }

    /// Whether the instance has come to its end, and is about to be seen off.
    pub(super) fn is_over(&self) -> bool {
        self.mailbox.is_over()
    }

    /// The pool it is a place in.
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The instance it is a place in.
    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// The client went away before it had its whole answer. What the guest still does for it is of
    /// use to nobody.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
        self.vitals.abandoned.notify_one();
    }

    /// Whether the client went away.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// The request was answered in full: useful work.
    pub fn mark_served(&self) {
        self.served.store(true, Ordering::Relaxed);
    }

    /// The guest has answered; `failed` if that was a failure of its own making.
    pub fn note_answer(&self, failed: bool) {
        self.failed.store(failed, Ordering::Relaxed);
        *self.answered.lock() = Some(clock::recent());
    }

    /// The response will take a while: what is known of how fast the instance is must not wait for
    /// its end.
    pub(super) fn note_streaming(&self) {
        if let Some(at) = self.answered.lock().take() {
            self.pool.answered(self.instance, self.taken, at);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (served, failed) = (self.served.get_mut(), self.failed.get_mut());
        let back = Return {
            taken: self.taken,
            served: *served,
            failed: (*served || *failed).then_some(*failed),
            answered: self.answered.get_mut().take(),
        };
        self.pool.release(self.instance, &back);
    }
}
