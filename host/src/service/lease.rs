//! A place in an instance, and what the two ends of it tell one another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::calling::Calls;
use super::exit::InstanceId;
use super::mailbox::Mailbox;
use super::pool::Pool;
use crate::dispatch::Attempt;

/// What an instance tells about itself while it runs.
#[derive(Debug, Default)]
pub struct Vitals {
    /// Bytes of linear memory and tables in use.
    pub memory: AtomicUsize,
    /// Told by a lease whose client went away; the instance looks which of its leases it was.
    pub abandoned: Notify,
}

/// One place in one instance. Dropping it gives the place to the next who waits.
pub struct Lease {
    pool: Arc<Pool>,
    instance: InstanceId,
    mailbox: Mailbox,
    vitals: Arc<Vitals>,
    served: AtomicBool,
    abandoned: AtomicBool,
    /// What the holder waits for.
    pub(super) calls: Calls,
}

impl Lease {
    pub(super) fn new(
        pool: Arc<Pool>,
        instance: InstanceId,
        mailbox: Mailbox,
        vitals: Arc<Vitals>,
    ) -> Self {
        Self {
            pool,
            instance,
            mailbox,
            vitals,
            served: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            calls: Calls::default(),
        }
    }

    /// Hands an attempt to the instance, or back if the instance has ended. The instance works on it
    /// in the caller's task, until it has to wait for something.
    ///
    /// # Errors
    ///
    /// The attempt itself.
    #[expect(
        clippy::result_large_err,
        reason = "a refused attempt comes back by value"
    )]
    pub fn send(&self, attempt: Attempt) -> Result<(), Attempt> {
        self.mailbox.send(attempt)
    }

    /// Lets the instance work in the caller's task, until it has to wait for something.
    pub(super) fn lend(&self) {
        self.mailbox.lend();
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
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool
            .release(self.instance, self.served.load(Ordering::Relaxed));
    }
}
