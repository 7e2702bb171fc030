//! The time, as an event loop knows it.
//!
//! A request is looked at by the clock nine times on its way, and two readings of three follow one another within
//! microseconds: each costs more than what is done with it. An event loop keeps the last reading for these,
//! until it is idle. On other threads the clock is read each time.

use std::cell::Cell;
use std::time::Instant as Reading;

use tokio::time::Instant;

#[derive(Clone, Copy)]
enum Kept {
    /// This is no event loop.
    Never,
    Nothing,
    Reading(Reading),
}

thread_local! {
    static KEPT: Cell<Kept> = const { Cell::new(Kept::Never) };
}

/// Reads the clock.
pub fn now() -> Instant {
    match KEPT.get() {
        // tokio's, which a test may have stopped
        Kept::Never => Instant::now(),
        _ => Instant::from_std(read()),
    }
}

/// Reads the system's clock.
pub fn read() -> Reading {
    let reading = Reading::now();
    note(reading);
    reading
}

/// The time of the last reading in this round of the thread's event loop. For what is near to one, and need
/// not be exact to the microsecond.
pub fn recent() -> Instant {
    match KEPT.get() {
        Kept::Reading(reading) => Instant::from_std(reading),
        _ => now(),
    }
}

/// The thread's event loop has been idle, or begins.
pub fn forget() {
    KEPT.set(Kept::Nothing);
}

fn note(reading: Reading) {
    if !matches!(KEPT.get(), Kept::Never) {
        KEPT.set(Kept::Reading(reading));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_event_loop_keeps_a_reading_until_it_is_idle() {
        std::thread::spawn(|| {
            let pause = || std::thread::sleep(Duration::from_millis(1));
            let first = recent();
            pause();
            assert!(recent() > first, "this is no event loop");
            forget();
            let first = recent();
            pause();
            assert_eq!(recent(), first);
            let second = now();
            assert!(second > first);
            assert_eq!(recent(), second);
            assert!(read() >= second.into_std());
            assert!(recent() >= second);
            pause();
            forget();
            assert!(recent() > second);
        })
        .join()
        .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn elsewhere_it_is_tokios_time() {
        let start = now();
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(recent() - start, Duration::from_secs(7));
    }
}
