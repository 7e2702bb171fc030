//! The instances of one release, and who may use them.
//!
//! A [`Pool`] gives out [`Lease`]s: a lease is one place in one instance, held from the moment a
//! job gets it until its work and its response's body are over. Everything that changes is behind
//! one lock that is held for a few instructions and never across an `await`.
//!
//! ```text
//!            breaker opens             the rest is over
//!   Open ───────────────────► Broken ───────────────────► Probing
//!    ▲                           ▲    the probe failed       │
//!    │                           └───────────────────────────┤
//!    └───────────────────────────────────────────────────────┘
//!                        it served a request
//!   any of them ── drain ──► Draining ── last lease back ──► Closed
//! ```

mod limits;
mod state;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use self::state::{Slot, State};
use super::balance::Choice;
use super::calling::{self, Calling};
use super::exit::InstanceId;
use super::failover::MIN_TIME_LEFT;
use super::lease::{Lease, Return, Taken, Vitals};
use super::mailbox::Mailbox;
use super::status::InstanceStatus;
use crate::clock;
use crate::telemetry::shards::this_thread;

pub use self::limits::PoolLimits;
pub use self::state::Left;

/// How long who waits lets it be before it looks whether the choice has become another.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Whether a pool takes jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It does.
    Open,
    /// Its breaker is open.
    Broken {
        /// When one instance is tried again.
        until: Instant,
    },
    /// One instance is being tried.
    Probing,
    /// It finishes what it has.
    Draining,
    /// It is over.
    Closed,
}

/// Why a job got no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The queue was full, or the wait in it too long.
    Overloaded,
    /// It would not be answered in time.
    Late {
        /// When another may be.
        retry_after: Duration,
    },
    /// The job's deadline passed in the queue.
    Deadline,
    /// The breaker is open.
    Broken {
        /// When it will be tried again.
        retry_after: Duration,
    },
    /// All places are held by calls that wait for one another.
    Stuck,
    /// The pool takes no more jobs; a newer release may.
    Closed,
}

/// The instances of one release.
pub struct Pool {
    limits: PoolLimits,
    born: Instant,
    state: Mutex<State>,
    /// Told when a drain has nothing left to wait for.
    idle: Notify,
    /// Told when a probe served a request.
    recovered: Notify,
    /// Told when the breaker opens.
    broke: Notify,
}

impl Pool {
    /// A pool without instances.
    pub fn new(limits: PoolLimits) -> Arc<Self> {
        let state = State::new(&limits);
        Arc::new(Self {
            limits,
            born: Instant::now(),
            state: Mutex::new(state),
            idle: Notify::new(),
            recovered: Notify::new(),
            broke: Notify::new(),
        })
    }

