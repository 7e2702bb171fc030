//! Bounded waiting for an instance.
//!
//! First come, first served, nearly: who waits on the thread where a place comes free may go before a few
//! others, for to wake another thread can cost more than a short request. A queue that is full refuses at
//! once: serving late what could be refused early only makes everybody wait. Who waits too long, or has
//! gone, leaves the queue.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// So many may go before the first in a row.
const PASSED_OVER: u32 = 8;

/// Among so many of the first, those of a thread are looked for.
const LOOK: usize = 32;

/// Waiters for a `T`, in the order of their coming.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiters: VecDeque<Waiter<T>>,
    limit: usize,
    /// How many have gone before the first since it is that.
    passed_over: u32,
}

/// One who waits.
#[derive(Debug)]
pub(super) struct Waiter<T> {
    /// Where a place is to be sent.
    pub(super) place: oneshot::Sender<T>,
    /// The thread that it waits on.
    pub(super) thread: usize,
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full")]
pub(super) struct Full;

impl<T> Queue<T> {
    /// A queue for at most `limit` waiters; 0 refuses everybody.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            waiters: VecDeque::new(),
            limit,
            passed_over: 0,
        }
    }

    /// Joins the queue, on this thread. Dropping the receiver leaves it.
    ///
    /// # Errors
    ///
    /// [`Full`] if there are `limit` waiters already.
    pub(super) fn join(&mut self, thread: usize) -> Result<oneshot::Receiver<T>, Full> {
        if self.waiters.len() >= self.limit {
            self.forget_the_gone();
        }
        if self.waiters.len() >= self.limit {
            return Err(Full);
        }
        let (place, receiver) = oneshot::channel();
        self.waiters.push_back(Waiter { place, thread });
        Ok(receiver)
    }

    /// The first who still waits.
    pub(super) fn next(&mut self) -> Option<Waiter<T>> {
        self.passed_over = 0;
        let mut waiters = std::iter::from_fn(|| self.waiters.pop_front());
        waiters.find(|waiter| !waiter.is_gone())
    }

    /// Who goes next of those who still wait, for a place that came free on this thread.
    pub(super) fn next_near(&mut self, thread: usize) -> Option<Waiter<T>> {
        if self.is_empty() || self.passed_over >= PASSED_OVER {
            return self.next();
        }
        let mut first = self.waiters.iter().take(LOOK);
        let near = first.position(|waiter| waiter.thread == thread && !waiter.is_gone());
        let Some(index @ 1..) = near else {
            return self.next();
        };
        self.passed_over += 1;
        self.waiters.remove(index)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiters
            .iter()
            .filter(|waiter| !waiter.is_gone())
            .count()
    }

    /// How many wait, those counted who have gone but are not forgotten yet.
    pub(super) fn length(&self) -> usize {
        self.waiters.len()
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&mut self) -> bool {
        while self.waiters.front().is_some_and(Waiter::is_gone) {
            self.waiters.pop_front();
        }
        self.waiters.is_empty()
    }

    fn forget_the_gone(&mut self) {
        self.waiters.retain(|waiter| !waiter.is_gone());
    }
}

impl<T> Waiter<T> {
    fn is_gone(&self) -> bool {
        self.place.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiters_are_served_in_order_and_the_gone_are_passed_over() {
        let mut queue = Queue::new(3);
        let first = queue.join(1).unwrap();
        let mut second = queue.join(1).unwrap();
        let mut third = queue.join(1).unwrap();
        assert_eq!(queue.join(1).unwrap_err(), Full);
        drop(first);
        assert_eq!(queue.len(), 2);
        let mut fourth = queue.join(1).unwrap();
        for number in 2..=4 {
            queue.next().unwrap().place.send(number).unwrap();
        }
        assert!(queue.is_empty());
        assert_eq!(
            (second.try_recv(), third.try_recv(), fourth.try_recv()),
            (Ok(2), Ok(3), Ok(4))
        );
    }

    #[test]
    fn who_waits_near_goes_before_a_few_others_but_not_for_ever() {
        let mut queue = Queue::new(100);
        let mut far = queue.join(1).unwrap();
        let mut near: Vec<_> = (0..20).map(|_| queue.join(2).unwrap()).collect();
        for _ in 0..PASSED_OVER {
            queue.next_near(2).unwrap().place.send(()).unwrap();
        }
        assert!(far.try_recv().is_err());
        queue.next_near(2).unwrap().place.send(()).unwrap();
        assert_eq!(far.try_recv(), Ok(()));
        let served = near.iter_mut().map(|one| one.try_recv().is_ok());
        let served: Vec<_> = served.collect();
        assert_eq!(
            served,
            [vec![true; 8], vec![false; 12]].concat(),
            "in their order"
        );
        near.truncate(9);
        assert!(queue.next_near(1).is_some(), "nobody is near");
        assert!(queue.next_near(2).is_none(), "all others have gone");
    }

    #[test]
    fn a_queue_of_nothing_refuses_everybody() {
        assert_eq!(Queue::<()>::new(0).join(1).unwrap_err(), Full);
    }
}
