//! Which ready instance gets the next job, and when is it better to wait for one?
//!
//! Among instances that are about as fast as the fastest: least in-flight first, and among equals the
//! turn goes round, so that all stay warm and none collects all the work, but for a thread that is busy:
//! that stays with an instance for a moment ([`nearness`](super::nearness)). The choice is made under
//! the pool's lock, by one who sees the true numbers of a few instances: so all of them are looked
//! at, where balancers that know less compare two at random (Mitzenmacher's power of two choices).
//! An instance that answers [`SLOW`] times slower than the fastest, and [noticeably](NOTICEABLE) so,
//! is used as the slow server of Lin and Kumar (*Optimal control of a queueing system with two
//! heterogeneous servers*, 1984): not at all while a fast one has room, and else only when so many
//! wait already that it would be done sooner than the queue. A rare probe finds out whether it has
//! recovered. How fast an instance is says a moving average as in Finagle's peak EWMA, but of the
//! logarithm, so that one costly request does not make its instance a slow one; what takes its peak's
//! place is that an instance that answers nothing is thought to be as slow as that silence is long.

use std::time::Duration;

use super::nearness::Nearness;

/// How many times slower than the fastest an instance is that is avoided. Equal instances whose
/// answers take exponentially distributed times seldom come near it by chance, even 64 of them.
pub const SLOW: u64 = 4;

/// How much longer than the fastest's a slow instance's answers take at least. Among answers of
/// microseconds, other programs on the machine make differences of many times, which say nothing.
pub const NOTICEABLE: Duration = Duration::from_millis(1);

/// Jobs of the pool between two probes of a slow instance: four in a thousand leave the 99th
/// percentile alone.
pub const PROBE_JOBS: u64 = 256;

/// The least time between two probes of a slow instance.
pub const PROBE_PAUSE: Duration = Duration::from_secs(1);

/// What a timer of the host can tell apart.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// What the choice sees of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Requests it holds now.
    pub in_flight: usize,
    /// Requests it may hold at once; 0 for one that takes no more.
    pub capacity: usize,
    /// How long an answer of it takes, in nanoseconds ([`Latency::expected`]); 0: nobody knows yet.
    pub expected: u64,
    /// Whether it is to be tried if it is slow ([`Latency::probe_due`]).
    pub probe: bool,
    /// How near it is to the thread that asks.
    pub nearness: Nearness,
}

/// What becomes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The instance with this index gets it.
    Take(usize),
    /// Only slow instances have room, and waiting for another takes less time than they do.
    Wait {
        /// When to choose anew even if no place became free: an instance that seemed fast may hang.
        ask_again: Duration,
    },
    /// All are full.
    Full,
}

/// The instance that gets the next job. `waiting` is how many jobs wait besides it. `turn` is the
/// index where the search starts, usually one past the last choice.
pub fn choose(
    loads: impl ExactSizeIterator<Item = Load> + Clone,
    waiting: usize,
    turn: usize,
) -> Choice {
    let count = loads.len();
    if count == 0 {
        return Choice::Full;
    }
    let usable = loads.enumerate().filter(|(_, load)| load.capacity > 0);
    let start = turn % count;
    let rank = |index: usize, load: &Load| {
        let by_turn = if index < start { index + count } else { index };
        (load.in_flight, load.nearness, by_turn, index)
    };
    let room = |load: &Load| load.in_flight < load.capacity;

    let (mut fastest, mut slowest) = (u64::MAX, 0);
    let mut best = NOBODY;
    for (index, load) in usable.clone() {
        slowest = slowest.max(load.expected);
        if load.expected > 0 {
            fastest = fastest.min(load.expected);
        }
        if room(&load) {
            best = best.min(rank(index, &load));
        }
    }
    let limit = slowest_fast(fastest);
    if slowest <= limit {
        return match best {
            NOBODY => Choice::Full,
            (_, _, _, index) => Choice::Take(index),
        };
    }

    let mut fast_places = 0;
    let mut fallback: Option<(u64, usize)> = None;
    best = NOBODY;
    for (index, load) in usable {
        let slow = load.expected > limit;
        if !slow {
            fast_places += load.capacity;
        }
        if !room(&load) {
            continue;
        }
        if !slow {
            best = best.min(rank(index, &load));
        } else if load.probe && load.in_flight == 0 {
            return Choice::Take(index);
        } else {
            let rank = (load.expected, index);
            fallback = Some(fallback.map_or(rank, |fallback| fallback.min(rank)));
        }
    }
    if best != NOBODY {
        return Choice::Take(best.3);
    }
    let Some((expected, index)) = fallback else {
        return Choice::Full;
    };
    // a place comes free each `fastest / fast_places`, and then the answer takes `fastest`
    let wait = fastest.saturating_mul(waiting as u64 + 1) / (fast_places as u64).max(1);
    if wait.saturating_add(fastest) < expected {
        Choice::Wait {
            ask_again: Duration::from_nanos(wait.max(fastest)).max(LEAST_WAIT),
        }
    } else {
        Choice::Take(index)
    }
}

