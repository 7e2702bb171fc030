//! Bounded waiting for an instance.
//!
//! First come, first served. A queue that is full refuses at once: serving late what could be
//! refused early only makes everybody wait. Who waits too long, or has gone, leaves the queue.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// Waiters for a `T`, in the order of their coming.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiters: VecDeque<oneshot::Sender<T>>,
    limit: usize,
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
        }
    }

    /// Joins the queue. Dropping the receiver leaves it.
    ///
    /// # Errors
    ///
    /// [`Full`] if there are `limit` waiters already.
    pub(super) fn join(&mut self) -> Result<oneshot::Receiver<T>, Full> {
        if self.waiters.len() >= self.limit {
            self.forget_the_gone();
        }
        if self.waiters.len() >= self.limit {
            return Err(Full);
        }
        let (sender, receiver) = oneshot::channel();
        self.waiters.push_back(sender);
        Ok(receiver)
    }

    /// The first who still waits.
    pub(super) fn next(&mut self) -> Option<oneshot::Sender<T>> {
        while let Some(waiter) = self.waiters.pop_front() {
            if !waiter.is_closed() {
                return Some(waiter);
            }
        }
        None
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiters
            .iter()
            .filter(|waiter| !waiter.is_closed())
            .count()
    }

    /// How many wait, those counted who have gone but are not forgotten yet.
    pub(super) fn length(&self) -> usize {
        self.waiters.len()
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&mut self) -> bool {
        while self.waiters.front().is_some_and(oneshot::Sender::is_closed) {
            self.waiters.pop_front();
        }
        self.waiters.is_empty()
    }

    fn forget_the_gone(&mut self) {
        self.waiters.retain(|waiter| !waiter.is_closed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiters_are_served_in_order_and_the_gone_are_passed_over() {
        let mut queue = Queue::new(3);
        let first = queue.join().unwrap();
        let mut second = queue.join().unwrap();
        let mut third = queue.join().unwrap();
        assert_eq!(queue.join().unwrap_err(), Full);
        drop(first);
        assert_eq!(queue.len(), 2);
        let mut fourth = queue.join().unwrap();
        for number in 2..=4 {
            queue.next().unwrap().send(number).unwrap();
        }
        assert!(queue.is_empty());
        assert_eq!(
            (second.try_recv(), third.try_recv(), fourth.try_recv()),
            (Ok(2), Ok(3), Ok(4))
        );
    }

    #[test]
    fn a_queue_of_nothing_refuses_everybody() {
        assert_eq!(Queue::<()>::new(0).join().unwrap_err(), Full);
    }
}
