//! What the holder of a place waits for, when it has called another service.
//!
//! An instance that calls another service holds its place until the call is answered. A calls B and B
//! calls A: once every place of both is held by somebody who waits for the other, none of them ever
//! gets on. The call that would close such a ring is refused, so that nobody waits for it.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::lease::Lease;
use super::pool::Pool;

/// The calls that the holder of a lease waits for.
#[derive(Default)]
pub(super) struct Calls(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    last: u64,
    open: Vec<(u64, At)>,
}

/// How far a call has come.
enum At {
    /// It has just begun, or is over in a moment.
    Rest,
    /// It waits for a place.
    Queue(Weak<Pool>),
    /// An instance works on it.
    Place(Weak<Lease>),
}

/// A call that is going on. Dropping it ends it.
pub struct Calling {
    place: Arc<Lease>,
    number: u64,
}

impl Calling {
    /// The holder of `place` calls.
    pub(super) fn begin(place: Arc<Lease>) -> Self {
        let mut calls = place.calls.0.lock();
        calls.last += 1;
        let number = calls.last;
        calls.open.push((number, At::Rest));
        // under the lock, so that the pool hears of beginnings and ends in their order
        place.pool().note_calling(&place, true);
        drop(calls);
        Self { place, number }
    }

    /// The call waits for a place.
    pub(super) fn waits_for_place(&self, pool: &Arc<Pool>) {
        self.set(At::Queue(Arc::downgrade(pool)));
    }

    /// An instance works on it.
    pub(super) fn runs_in(&self, lease: &Arc<Lease>) {
        self.set(At::Place(Arc::downgrade(lease)));
    }

    fn set(&self, at: At) {
        let mut calls = self.place.calls.0.lock();
        let mut calls = calls.open.iter_mut();
        if let Some(call) = calls.find(|(number, _)| *number == self.number) {
            call.1 = at;
        }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        let mut calls = self.place.calls.0.lock();
        calls.open.retain(|(number, _)| *number != self.number);
        if calls.open.is_empty() {
            self.place.pool().note_calling(&self.place, false);
        }
    }
}

