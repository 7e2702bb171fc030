//! The time in which a thread had work to do and no processor.
//!
//! How long a guest has worked is measured by the clock, which costs a fraction of what the system takes to
//! tell a thread's processor time. The two differ if there are more threads than processors. So when a
//! measurement is longer than most, what was stolen from the thread is taken off.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime};

#[derive(Clone, Copy, Default)]
struct Thread {
    /// When it was first told that the thread works, and the thread's processor time then.
    begun: Option<(Instant, Duration)>,
    rests_since: Option<Instant>,
    /// All the time that the thread has rested since it was begun.
    rested: Duration,
    /// All that was stolen, as of the last look.
    stolen: Duration,
}

thread_local! {
    static THREAD: Cell<Thread> = Cell::default();
}

/// The thread has nothing to do.
pub fn rests() {
    let thread = THREAD.get();
    THREAD.set(Thread {
        rests_since: Some(Instant::now()),
        ..thread
    });
}

/// The thread has something to do again.
pub fn works() {
    let (mut thread, now) = (THREAD.get(), Instant::now());
    let rests_since = thread.rests_since.take();
    if thread.begun.is_none() {
        thread.begun = Some((now, processor_time()));
    } else if let Some(since) = rests_since {
        thread.rested += now - since;
    }
    THREAD.set(thread);
}

/// What was stolen from this thread since this was last asked. Nothing is known of threads that were never
/// said to work.
pub fn since_last() -> Duration {
    let mut thread = THREAD.get();
    let Some((begun, used)) = thread.begun else {
        return Duration::ZERO;
    };
    let busy = begun.elapsed().saturating_sub(thread.rested);
    let used = processor_time().saturating_sub(used);
    let (stolen, before) = (busy.saturating_sub(used), thread.stolen);
    thread.stolen = stolen.max(before);
    THREAD.set(thread);
    stolen.saturating_sub(before)
}

fn processor_time() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(20);

    fn work() {
        let until = processor_time() + TIME;
        while processor_time() < until {
            std::hint::spin_loop();
        }
    }

    /// On a thread that nobody else has told anything.
    fn elsewhere(test: fn()) {
        std::thread::spawn(test).join().unwrap();
    }

    #[test]
    fn what_was_stolen_is_neither_work_nor_rest() {
        elsewhere(|| {
            works();
            work();
            // asleep, but not by its own will as far as anybody was told
            std::thread::sleep(TIME);
            let stolen = since_last();
            assert!(stolen >= TIME, "{stolen:?}");
            rests();
            std::thread::sleep(TIME * 50);
            works();
            let stolen = since_last();
            assert!(
                stolen < TIME * 40,
                "to rest is no theft, and it is said once: {stolen:?}"
            );
        });
    }

    #[test]
    fn of_other_threads_nothing_is_known() {
        elsewhere(|| {
            std::thread::sleep(TIME);
            assert_eq!(since_last(), Duration::ZERO);
        });
    }
}
