//! What is slow?

use std::time::Duration;

use super::Arm;

/// A canary whose latency is so many times the running release's is not slower.
const TOLERATED: f64 = 1.5;

/// Nor is one that takes only so much longer.
const FLOOR: Duration = Duration::from_millis(1);

/// So many answers say where their slowest tenth begins.
const SAMPLES: u32 = 32;

/// So many are remembered, before the older ones fade.
const MEMORY: u32 = 512;

/// What an answer counts at first, so that it can be halved.
const WEIGHT: u32 = 16;

/// Buckets to each doubling. A bucket is at most an eighth wide.
const STEPS: u32 = 8;

/// For all that a `u64` holds, in nanoseconds.
const BUCKETS: usize = 64 * STEPS as usize;

/// Beyond which latency an answer is slow. To judge the canary by a bound of its own says that it is
/// tolerated up to there: where its latencies are less than the running release's times
/// [`TOLERATED`], or plus [`FLOOR`], it is slow no more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    canary: Duration,
    running: Duration,
}

impl Bound {
    fn new(running: Duration) -> Self {
        let times = Duration::try_from_secs_f64(running.as_secs_f64() * TOLERATED);
        Self {
            canary: times
                .unwrap_or(Duration::MAX)
                .max(running.saturating_add(FLOOR)),
            running,
        }
    }

    pub(super) fn is_slow(&self, arm: Arm, latency: Duration) -> bool {
        latency
            > match arm {
                Arm::Canary => self.canary,
                Arm::Running => self.running,
            }
    }
}

/// How many answers took how long: a histogram with buckets that grow with the latency, which
/// remembers no order.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    counts: [u32; BUCKETS],
    total: u32,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            total: 0,
        }
    }
}

impl Latencies {
    pub(super) fn note(&mut self, latency: Duration) {
        if self.total > u32::MAX - WEIGHT {
            self.halve();
        }
        if let Some(count) = self.counts.get_mut(bucket(latency)) {
            *count += WEIGHT;
            self.total += WEIGHT;
        }
    }

    /// What is long ago counts for less.
    pub(super) fn fade(&mut self) {
        if self.total > MEMORY * WEIGHT {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.total = 0;
        for count in &mut self.counts {
            *count /= 2;
            self.total += *count;
        }
    }

    /// The bound for slow answers. `None` while too few are known.
    pub(super) fn bound(&self) -> Option<Bound> {
        self.high()
            .filter(|_| self.total >= SAMPLES * WEIGHT)
            .map(Bound::new)
    }

    /// Nine tenths took no longer. `None` while there are none.
    pub(super) fn high(&self) -> Option<Duration> {
        let mut beyond = self.total / 10;
        let slowest = self.counts.iter().rposition(|count| {
            let here = beyond < *count;
            beyond = beyond.saturating_sub(*count);
            here
        })?;
        Some(end(slowest))
    }
}

fn nanoseconds(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)
}

/// The first three bits after the highest one tell the buckets of a doubling apart.
fn bucket(latency: Duration) -> usize {
    let nanoseconds = nanoseconds(latency).max(u64::from(STEPS));
    let doubling = nanoseconds.ilog2();
    let step = (nanoseconds >> (doubling - STEPS.ilog2())) % u64::from(STEPS);
    doubling as usize * STEPS as usize + usize::try_from(step).unwrap_or_default()
}

/// The longest latency in a bucket.
fn end(bucket: usize) -> Duration {
    let (doubling, step) = (bucket / STEPS as usize, bucket % STEPS as usize);
    let beyond = u128::from(STEPS) + step as u128 + 1;
    let end = (beyond << doubling) / u128::from(STEPS) - 1;
    Duration::from_nanos(u64::try_from(end).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_is_an_eighth_wide_at_the_most(nanoseconds: u64, shift in 0u32..64) {
            let latency = Duration::from_nanos(nanoseconds >> shift);
            let bucket = bucket(latency);
            prop_assert!(bucket < BUCKETS && latency <= end(bucket));
            prop_assert!(bucket == 3 * 8 || end(bucket - 1) < latency);
            prop_assert!(end(bucket).as_secs_f64() <= latency.as_secs_f64() * 1.125 + 10e-9);
        }
    }

    #[test]
    fn high_is_where_the_slowest_tenth_begins() {
        let mut latencies = Latencies::default();
        for millisecond in 1..=1000 {
            assert_eq!(latencies.bound().is_some(), millisecond > SAMPLES);
            latencies.note(Duration::from_millis(millisecond.into()));
        }
        let high = latencies.high().expect("many are known");
        assert!((0.9..1.0125).contains(&high.as_secs_f64()), "{high:?}");
        latencies.fade();
        assert_eq!(latencies.total, 500 * WEIGHT);
        assert_eq!(latencies.high(), Some(high));
    }

    #[test]
    fn the_canary_is_slow_when_the_difference_matters() {
        let slow = |running: u64, canary: u64| {
            let bound = Bound::new(Duration::from_micros(running));
            bound.is_slow(Arm::Canary, Duration::from_micros(canary))
        };
        assert!(!slow(10_000, 15_000) && slow(10_000, 15_001));
        assert!(!slow(100, 1_100) && slow(100, 1_101));
        assert!(!slow(u64::MAX, u64::MAX));
    }
}
