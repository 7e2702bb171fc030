//! How long a thread has let guests work without having been idle, and whose work it was.
//!
//! One guest's call may run another on the same thread, within its own turn. That one's time is its own.

use std::cell::Cell;
use std::time::Duration;

use super::shares::QUANTUM;
use crate::{clock, processor};

/// After so long it is worth to ask whether the thread had a processor all the time.
const SUSPICIOUS: Duration = Duration::from_millis(1);

struct Thread {
    /// Nanoseconds of guests' work since the thread was idle, or let everything else go first.
    burst: Cell<u64>,
    /// Attempts that asked for a turn here.
    newcomers: Cell<u32>,
    /// Of the work that is measured now, what was measured within it.
    within: Cell<u64>,
    /// The processor time that marks within that work have been set for.
    marked: Cell<u64>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            burst: Cell::new(0),
            newcomers: Cell::new(0),
            within: Cell::new(0),
            marked: Cell::new(0),
        }
    };
}

/// Whether the thread has worked for a whole [`QUANTUM`].
pub(super) fn is_over() -> bool {
    THREAD.with(|thread| thread.burst.get() >= nanos(QUANTUM))
}

/// The thread is idle, or has let everything else go first.
pub(super) fn rest() {
    THREAD.with(|thread| thread.burst.set(0));
}

/// An attempt asks for a turn.
pub(super) fn note_newcomer() {
    THREAD.with(|thread| thread.newcomers.set(thread.newcomers.get().wrapping_add(1)));
}

/// Attempts that asked for a turn so far.
pub(super) fn newcomers() -> u32 {
    THREAD.with(|thread| thread.newcomers.get())
}

/// Does work, and tells how many nanoseconds it took, without what was measured within it. Of what took long
/// at most the processor time counts that the thread has had since the mark before.
pub(super) fn measure<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let (outer, marked) =
        THREAD.with(|thread| (thread.within.replace(0), thread.marked.replace(0)));
    let start = clock::read();
    let done = work();
    let mut took = nanos(clock::read() - start);
    let own = THREAD.with(|thread| {
        if took >= nanos(SUSPICIOUS) {
            // what was measured within has set marks of its own
            let used = processor::since_mark().map_or(u64::MAX, nanos);
            let used = used.saturating_add(thread.marked.get());
            took = took.min(used);
            thread.marked.set(used);
        }
        thread
            .marked
            .set(marked.saturating_add(thread.marked.get()));
        let own = took.saturating_sub(thread.within.replace(outer + took));
        thread.burst.set(thread.burst.get() + own);
        own
    });
    (done, own)
}

/// Times of less than five centuries.
const fn nanos(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000 + time.subsec_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(2);

    fn work() {
        processor::spin(TIME);
    }

    #[test]
    fn what_is_measured_within_is_not_measured_twice() {
        for _ in 0..2 {
            rest();
            let ((inner, first, second), outer) = measure(|| {
                work();
                let ((), first) = measure(work);
                let (((), deepest), second) = measure(|| {
                    work();
                    measure(work)
                });
                (deepest, first, second)
            });
            let all = THREAD.with(|thread| thread.burst.get());
            let sum = inner + first + second + outer;
            assert_eq!(all, sum);
            let least = nanos(4 * TIME);
            assert!(sum >= least, "{sum}");
            assert!(is_over());
            rest();
            assert!(!is_over());
        }
    }

    #[test]
    fn who_has_no_processor_does_not_work() {
        measure(work);
        let ((), took) = measure(|| {
            work();
            std::thread::sleep(Duration::from_secs(1));
        });
        assert!(took < nanos(Duration::from_millis(900)), "{took}");
    }
}
