//! Whose work is kept off the event loops: an instance's whose guest computes for long.
//!
//! It is the average that counts: a service whose requests are short is not to suffer for a rare long one.
//! But one that takes a whole quantum is not gone on with on the loop.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::service::shares::QUANTUM;

/// What delays the other connections of an event loop noticeably. To have another thread woken for it costs
/// a hundredth of it. In nanoseconds.
const LONG: u64 = 1_000_000;

/// The share of the last time in the average is one of so many.
const WEIGHT: u64 = 8;

/// What takes less may be a part of something, and says less of how long the whole takes.
const SHORT: u64 = 100_000;

/// What only a long computation takes, in nanoseconds.
const WHOLE: u64 = QUANTUM.subsec_nanos() as u64;

/// So often the work is then left to its task, before it is tried whether it has become shorter.
const TIMES: u32 = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// In nanoseconds.
    average: AtomicU64,
    /// How often it is still left to its task.
    left: AtomicU32,
}

impl Apart {
    /// The work was driven for so many nanoseconds. By one thread at a time.
    pub(super) fn note(&self, took: u64) {
        let before = self.average.load(Ordering::Relaxed);
        let weight = if took < SHORT { WEIGHT * 8 } else { WEIGHT };
        let average = before - before / weight + took / weight;
        self.average.store(average, Ordering::Relaxed);
        let is_long = took >= SHORT && average >= LONG || took >= WHOLE;
        if is_long && self.left.load(Ordering::Relaxed) < TIMES {
            self.left.store(TIMES, Ordering::Relaxed);
        }
    }

    /// It is over: what comes of it is the task's.
    pub(super) fn for_ever(&self) {
        self.left.store(u32::MAX, Ordering::Relaxed);
    }

    /// Whether it is left to its task.
    pub(super) fn is(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }

    /// The same, of what is offered to be done elsewhere.
    pub(super) fn is_next(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        if (1..=TIMES).contains(&left) {
            // one that is lost between two threads is tried again a little later
            self.left.store(left - 1, Ordering::Relaxed);
        }
        left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noting(took: u64) -> Apart {
        let apart = Apart::default();
        apart.note(took);
        apart
    }

    #[test]
    fn a_long_computation_is_left_alone_for_a_while() {
        let apart = noting(WHOLE);
        for _ in 0..TIMES {
            assert!(apart.is() && apart.is_next());
        }
        assert!(!apart.is() && !apart.is_next());
        apart.for_ever();
        assert!((0..2 * TIMES).all(|_| apart.is_next()));
    }

    #[test]
    fn shorter_ones_are_if_there_are_several() {
        let took = LONG * 2;
        let apart = noting(took);
        assert!(!apart.is(), "it may be a rare one");
        for _ in 1..WEIGHT {
            apart.note(took);
        }
        assert!(apart.is());
    }

    #[test]
    fn a_rare_long_one_is_none() {
        let apart = noting(LONG * 2);
        for _ in 0..100 {
            (0..100).for_each(|_| apart.note(SHORT / 2));
            apart.note(LONG * 2);
            assert!(!apart.is());
        }
    }
}
