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

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::balance::{self, Load};
use super::calling::{self, Calling};
use super::exit::InstanceId;
use super::failover::MIN_TIME_LEFT;
use super::lease::{Lease, Vitals};
use super::mailbox::Mailbox;
use super::queue::Queue;
use super::status::{InstanceState, InstanceStatus};
use crate::config::Manifest;

/// The limits a pool works under.
#[derive(Clone, Debug)]
pub struct PoolLimits {
    /// Jobs that may wait.
    pub queue: usize,
    /// How long a job may wait.
    pub queue_wait: Duration,
    /// Requests after which an instance is retired.
    pub max_requests: Option<NonZeroU64>,
    /// Bytes of memory after which an instance is retired.
    pub max_memory_before_retire: usize,
}

impl PoolLimits {
    /// The limits that a manifest sets.
    pub fn of(manifest: &Manifest) -> Self {
        let high_water = manifest.limits.memory / 4 * 3;
        Self {
            queue: manifest.limits.queue,
            queue_wait: manifest.limits.queue_wait,
            max_requests: manifest.instances.max_requests,
            max_memory_before_retire: manifest
                .instances
                .max_memory_before_retire
                .unwrap_or(high_water),
        }
    }
}

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

struct Slot {
    id: InstanceId,
    /// `None` once it takes no more.
    mailbox: Option<Mailbox>,
    capacity: usize,
    in_flight: usize,
    served: u64,
    started: Instant,
    vitals: Arc<Vitals>,
}

struct State {
    phase: Phase,
    slots: Vec<Slot>,
    turn: usize,
    queue: Queue<Result<Lease, Refused>>,
    served: u64,
    /// The leases whose holders have called other services and wait for them.
    callers: Vec<Arc<Lease>>,
}

/// The instances of one release.
pub struct Pool {
    limits: PoolLimits,
    state: Mutex<State>,
    /// Told when a drain has nothing left to wait for.
    idle: Notify,
    /// Told when a probe served a request.
    recovered: Notify,
}

