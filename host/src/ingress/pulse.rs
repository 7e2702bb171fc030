//! How long a connection may keep silent.
//!
//! A client that has begun a head has `header_timeout` to end it; one between two requests has
//! `idle_timeout` (and before the first, again `header_timeout`). hyper has a timer for that, which
//! it makes and drops with every request. Here a [`Pulse`] only notes what the connection is doing,
//! and one sleep per connection looks at it when the time would be over.
//!
//! ```text
//!            bytes come                the head is whole
//!   Idle ───────────────────► Head ───────────────────────► Busy
//!    ▲                                                        │
//!    └──────────── the last response's body is over ──────────┘
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;

/// What one connection is doing. Its stream, its requests and its bodies tell it.
pub(super) struct Pulse {
    born: Instant,
    /// Requests that are not answered in full.
    busy: AtomicUsize,
    /// Milliseconds from `born` to when the connection became what it is, times two; odd in a head.
    since: AtomicU64,
    header_timeout: Duration,
    idle_timeout: Duration,
}

/// Keeps a connection busy until it is dropped.
pub(super) struct Busy(Arc<Pulse>);

impl Pulse {
    /// Of a connection that was made just now: what comes first must be a head.
    pub(super) fn new(header_timeout: Duration, idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            born: Instant::now(),
            busy: AtomicUsize::new(0),
            since: AtomicU64::new(1),
            header_timeout,
            idle_timeout,
        })
    }

    /// A request's head is whole.
    pub(super) fn enter(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Bytes came in.
    pub(super) fn read(&self) {
        if self.busy.load(Ordering::Relaxed) == 0 && self.since.load(Ordering::Relaxed) & 1 == 0 {
            self.mark(1);
        }
    }

    /// What went out before has filled the way to the client: one that takes its answer slowly is not
    /// idle.
    pub(super) fn waits_to_write(&self) {
        if self.busy.load(Ordering::Relaxed) == 0 && self.since.load(Ordering::Relaxed) & 1 == 0 {
            self.mark(0);
        }
    }

    /// When the client's silence will have been too long, as things are; `None` while it waits for
    /// an answer.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        if self.busy.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let since = self.since.load(Ordering::Relaxed);
        let limit = if since & 1 == 1 {
            self.header_timeout
        } else {
            self.idle_timeout
        };
        Some(self.born + Duration::from_millis(since >> 1) + limit)
    }

    /// The longest time in which nothing needs to be looked at.
    pub(super) fn patience(&self) -> Duration {
        self.header_timeout.min(self.idle_timeout)
    }

    fn mark(&self, head: u64) {
        let age = clock::recent()
            .saturating_duration_since(self.born)
            .as_millis();
        let age = u64::try_from(age).unwrap_or(u64::MAX >> 1);
        self.since.store((age << 1) | head, Ordering::Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.mark(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_mins(1);

    fn left(pulse: &Pulse) -> Option<Duration> {
        pulse
            .ends_at()
            .map(|at| at.saturating_duration_since(Instant::now()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_from_its_first_byte_and_idleness_another() {
        let pulse = Pulse::new(HEAD, IDLE);
        advance(Duration::from_secs(4)).await;
        assert_eq!(left(&pulse), Some(Duration::from_secs(6)));
        pulse.read();
        assert_eq!(left(&pulse), Some(Duration::from_secs(6)), "a slow head");
        let busy = pulse.enter();
        advance(Duration::from_mins(5)).await;
        assert_eq!(left(&pulse), None);
        pulse.read();
        drop(busy);
        assert_eq!(left(&pulse), Some(IDLE));
        advance(Duration::from_secs(50)).await;
        pulse.waits_to_write();
        assert_eq!(left(&pulse), Some(IDLE), "its answer still goes out");
        advance(Duration::from_secs(59)).await;
        pulse.read();
        assert_eq!(left(&pulse), Some(HEAD));
        advance(Duration::from_secs(9)).await;
        pulse.read();
        assert_eq!(
            left(&pulse),
            Some(Duration::from_secs(1)),
            "a dripping head"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_busy_until_its_last_request_is_over() {
        let pulse = Pulse::new(HEAD, IDLE);
        let (first, second) = (pulse.enter(), pulse.enter());
        drop(first);
        assert_eq!(left(&pulse), None);
        drop(second);
        assert_eq!(left(&pulse), Some(IDLE));
    }
}
