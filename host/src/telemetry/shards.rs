//! Numbers that every request adds to.
//!
//! Two processors that add to one number pass its cache line back and forth, which costs more than
//! the addition. So each thread has a place of its own, and whoever reads adds the places up.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// A number that is the same as long as a thread lives, and differs between the threads of one pool.
/// Where it is used as an index, it has to be taken modulo the length.
pub fn this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed));
    }
    NUMBER.get()
}

/// As many places as there are threads that work, about: two for each processor, and one.
pub fn places() -> usize {
    let processors = available_parallelism().map_or(1, NonZeroUsize::get);
    (2 * processors).next_power_of_two().min(128)
}

/// One thread's place, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Place<const N: usize>([AtomicU64; N]);

/// `N` numbers that only grow.
#[derive(Clone, Debug)]
pub struct Counts<const N: usize>(Arc<[Place<N>]>);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        let place = |_| Place(std::array::from_fn(|_| AtomicU64::new(0)));
        Self((0..places()).map(place).collect())
    }
}

impl<const N: usize> Counts<N> {
    /// Adds to one of the numbers.
    pub fn add(&self, index: usize, by: u64) {
        let place = &self.0[this_thread() & (self.0.len() - 1)];
        place.0[index].fetch_add(by, Ordering::Relaxed);
    }

    /// The numbers as of now.
    pub fn sums(&self) -> [u64; N] {
        std::array::from_fn(|index| {
            let places = self.0.iter();
            places
                .map(|place| place.0[index].load(Ordering::Relaxed))
                .sum()
        })
    }
}

/// Time that adds up, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Seconds(Counts<1>);

impl Seconds {
    /// Adds some.
    pub fn add_nanos(&self, nanos: u64) {
        self.0.add(0, nanos);
    }

    /// All of it.
    pub fn total(&self) -> Duration {
        let [nanos] = self.0.sums();
        Duration::from_nanos(nanos)
    }
}

impl EncodeMetric for Seconds {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let total = self.total().as_secs_f64();
        encoder.encode_counter::<NoLabelSet, f64, u64>(&total, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

impl TypedMetric for Seconds {
    const TYPE: MetricType = MetricType::Counter;
}

/// Upper bounds of the buckets: 0.1 ms, doubled up to 26 s; three to each factor of ten is what a
/// p99 needs.
pub const BOUNDS: usize = 19;

/// How long requests took: a histogram with buckets of doubling width.
#[derive(Clone, Debug, Default)]
pub struct Durations(Counts<{ BOUNDS + 2 }>);

/// What a [`Durations`] has counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// How many fell into each bucket; the last one has no bound.
    pub counts: [u64; BOUNDS + 1],
    /// All of them together, in nanoseconds.
    pub nanos: u64,
}

impl Buckets {
    /// The upper bounds of all buckets but the last, in seconds.
    pub fn bounds() -> impl Iterator<Item = f64> {
        let bound = |before: &f64| Some(before * 2.0);
        std::iter::successors(Some(Durations::FIRST.as_secs_f64()), bound).take(BOUNDS)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl Durations {
    const FIRST: Duration = Duration::from_micros(100);
    const SUM: usize = BOUNDS + 1;

    /// Adds one.
    pub fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.add(Self::bucket(nanos), 1);
        self.0.add(Self::SUM, nanos);
    }

    /// What was counted as of now.
    pub fn buckets(&self) -> Buckets {
        let sums = self.0.sums();
        Buckets {
            counts: std::array::from_fn(|bucket| sums[bucket]),
            nanos: sums[Self::SUM],
        }
    }

    /// The first bucket whose bound is not less.
    #[expect(clippy::cast_possible_truncation, reason = "64 is the most")]
    fn bucket(nanos: u64) -> usize {
        let units = nanos.div_ceil(Self::FIRST.as_nanos() as u64);
        let exponent = units.saturating_sub(1).checked_ilog2();
        exponent.map_or(0, |exponent| (exponent as usize + 1).min(BOUNDS))
    }
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let all = self.buckets();
        let bounds = Buckets::bounds().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(all.counts).collect();
        let sum = Duration::from_nanos(all.nanos).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, all.count(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl TypedMetric for Durations {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_add_is_summed_up() {
        let counts = Counts::<2>::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..100).for_each(|_| counts.add(1, 2)));
            }
        });
        assert_eq!(counts.sums(), [0, 1600]);
    }

    #[test]
    fn the_buckets_tell_what_was_observed() {
        let durations = Durations::default();
        durations.observe(Duration::from_micros(150));
        durations.observe(Duration::from_mins(1));
        let buckets = durations.buckets();
        assert_eq!(buckets.counts[1], 1);
        assert_eq!(buckets.counts[BOUNDS], 1);
        assert_eq!((buckets.count(), buckets.nanos), (2, 60_000_150_000));
        let bounds: Vec<f64> = Buckets::bounds().collect();
        assert_eq!(
            (bounds.len(), bounds[0], bounds[1]),
            (BOUNDS, 0.0001, 0.0002)
        );
    }

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let bucket = |micros: u64| Durations::bucket(micros * 1000);
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(100), 0);
        assert_eq!(bucket(101), 1);
        assert_eq!(bucket(200), 1);
        assert_eq!(bucket(201), 2);
        assert_eq!(bucket(100_u64 << 18), 18);
        assert_eq!(bucket((100_u64 << 18) + 1), BOUNDS);
        assert_eq!(Durations::bucket(u64::MAX), BOUNDS);
    }
}