impl Pool {
    /// A pool without instances.
    pub fn new(limits: PoolLimits) -> Arc<Self> {
        let state = State {
            phase: Phase::Open,
            slots: Vec::new(),
            turn: 0,
            queue: Queue::new(limits.queue),
            served: 0,
            callers: Vec::new(),
        };
        Arc::new(Self {
            limits,
            state: Mutex::new(state),
            idle: Notify::new(),
            recovered: Notify::new(),
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
            if state.queue.is_empty()
                && let Some(index) = state.free_slot()
                && let Some(lease) = self.take_place(&mut state, index)
            {
                return Ok(lease);
            }
            state.queue.join().map_err(|_| Refused::Overloaded)?
        };
        if let Some(calling) = calling {
            calling.waits_for_place(self);
            if calling::is_stuck(self) {
                return Err(Refused::Stuck);
            }
        }
        let patience = Instant::now() + self.limits.queue_wait;
        match timeout_at(deadline.min(patience), waiter).await {
            // an instance would be lost to a request that can't be in time
            Ok(Ok(Ok(_))) if deadline < Instant::now() + MIN_TIME_LEFT => Err(Refused::Deadline),
            Ok(Ok(granted)) => granted,
            Ok(Err(_)) => Err(Refused::Closed),
            Err(_) if deadline <= patience => Err(Refused::Deadline),
            Err(_) => Err(Refused::Overloaded),
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
            state.slots.push(Slot {
                id,
                mailbox: Some(mailbox),
                capacity,
                in_flight: 0,
                served: 0,
                started: Instant::now(),
                vitals,
            });
            self.hand_out(&mut state)
        };
        deliver(granted);
    }

    /// An instance has ended. Returns how many requests it had served, and its age.
    pub fn remove(&self, id: InstanceId) -> Option<(u64, Duration)> {
        let mut state = self.state.lock();
        let index = state.slots.iter().position(|slot| slot.id == id)?;
        let slot = state.slots.remove(index);
        self.notice_idle(&mut state);
        Some((slot.served, slot.started.elapsed()))
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
        if let Some(refusal) = refusal {
            for waiter in refused {
                // one that has gone doesn't mind
                let _ = waiter.send(Err(refusal));
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

    /// Waits until a probe has served a request.
    pub async fn recovered(&self) {
        self.recovered.notified().await;
    }

    /// Requests served so far.
    pub fn served(&self) -> u64 {
        self.state.lock().served
    }

    /// Requests in instances, and jobs that wait.
    pub fn load(&self) -> (usize, usize) {
        let state = self.state.lock();
        (
            state.slots.iter().map(|slot| slot.in_flight).sum(),
            state.queue.len(),
        )
    }

    /// What each instance is doing.
    pub fn instances(&self) -> Vec<InstanceStatus> {
        let state = self.state.lock();
        let describe = |slot: &Slot| InstanceStatus {
            id: slot.id,
            state: match (&slot.mailbox, slot.in_flight) {
                (None, _) => InstanceState::Draining,
                (Some(_), 0) => InstanceState::Ready,
                (Some(_), _) => InstanceState::Busy,
            },
            in_flight: slot.in_flight,
            served: slot.served,
            memory_bytes: slot.vitals.memory.load(Ordering::Relaxed),
            age_seconds: slot.started.elapsed().as_secs_f64(),
        };
        state.slots.iter().map(describe).collect()
    }

    /// The leases of all places, if their holders all wait for calls; `None` if one of them doesn't,
    /// or a place is free.
    pub(super) fn all_calling(&self) -> Option<Vec<Arc<Lease>>> {
        let state = self.state.lock();
        let held: usize = state.slots.iter().map(|slot| slot.in_flight).sum();
        let all = held > 0 && state.callers.len() == held && state.free_slot().is_none();
        all.then(|| state.callers.clone())
    }

    /// The holder of a lease waits for calls, or does no more.
    pub(super) fn note_calling(&self, lease: &Arc<Lease>, calls: bool) {
        let callers = &mut self.state.lock().callers;
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
        drop(left);
    }

    /// A lease came back.
    pub(super) fn release(self: &Arc<Self>, id: InstanceId, served: bool) {
        let granted = {
            let mut state = self.state.lock();
            if served {
                state.served += 1;
                if state.phase == Phase::Probing {
                    self.recovered.notify_one();
                }
            }
            if let Some(slot) = state.slots.iter_mut().find(|slot| slot.id == id) {
                slot.in_flight -= 1;
                slot.served += u64::from(served);
                if self.worn_out(slot) {
                    slot.mailbox = None;
                }
            }
            let granted = self.hand_out(&mut state);
            self.notice_idle(&mut state);
            granted
        };
        deliver(granted);
    }

    fn worn_out(&self, slot: &Slot) -> bool {
        self.limits
            .max_requests
            .is_some_and(|most| slot.served >= most.get())
            || slot.vitals.memory.load(Ordering::Relaxed) >= self.limits.max_memory_before_retire
    }

    /// Pairs free places with those who wait.
    fn hand_out(self: &Arc<Self>, state: &mut State) -> Vec<Granted> {
        let mut granted = Vec::new();
        if matches!(state.phase, Phase::Broken { .. } | Phase::Closed) {
            return granted;
        }
        while let Some(index) = state.free_slot() {
            let Some(waiter) = state.queue.next() else {
                break;
            };
            granted.extend(self.take_place(state, index).map(|lease| (waiter, lease)));
        }
        granted
    }

    fn take_place(self: &Arc<Self>, state: &mut State, index: usize) -> Option<Lease> {
        let slot = &mut state.slots[index];
        let mailbox = slot.mailbox.clone()?;
        slot.in_flight += 1;
        state.turn = index + 1;
        Some(Lease::new(
            Arc::clone(self),
            slot.id,
            mailbox,
            Arc::clone(&slot.vitals),
        ))
    }

    fn notice_idle(&self, state: &mut State) {
        if state.is_idle() {
            self.idle.notify_waiters();
        }
    }
}

impl State {
    /// The instance whose turn it is, if any has room.
    fn free_slot(&self) -> Option<usize> {
        let loads = self.slots.iter().map(|slot| Load {
            in_flight: slot.in_flight,
            capacity: if slot.mailbox.is_some() {
                slot.capacity
            } else {
                0
            },
        });
        balance::choose(loads, self.turn)
    }

    fn is_idle(&mut self) -> bool {
        self.queue.is_empty() && self.slots.iter().all(|slot| slot.in_flight == 0)
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