    /// A place for one job, waiting for it if need be; for the call `calling`, if it
    /// is one whose caller is known.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn acquire(
        self: &Arc<Self>,
        deadline: Instant,
        calling: Option<&Calling>,
    ) -> Result<Lease, Refused> {
        self.ask(deadline, calling, false).await
    }

    /// A place for a job that had one, in an instance that died: it was admitted, and waits as long
    /// as it has time.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn acquire_again(
        self: &Arc<Self>,
        deadline: Instant,
        calling: Option<&Calling>,
    ) -> Result<Lease, Refused> {
        self.ask(deadline, calling, true).await
    }

    async fn ask(
        self: &Arc<Self>,
        deadline: Instant,
        calling: Option<&Calling>,
        again: bool,
    ) -> Result<Lease, Refused> {
        let waiter = {
            let mut state = self.state.lock();
            match state.phase {
                Phase::Open | Phase::Probing => {}
                Phase::Broken { until } => {
                    let retry_after = until.saturating_duration_since(Instant::now());
                    return Err(Refused::Broken { retry_after });
                }
                Phase::Draining | Phase::Closed => return Err(Refused::Closed),
            }
            let now = self.time(clock::recent());
            if !again {
                let left = deadline.saturating_duration_since(self.born + now);
                state.admit(now, left)?;
            }
            if state.queue.is_empty()
                && let Choice::Take(index) = state.choose(now, 0)
                && let Some(lease) = self.take_place(&mut state, index, (this_thread(), now))
            {
                return Ok(lease);
            }
            state
                .queue
                .join(this_thread())
                .map_err(|_| Refused::Overloaded)?
        };
        if let Some(calling) = calling {
            calling.waits_for_place(self);
            if calling::is_stuck(self) {
                return Err(Refused::Stuck);
            }
        }
        let patience = if again {
            deadline
        } else {
            Instant::now() + self.limits.queue_wait
        };
        self.wait(waiter, deadline, patience).await
    }

    /// Waits in the queue.
    async fn wait(
        self: &Arc<Self>,
        mut waiter: oneshot::Receiver<Result<Lease, Refused>>,
        deadline: Instant,
        patience: Instant,
    ) -> Result<Lease, Refused> {
        let until = deadline.min(patience);
        loop {
            let ask = until.min(Instant::now() + ASK_AGAIN);
            match timeout_at(ask, &mut waiter).await {
                // an instance would be lost to a request that can't be in time
                Ok(Ok(Ok(_))) if deadline < Instant::now() + MIN_TIME_LEFT => {
                    return Err(Refused::Deadline);
                }
                Ok(Ok(granted)) => return granted,
                Ok(Err(_)) => return Err(Refused::Closed),
                Err(_) if ask < until => {
                    // a fast instance that was worth to wait for may have become a slow one
                    let granted = self.hand_out(&mut self.state.lock());
                    deliver(granted);
                }
                Err(_) if deadline <= patience => return Err(Refused::Deadline),
                Err(_) => return Err(Refused::Overloaded),
            }
        }
    }

    /// An instance is ready for jobs.
    pub fn add(
        self: &Arc<Self>,
        id: InstanceId,
        mailbox: Mailbox,
        capacity: usize,
        vitals: Arc<Vitals>,
    ) {
        let granted = {
            let mut state = self.state.lock();
            state.slots.push(Slot::new(id, mailbox, capacity, vitals));
            self.hand_out(&mut state)
        };
        deliver(granted);
    }

    /// An instance has ended.
    pub fn remove(&self, id: InstanceId) -> Option<Left> {
        let mut state = self.state.lock();
        let left = state.remove(id);
        self.notice_idle(&mut state);
        left
    }

    /// Sets the phase; whoever waits while the pool goes out of service is told why.
    pub fn set_phase(&self, phase: Phase) {
        let refusal = match phase {
            Phase::Open | Phase::Probing | Phase::Draining => None,
            Phase::Broken { until } => Some(Refused::Broken {
                retry_after: until.saturating_duration_since(Instant::now()),
            }),
            Phase::Closed => Some(Refused::Closed),
        };
        let refused: Vec<_> = {
            let mut state = self.state.lock();
            state.phase = phase;
            self.notice_idle(&mut state);
            match refusal {
                Some(_) => std::iter::from_fn(|| state.queue.next()).collect(),
                None => Vec::new(),
            }
        };
        if matches!(phase, Phase::Broken { .. }) {
            self.broke.notify_waiters();
        }
        if let Some(refusal) = refusal {
            for waiter in refused {
                // one that has gone doesn't mind
                let _ = waiter.place.send(Err(refusal));
            }
        }
    }

    /// The phase it is in.
    pub fn phase(&self) -> Phase {
        self.state.lock().phase
    }

    /// Takes every instance out of use; each ends when its last lease comes back.
    pub fn retire_all(&self) {
        for slot in &mut self.state.lock().slots {
            slot.mailbox = None;
        }
    }

    /// Waits until a draining pool has no leases and no waiters.
    pub async fn drained(&self) {
        loop {
            let notified = self.idle.notified();
            if self.state.lock().is_idle() {
                return;
            }
            notified.await;
        }
    }

    /// Lets one instance try. What an earlier one has served proves nothing.
    pub fn begin_probe(&self) {
        let _ = self.recovered().now_or_never();
        self.set_phase(Phase::Probing);
    }

    /// Waits until a probe has served a request.
    pub async fn recovered(&self) {
        self.recovered.notified().await;
    }

    /// Waits until the breaker is open.
    pub async fn broken(&self) {
        loop {
            let notified = self.broke.notified();
            if matches!(self.phase(), Phase::Broken { .. }) {
                return;
            }
            notified.await;
        }
    }

    /// Takes an instance out of use; it ends when its last lease comes back. `false` if there is none
    /// of that name in use.
    pub fn retire(&self, id: InstanceId) -> bool {
        let mut state = self.state.lock();
        let slot = state.slots.iter_mut().find(|slot| slot.id == id);
        slot.is_some_and(|slot| slot.mailbox.take().is_some())
    }

    /// Requests served so far.
    pub fn served(&self) -> u64 {
        self.state.lock().served
    }

    /// Requests in instances, and jobs that wait.
    pub fn load(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.in_places(), state.queue.len())
    }

    /// How many instances take jobs.
    pub fn usable(&self) -> usize {
        self.state.lock().usable()
    }

    /// What each instance is doing.
    pub fn instances(&self) -> Vec<InstanceStatus> {
        let state = self.state.lock();
        state.slots.iter().map(Slot::status).collect()
    }

    /// The leases of all places, if their holders all wait for calls; `None` if one of them doesn't,
    /// or a place is free.
    pub(super) fn all_calling(&self) -> Option<Vec<Arc<Lease>>> {
        let state = self.state.lock();
        let held = state.in_places();
        // an instance that is on its way brings a place
        let complete = state.usable() >= self.limits.instances;
        let all = held > 0
            && complete
            && state.callers.len() == held
            && state.choose(self.born.elapsed(), 0) == Choice::Full;
        all.then(|| state.callers.clone())
    }

    /// The holder of a lease waits for calls, or does no more.
    pub(super) fn note_calling(&self, lease: &Arc<Lease>, calls: bool) {
        let mut state = self.state.lock();
        let callers = &mut state.callers;
        let found = callers.iter().position(|one| Arc::ptr_eq(one, lease));
        let left = match found {
            Some(index) if !calls => Some(callers.swap_remove(index)),
            None if calls => {
                callers.push(Arc::clone(lease));
                None
            }
            _ => None,
        };
        // the last of a lease goes back to the pool, which takes the lock
        drop(state);
        drop(left);
    }

    /// The response of a lease has begun, and will take a while.
    pub(super) fn answered(&self, id: InstanceId, taken: Taken, at: Instant) {
        let now = self.time(at);
        self.state.lock().note_answer(id, taken, now);
    }

    /// An instance died under a request, of the guest's own doing. Tells the release's concurrency
    /// if that has changed.
    pub(super) fn trapped(&self, in_company: bool) -> Option<NonZeroUsize> {
        let mut state = self.state.lock();
        let changed = state.downshift.trapped(1 + usize::from(in_company));
        changed.then(|| state.downshift.capacity())
    }

    /// Requests that an instance may hold now.
    pub fn concurrency(&self) -> NonZeroUsize {
        self.state.lock().downshift.capacity()
    }

    /// A lease came back.
    pub(super) fn release(self: &Arc<Self>, id: InstanceId, back: &Return) {
        let granted = {
            let mut state = self.state.lock();
            let now = self.time(clock::recent());
            // not what an instance that was retired before still had to do
            if back.served && state.phase == Phase::Probing && state.is_usable(id) {
                self.recovered.notify_one();
            }
            let answered = back.answered.map(|at| self.time(at));
            state.take_back(id, back, answered, now, &self.limits);
            let granted = self.hand_out(&mut state);
            self.notice_idle(&mut state);
            granted
        };
        deliver(granted);
    }

    /// Pairs free places with those who wait.
    fn hand_out(self: &Arc<Self>, state: &mut State) -> Vec<Granted> {
        let mut granted = Vec::new();
        if matches!(state.phase, Phase::Broken { .. } | Phase::Closed) {
            return granted;
        }
        while !state.queue.is_empty() {
            let now = self.time(clock::recent());
            let Choice::Take(index) = state.choose(now, state.queue.length() - 1) else {
                return granted;
            };
            let Some(waiter) = state.queue.next_near(this_thread()) else {
                return granted;
            };
            let lease = self.take_place(state, index, (waiter.thread, now));
            granted.extend(lease.map(|lease| (waiter.place, lease)));
        }
        granted
    }

    fn take_place(
        self: &Arc<Self>,
        state: &mut State,
        index: usize,
        by: (usize, Duration),
    ) -> Option<Lease> {
        let (id, mailbox, vitals, taken) = state.take(index, by)?;
        Some(Lease::new(Arc::clone(self), id, mailbox, vitals, taken))
    }

    /// On the pool's clock.
    fn time(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.born)
    }

    fn notice_idle(&self, state: &mut State) {
        if state.is_idle() {
            self.idle.notify_waiters();
        }
    }
}

/// A waiter and the place found for it.
type Granted = (oneshot::Sender<Result<Lease, Refused>>, Lease);

/// Gives the places away. Not under the lock: a place whose waiter has gone comes back at once.
fn deliver(granted: Vec<Granted>) {
    for (waiter, lease) in granted {
        let _ = waiter.send(Ok(lease));
    }
}

#[cfg(test)]
mod tests;
