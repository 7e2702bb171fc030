//! Whose work is kept off the event loops: an instance's whose guest computes for long.
//!
//! How long that is, is measured by the clock, and the system may have had something else to do in the
//! meantime. So it is the average that counts, unless it is as long as only a computation is.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::service::shares::QUANTUM;

/// What delays the other connections of an event loop noticeably. To have another thread woken for it costs
/// a hundredth of it.
const LONG: Duration = Duration::from_millis(1);

/// The share of the last time in the average is one of so many.
const WEIGHT: u64 = 8;

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
        let average = self.average.load(Ordering::Relaxed);
        let average = average - average / WEIGHT + took / WEIGHT;
        self.average.store(average, Ordering::Relaxed);
        let is_long =
            Duration::from_nanos(average) >= LONG || Duration::from_nanos(took) >= QUANTUM;
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

    fn noting(took: Duration) -> Apart {
        let apart = Apart::default();
        apart.note(u64::try_from(took.as_nanos()).unwrap());
        apart
    }

    #[test]
    fn a_long_computation_is_left_alone_for_a_while() {
        let apart = noting(QUANTUM);
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
        assert!(!apart.is(), "the system may have been at something else");
        for _ in 1..WEIGHT {
            apart.note(u64::try_from(took.as_nanos()).unwrap());
        }
        assert!(apart.is());
    }
}