/// Who may wait for whom.
#[derive(Clone)]
enum Waiter {
    Pool(Arc<Pool>),
    Place(Arc<Lease>),
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pool(one), Self::Pool(other)) => Arc::ptr_eq(one, other),
            (Self::Place(one), Self::Place(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Waiter {
    /// What it waits for; `None` if it may get on by itself.
    fn waits(&self) -> Option<Vec<Self>> {
        match self {
            Self::Pool(pool) => Some(pool.all_calling()?.into_iter().map(Self::Place).collect()),
            Self::Place(lease) => {
                let calls = lease.calls.0.lock();
                let on = |(_, at): &(u64, At)| match at {
                    At::Rest => None,
                    At::Queue(pool) => pool.upgrade().map(Self::Pool),
                    At::Place(lease) => lease.upgrade().map(Self::Place),
                };
                // one whose calls are all over is about to go on
                let on: Option<Vec<_>> = calls.open.iter().map(on).collect();
                on.filter(|on| !on.is_empty())
            }
        }
    }
}

/// Whether no place of `pool` can ever become free.
pub(super) fn is_stuck(pool: &Arc<Pool>) -> bool {
    none_moves(Waiter::Pool(Arc::clone(pool)), Waiter::waits)
}

/// Whether nothing that `first` waits for, directly or through others, can move: everything waits,
/// and for nothing else. `waits` is `None` for what can move.
fn none_moves<W: PartialEq>(first: W, waits: impl Fn(&W) -> Option<Vec<W>>) -> bool {
    let mut seen = vec![first];
    let mut next = 0;
    while let Some(waiter) = seen.get(next) {
        let Some(others) = waits(waiter) else {
            return false;
        };
        for other in others {
            if !seen.contains(&other) {
                seen.push(other);
            }
        }
        next += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::exit::InstanceId;
    use crate::service::mailbox::{self, Inbox};
    use crate::service::pool::{PoolLimits, Refused};
    use futures::FutureExt;
    use proptest::prelude::*;
    use std::num::NonZeroUsize;
    use std::time::Duration;
    use tokio::time::Instant;

    fn stuck(from: usize, waits: &[Option<Vec<usize>>]) -> bool {
        none_moves(from, |one| waits[*one].clone())
    }

    #[test]
    fn a_ring_is_stuck_and_a_chain_that_ends_in_work_is_not() {
        assert!(stuck(0, &[Some(vec![1]), Some(vec![0])]));
        assert!(stuck(0, &[Some(vec![0])]));
        assert!(!stuck(0, &[Some(vec![1]), None]));
        assert!(!stuck(0, &[None]));
        // one of those that it waits for moves, and frees a place when it is done
        assert!(!stuck(0, &[Some(vec![0, 1]), None]));
    }

    fn pool(places: usize) -> (Arc<Pool>, Inbox) {
        let pool = Pool::new(PoolLimits {
            queue: 9,
            queue_wait: Duration::from_secs(99),
            max_requests: None,
            max_memory_before_retire: usize::MAX,
            instances: 1,
            concurrency: NonZeroUsize::MIN,
            timeout: Duration::from_secs(99),
        });
        let (mailbox, inbox) = mailbox::open();
        pool.add(InstanceId(1), mailbox, places, Arc::default());
        (pool, inbox)
    }

    async fn take(pool: &Arc<Pool>, calling: Option<&Calling>) -> Result<Arc<Lease>, Refused> {
        let deadline = Instant::now() + Duration::from_secs(99);
        pool.acquire(deadline, calling).await.map(Arc::new)
    }

    #[tokio::test(start_paused = true)]
    async fn the_call_that_closes_a_ring_is_refused() {
        let ((a, _in_a), (b, _in_b)) = (pool(1), pool(1));
        let in_a = take(&a, None).await.unwrap();
        let to_b = Calling::begin(Arc::clone(&in_a));
        let in_b = take(&b, Some(&to_b)).await.unwrap();
        to_b.runs_in(&in_b);
        let back = Calling::begin(Arc::clone(&in_b));
        assert_eq!(take(&a, Some(&back)).await.err(), Some(Refused::Stuck));
        // with a second place in A, held by somebody who works, it is worth to wait
        drop(back);
        let (mailbox, _inbox) = mailbox::open();
        a.add(InstanceId(2), mailbox, 1, Arc::default());
        let working = take(&a, None).await.unwrap();
        let back = Calling::begin(Arc::clone(&in_b));
        let mut waiting = Box::pin(take(&a, Some(&back)));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(working);
        assert!(waiting.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn two_that_wait_in_each_others_queues_are_a_ring() {
        let ((a, _in_a), (b, _in_b)) = (pool(1), pool(1));
        let (in_a, in_b) = (take(&a, None).await.unwrap(), take(&b, None).await.unwrap());
        let (to_b, to_a) = (Calling::begin(in_a), Calling::begin(in_b));
        let mut first = Box::pin(take(&b, Some(&to_b)));
        assert!(first.as_mut().now_or_never().is_none(), "B may get on");
        assert_eq!(take(&a, Some(&to_a)).await.err(), Some(Refused::Stuck));
        // B hears of the refusal, finishes, and A gets its place
        drop(to_a);
        assert!(first.await.is_ok());
    }

    proptest! {
        /// The definition: what can't move waits, and only for what can't move.
        #[test]
        fn what_cannot_move_waits_only_for_what_cannot_move(
            waits in prop::collection::vec(prop::option::of(prop::collection::vec(0usize..6, 1..4)), 6)
        ) {
            for from in 0..6 {
                let all = waits[from].as_ref().is_some_and(|others| others.iter().all(|&other| stuck(other, &waits)));
                prop_assert_eq!(stuck(from, &waits), all);
            }
        }
    }
}
