//! What a pool knows: its instances, who waits, and the memories of its policies.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::time::Instant;

use super::{Phase, PoolLimits, Refused};
use crate::service::admission::{self, Admission};
use crate::service::balance::{self, Choice, Latency, Load};
use crate::service::downshift::Downshift;
use crate::service::ejection::{Eject, Ejection, Outcome};
use crate::service::exit::InstanceId;
use crate::service::lease::{Lease, Return, Taken, Vitals};
use crate::service::mailbox::Mailbox;
use crate::service::nearness::Stay;
use crate::service::queue::Queue;
use crate::service::status::{InstanceState, InstanceStatus};
use crate::telemetry::shards::this_thread;

/// One instance, as its pool sees it.
pub(super) struct Slot {
    pub(super) id: InstanceId,
    /// `None` once it takes no more.
    pub(super) mailbox: Option<Mailbox>,
    pub(super) capacity: usize,
    pub(super) in_flight: usize,
    pub(super) served: u64,
    pub(super) started: Instant,
    pub(super) vitals: Arc<Vitals>,
    pub(super) latency: Latency,
    stay: Stay,
    /// Why it takes no more.
    pub(super) ejected: Option<Eject>,
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

/// What changes of a pool. Its owner is the pool's lock; nothing here waits.
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) slots: Vec<Slot>,
    pub(super) turn: usize,
    pub(super) queue: Queue<Result<Lease, Refused>>,
    pub(super) served: u64,
    /// The leases whose holders have called other services and wait for them.
    pub(super) callers: Vec<Arc<Lease>>,
    /// Jobs that got a place so far.
    pub(super) jobs: u64,
    pub(super) admission: Admission,
    pub(super) ejection: Ejection,
    pub(super) downshift: Downshift,
}

impl Slot {
    pub(super) fn new(
        id: InstanceId,
        mailbox: Mailbox,
        capacity: usize,
        vitals: Arc<Vitals>,
    ) -> Self {
        Self {
            id,
            mailbox: Some(mailbox),
            capacity,
            in_flight: 0,
            served: 0,
            started: Instant::now(),
            vitals,
            latency: Latency::default(),
            stay: Stay::default(),
            ejected: None,
        }
    }

    pub(super) fn status(&self) -> InstanceStatus {
        InstanceStatus {
            id: self.id,
            state: match (&self.mailbox, self.in_flight) {
                (None, _) => InstanceState::Draining,
                (Some(_), 0) => InstanceState::Ready,
                (Some(_), _) => InstanceState::Busy,
            },
            in_flight: self.in_flight,
            served: self.served,
            memory_bytes: self.vitals.memory.load(Ordering::Relaxed),
            age_seconds: self.started.elapsed().as_secs_f64(),
        }
    }

    fn worn_out(&self, limits: &PoolLimits) -> bool {
        limits
            .max_requests
            .is_some_and(|most| self.served >= most.get())
            || self.vitals.memory.load(Ordering::Relaxed) >= limits.max_memory_before_retire
    }
}

impl State {
    pub(super) fn new(limits: &PoolLimits) -> Self {
        Self {
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
        }
    }

    /// Sheds a job that would not be answered in time; `left` is what is left of it.
    pub(super) fn admit(&mut self, now: Duration, left: Duration) -> Result<(), Refused> {
        let load = self.load(now);
        if load.places == 0 {
            // they are starting; how long that takes is not the policy's to know
            return Ok(());
        }
        // spread evenly, as the multiples of the golden ratio are (Knuth's multiplicative hashing)
        let spread = self.jobs.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let spread = f64::from(u32::try_from(spread).unwrap_or(0)) / f64::from(u32::MAX);
        let admitted = self.admission.arrives(&load, left, spread);
        admitted.map_err(|shed| Refused::Late {
            retry_after: shed.retry_after,
        })
    }

