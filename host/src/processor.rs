//! The processor time of a thread.
//!
//! How long a guest has worked is measured by the clock, which costs a fraction of what the system takes to
//! tell a thread's processor time. The two differ if there are more threads than processors. So a measurement
//! that is longer than most is held against the processor time that the thread has had since a mark before.

use std::cell::Cell;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

thread_local! {
    static MARK: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// From now on this thread's processor time is counted.
pub fn mark() {
    MARK.set(Some(used()));
}

/// The processor time that this thread has had since the last mark, and a new mark. `None` if there was none.
pub fn since_mark() -> Option<Duration> {
    let now = used();
    let before = MARK.replace(Some(now));
    before.map(|before| now.saturating_sub(before))
}

/// All that this thread has had.
fn used() -> Duration {
    // Linux has had it since 2.6.12
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// Works for so much processor time.
#[cfg(test)]
pub fn spin(time: Duration) {
    let until = used() + time;
    while used() < until {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_works_counts_and_not_how_long_it_waits() {
        const TIME: Duration = Duration::from_millis(20);
        let test = || {
            assert_eq!(since_mark(), None);
            spin(TIME);
            std::thread::sleep(TIME * 50);
            let worked = since_mark().unwrap();
            assert!(worked >= TIME && worked < TIME * 40, "{worked:?}");
            mark();
            assert!(since_mark().unwrap() < TIME);
        };
        std::thread::spawn(test).join().unwrap();
    }
}
