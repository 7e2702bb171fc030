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

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::available_parallelism;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::admission::{self, Admission};
use super::balance::{self, Choice, Latency, Load};
use super::calling::{self, Calling};
use super::downshift::Downshift;
use super::ejection::{Eject, Ejection, Outcome};
use super::exit::InstanceId;
use super::failover::MIN_TIME_LEFT;
use super::lease::{Lease, Return, Taken, Vitals};
use super::mailbox::Mailbox;
use super::queue::Queue;
use super::status::{InstanceState, InstanceStatus};
use crate::config::Manifest;

/// How long who waits lets it be before it looks whether the choice has become another.
const ASK_AGAIN: Duration = Duration::from_millis(100);

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
    /// Instances that there should be.
    pub instances: usize,
    /// Requests that one instance may hold at the most.
    pub concurrency: NonZeroUsize,
    /// How long a request may take.
    pub timeout: Duration,
}

impl PoolLimits {
    /// The limits that a manifest sets, for instances that can hold so many requests.
    pub fn of(manifest: &Manifest, concurrency: NonZeroUsize) -> Self {
        let high_water = manifest.limits.memory / 4 * 3;
        Self {
            queue: manifest.limits.queue,
            queue_wait: manifest.limits.queue_wait,
            max_requests: manifest.instances.max_requests,
            max_memory_before_retire: manifest
                .instances
                .max_memory_before_retire
                .unwrap_or(high_water),
            instances: manifest.instances.count.get(),
            concurrency,
            timeout: manifest.limits.timeout,
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

struct Slot {
    id: InstanceId,
    /// `None` once it takes no more.
    mailbox: Option<Mailbox>,
    capacity: usize,
    in_flight: usize,
    served: u64,
    started: Instant,
    vitals: Arc<Vitals>,
    latency: Latency,
    /// Why it takes no more.
    ejected: Option<Eject>,
}

/// An instance that has left its pool.
pub struct Left {
    /// Requests it had served.
    pub served: u64,
    /// Since it was ready.
    pub age: Duration,
    /// Why it was put out, if it was.
    pub ejected: Option<Eject>,
}

struct State {
    phase: Phase,
    slots: Vec<Slot>,
    turn: usize,
    queue: Queue<Result<Lease, Refused>>,
    served: u64,
    /// The leases whose holders have called other services and wait for them.
    callers: Vec<Arc<Lease>>,
    /// Jobs that got a place so far.
    jobs: u64,
    admission: Admission,
    ejection: Ejection,
    downshift: Downshift,
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
            jobs: 0,
            admission: Admission::new(admission::Limits {
                queue: limits.queue,
                cores: available_parallelism().map_or(1, NonZeroUsize::get),
                budget: limits.timeout / 2,
            }),
            ejection: Ejection::new(),
            downshift: Downshift::new(limits.concurrency),
        };
        Arc::new(Self {
            limits,
            born: Instant::now(),
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
            let now = self.born.elapsed();
            if !again {
                self.admit(&mut state, now, deadline)?;
            }
            if state.queue.is_empty()
                && let Choice::Take(index) = state.choose(now, 0)
                && let Some(lease) = self.take_place(&mut state, index, now)
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

    /// Sheds a job that would not be answered in time.
    fn admit(&self, state: &mut State, now: Duration, deadline: Instant) -> Result<(), Refused> {
        let load = state.load(now);
        if load.places == 0 {
            // they are starting; how long that takes is not the policy's to know
            return Ok(());
        }
        let left = deadline.saturating_duration_since(self.born + now);
        // spread evenly, as the multiples of the golden ratio are (Knuth's multiplicative hashing)
        let spread = state.jobs.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let spread = f64::from(u32::try_from(spread).unwrap_or(0)) / f64::from(u32::MAX);
        let admitted = state.admission.arrives(&load, left, spread);
        admitted.map_err(|shed| Refused::Late {
            retry_after: shed.retry_after,
        })
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
                latency: Latency::default(),
                ejected: None,
            });
            self.hand_out(&mut state)
        };
        deliver(granted);
    }

    /// An instance has ended.
    pub fn remove(&self, id: InstanceId) -> Option<Left> {
        let mut state = self.state.lock();
        let index = state.slots.iter().position(|slot| slot.id == id)?;
        let slot = state.slots.remove(index);
        state.ejection.left(id);
        self.notice_idle(&mut state);
        Some(Left {
            served: slot.served,
            age: slot.started.elapsed(),
            ejected: slot.ejected,
        })
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
        (state.in_places(), state.queue.len())
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
        let held = state.in_places();
        let all = held > 0
            && state.callers.len() == held
            && state.choose(self.born.elapsed(), 0) == Choice::Full;
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

    /// The response of a lease has begun, and will take a while.
    pub(super) fn answered(&self, id: InstanceId, taken: Taken, at: Instant) {
        let now = at.saturating_duration_since(self.born);
        let mut state = self.state.lock();
        let jobs = state.jobs;
        if let Some(slot) = state.slots.iter_mut().find(|slot| slot.id == id) {
            let took = now.saturating_sub(taken.at);
            slot.latency.answered(now, jobs, took);
        }
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
            let now = self.born.elapsed();
            if back.served {
                state.served += 1;
                state.downshift.served();
                let load = state.load(now);
                let held = now.saturating_sub(back.taken.at);
                state.admission.freed(&load, back.taken.places, held);
                if state.phase == Phase::Probing {
                    self.recovered.notify_one();
                }
            }
            let eject = self.judge(&mut state, id, back, now);
            let jobs = state.jobs;
            if let Some(slot) = state.slots.iter_mut().find(|slot| slot.id == id) {
                slot.in_flight -= 1;
                slot.served += u64::from(back.served);
                if let Some(at) = back.answered {
                    let at = at.saturating_duration_since(self.born);
                    let took = at.saturating_sub(back.taken.at);
                    slot.latency.answered(now, jobs, took);
                }
                slot.ejected = eject.or(slot.ejected);
                if slot.ejected.is_some() || self.worn_out(slot) {
                    slot.mailbox = None;
                }
            }
            let granted = self.hand_out(&mut state);
            self.notice_idle(&mut state);
            granted
        };
        deliver(granted);
    }

    /// Whether an instance is to take no more, for how its requests end.
    fn judge(
        &self,
        state: &mut State,
        instance: InstanceId,
        back: &Return,
        now: Duration,
    ) -> Option<Eject> {
        let failed = back.failed?;
        let usable = |slot: &&Slot| slot.mailbox.is_some();
        if !state
            .slots
            .iter()
            .any(|slot| slot.id == instance && usable(&slot))
        {
            return None;
        }
        let usable = state.slots.iter().filter(usable).count();
        state.ejection.ended(&Outcome {
            now,
            instance,
            failed,
            usable,
            wanted: self.limits.instances,
        })
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
        let now = self.born.elapsed();
        loop {
            if state.queue.is_empty() {
                return granted;
            }
            let Choice::Take(index) = state.choose(now, state.queue.length() - 1) else {
                return granted;
            };
            let Some(waiter) = state.queue.next() else {
                return granted;
            };
            let lease = self.take_place(state, index, now);
            granted.extend(lease.map(|lease| (waiter, lease)));
        }
    }

    fn take_place(
        self: &Arc<Self>,
        state: &mut State,
        index: usize,
        now: Duration,
    ) -> Option<Lease> {
        let places = state.in_places() + 1;
        let slot = &mut state.slots[index];
        let mailbox = slot.mailbox.clone()?;
        slot.latency.began(now, slot.in_flight);
        slot.in_flight += 1;
        let taken = Taken { at: now, places };
        let lease = Lease::new(
            Arc::clone(self),
            slot.id,
            mailbox,
            Arc::clone(&slot.vitals),
            taken,
        );
        state.turn = index + 1;
        state.jobs += 1;
        Some(lease)
    }

    fn notice_idle(&self, state: &mut State) {
        if state.is_idle() {
            self.idle.notify_waiters();
        }
    }
}

impl State {
    /// Which instance gets the next job, if `waiting` others wait besides it.
    fn choose(&self, now: Duration, waiting: usize) -> Choice {
        let shared = self.downshift.capacity().get();
        let loads = self.slots.iter().map(|slot| Load {
            in_flight: slot.in_flight,
            capacity: match slot.mailbox {
                Some(_) => slot.capacity.min(shared),
                None => 0,
            },
            expected: slot.latency.expected(now, slot.in_flight),
            probe: slot.latency.probe_due(now, self.jobs),
        });
        balance::choose(loads, waiting, self.turn)
    }

    fn in_places(&self) -> usize {
        self.slots.iter().map(|slot| slot.in_flight).sum()
    }

    /// What the admission of jobs looks at.
    fn load(&self, now: Duration) -> admission::Load {
        let shared = self.downshift.capacity().get();
        let usable = self.slots.iter().filter(|slot| slot.mailbox.is_some());
        admission::Load {
            now,
            places: usable.map(|slot| slot.capacity.min(shared)).sum(),
            in_places: self.in_places(),
            waiting: self.queue.length(),
        }
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