/// How long the answers of an instance may take that is not slow, if the fastest's take so long.
fn slowest_fast(fastest: u64) -> u64 {
    let noticeable = fastest.saturating_add(nanos(NOTICEABLE));
    fastest.saturating_mul(SLOW).max(noticeable)
}

/// Ranks after every instance.
const NOBODY: (usize, Nearness, usize, usize) =
    (usize::MAX, Nearness::Away, usize::MAX, usize::MAX);

/// How fast one instance answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    /// The average of the binary logarithm of nanoseconds, in 1/65536.
    average: i64,
    samples: u32,
    /// The average in nanoseconds once it is believed; 0 before.
    usual: u64,
    /// The last answer, or the last job that found it idle; nanoseconds on the caller's clock.
    progress: u64,
    /// Not to be probed before; nanoseconds on the caller's clock, jobs of the pool.
    rested: (u64, u64),
}

impl Latency {
    /// The share of a new answer in the average is one of so many.
    const WEIGHT: i64 = 16;
    /// Answers before the average is believed: the first ones of a new instance are often slow.
    const ENOUGH: u32 = 8;

    /// A job is handed to the instance, which held `in_flight` before.
    pub fn began(&mut self, now: Duration, in_flight: usize) {
        if in_flight == 0 {
            self.progress = nanos(now);
        }
    }

    /// The instance answered after `took`: from the hand-over to the head of the response, for what
    /// comes after depends on the client. `jobs` is how many the pool has handed out so far.
    pub fn answered(&mut self, now: Duration, jobs: u64, took: Duration) {
        let sample = log2(nanos(took).max(1));
        self.samples = self.samples.saturating_add(1);
        let weight = i64::from(self.samples).min(Self::WEIGHT);
        // an answer in half the usual time is a sign of recovery: the next probe need not wait
        if sample > self.average - ONE {
            self.rested = (nanos(now + PROBE_PAUSE), jobs + PROBE_JOBS);
        }
        self.average += (sample - self.average) / weight;
        if self.samples >= Self::ENOUGH {
            self.usual = exp2(self.average);
        }
        self.progress = nanos(now);
    }

    /// How long an answer takes, in nanoseconds; 0: nobody knows yet. An instance that holds
    /// requests and has been silent for longer than that takes at least as long.
    pub fn expected(&self, now: Duration, in_flight: usize) -> u64 {
        if in_flight == 0 {
            self.usual
        } else {
            self.usual.max(nanos(now).saturating_sub(self.progress))
        }
    }

    /// Whether it should be tried again if it is slow. `jobs` is how many the pool has handed out.
    pub fn probe_due(&self, now: Duration, jobs: u64) -> bool {
        nanos(now) >= self.rested.0 && jobs >= self.rested.1
    }
}

/// 1 as a binary logarithm: twice as long.
const ONE: i64 = 1 << 16;

/// A time in nanoseconds, at most five centuries.
fn nanos(time: Duration) -> u64 {
    let seconds = time.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(time.subsec_nanos().into())
}

/// The binary logarithm of `number` in 1/65536, taken as straight between powers of two: never off
/// by more than 0.09, and without floating point.
fn log2(number: u64) -> i64 {
    let whole = number.ilog2();
    let fraction = (number << (63 - whole) << 1) >> 48;
    i64::from(whole) * ONE + fraction.cast_signed()
}

/// The inverse of [`log2`].
fn exp2(log: i64) -> u64 {
    let whole = log / ONE;
    let mantissa = (ONE + log % ONE).cast_unsigned();
    if whole >= 16 {
        mantissa << (whole - 16).min(47)
    } else {
        mantissa >> (16 - whole)
    }
}

#[cfg(test)]
mod tests;