    /// Takes a place in an instance for this thread, if that takes more.
    pub(super) fn take(
        &mut self,
        index: usize,
        (thread, now): (usize, Duration),
    ) -> Option<(InstanceId, Mailbox, Arc<Vitals>, Taken)> {
        let places = self.in_places() + 1;
        let slot = &mut self.slots[index];
        let mailbox = slot.mailbox.clone()?;
        slot.latency.began(now, slot.in_flight);
        slot.stay.used(thread, now);
        slot.in_flight += 1;
        let taken = Taken { at: now, places };
        let taken = (slot.id, mailbox, Arc::clone(&slot.vitals), taken);
        self.turn = index + 1;
        self.jobs += 1;
        Some(taken)
    }

    /// An instance has answered a request that was given to it when its place was taken.
    pub(super) fn note_answer(&mut self, id: InstanceId, taken: Taken, now: Duration) {
        let jobs = self.jobs;
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == id) {
            let took = now.saturating_sub(taken.at);
            slot.latency.answered(now, jobs, took);
        }
    }

    /// A place is free again. `answered` is when the response began, if that isn't known yet.
    pub(super) fn take_back(
        &mut self,
        id: InstanceId,
        back: &Return,
        answered: Option<Duration>,
        now: Duration,
        limits: &PoolLimits,
    ) {
        if back.served {
            self.served += 1;
            self.downshift.served();
            let load = self.load(now);
            let held = now.saturating_sub(back.taken.at);
            self.admission.freed(&load, back.taken.places, held);
        }
        if let Some(at) = answered {
            self.note_answer(id, back.taken, at);
        }
        let eject = back
            .failed
            .and_then(|failed| self.judge(id, failed, now, limits));
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == id) {
            slot.in_flight -= 1;
            slot.served += u64::from(back.served);
            slot.ejected = eject.or(slot.ejected);
            if slot.ejected.is_some() || slot.worn_out(limits) {
                slot.mailbox = None;
            }
        }
    }

    /// Whether an instance is to take no more, for how its requests end.
    fn judge(
        &mut self,
        instance: InstanceId,
        failed: bool,
        now: Duration,
        limits: &PoolLimits,
    ) -> Option<Eject> {
        let mut usable = self.slots.iter().filter(|slot| slot.mailbox.is_some());
        let (count, judged) = (
            usable.clone().count(),
            usable.any(|slot| slot.id == instance),
        );
        let outcome = Outcome {
            now,
            instance,
            failed,
            usable: count,
            wanted: limits.instances,
        };
        judged.then(|| self.ejection.ended(&outcome)).flatten()
    }

    /// An instance has ended.
    pub(super) fn remove(&mut self, id: InstanceId) -> Option<Left> {
        let index = self.slots.iter().position(|slot| slot.id == id)?;
        let slot = self.slots.remove(index);
        self.ejection.left(id);
        Some(Left {
            served: slot.served,
            age: slot.started.elapsed(),
            ejected: slot.ejected,
        })
    }

    /// Which instance gets the next job, if `waiting` others wait besides it.
    pub(super) fn choose(&self, now: Duration, waiting: usize) -> Choice {
        let shared = self.downshift.capacity().get();
        let thread = this_thread();
        let loads = self.slots.iter().map(|slot| Load {
            in_flight: slot.in_flight,
            capacity: match slot.mailbox {
                Some(_) => slot.capacity.min(shared),
                None => 0,
            },
            expected: slot.latency.expected(now, slot.in_flight),
            probe: slot.latency.probe_due(now, self.jobs),
            nearness: slot.stay.nearness(thread, now),
        });
        balance::choose(loads, waiting, self.turn)
    }

    /// How many instances take jobs.
    pub(super) fn usable(&self) -> usize {
        let usable = self.slots.iter().filter(|slot| slot.mailbox.is_some());
        usable.count()
    }

    /// Whether this one does.
    pub(super) fn is_usable(&self, id: InstanceId) -> bool {
        let mut slots = self.slots.iter();
        slots.any(|slot| slot.id == id && slot.mailbox.is_some())
    }

    pub(super) fn in_places(&self) -> usize {
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

    pub(super) fn is_idle(&mut self) -> bool {
        self.queue.is_empty() && self.slots.iter().all(|slot| slot.in_flight == 0)
    }
}
