//! Whose work is kept off the event loops: an instance's whose guest has just computed for long.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What delays the other connections of an event loop noticeably. To have another thread woken for it costs
/// a hundredth of it.
const LONG: Duration = Duration::from_millis(1);

/// So often the work is then left to its task, before it is tried whether it has become shorter.
const TIMES: u32 = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Apart(AtomicU32);

impl Apart {
    /// The work was driven for so many nanoseconds.
    pub(super) fn note(&self, took: u64) {
        if u128::from(took) >= LONG.as_nanos() && self.0.load(Ordering::Relaxed) < TIMES {
            self.0.store(TIMES, Ordering::Relaxed);
        }
    }

    /// It is over: what comes of it is the task's.
    pub(super) fn for_ever(&self) {
        self.0.store(u32::MAX, Ordering::Relaxed);
    }

    /// Whether it is left to its task.
    pub(super) fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// The same, of what is offered to be done elsewhere.
    pub(super) fn is_next(&self) -> bool {
        let times = self.0.load(Ordering::Relaxed);
        if (1..=TIMES).contains(&times) {
            // one that is lost between two threads is tried again a little later
            self.0.store(times - 1, Ordering::Relaxed);
        }
        times > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_work_is_left_alone_for_a_while() {
        let apart = Apart::default();
        let long = u64::try_from(LONG.as_nanos()).unwrap();
        apart.note(long - 1);
        assert!(!apart.is() && !apart.is_next());
        apart.note(long);
        for _ in 0..TIMES {
            assert!(apart.is() && apart.is_next());
        }
        assert!(!apart.is_next());
        apart.for_ever();
        apart.note(long);
        assert!((0..2 * TIMES).all(|_| apart.is_next()));
    }
}
