//! Quantiles of a histogram with buckets of doubling width.

use super::number;
use crate::telemetry::shards::{BOUNDS, Buckets};

/// How many fell into each bucket; the last one has no bound.
pub(super) type Counts = [u64; BOUNDS + 1];

/// What was added to a histogram that may have begun anew. That shows in any of its buckets, and
/// then holds for all.
pub(super) fn added(before: &Counts, now: &Counts) -> Counts {
    let anew = before.iter().zip(now).any(|(before, now)| now < before);
    if anew {
        return *now;
    }
    std::array::from_fn(|bucket| now[bucket] - before[bucket])
}

/// What the share `q` took at most, in seconds; `None` of nothing.
///
/// Within a bucket the durations are taken to be spread evenly by their logarithm, as the bounds of
/// the buckets are; in the first one, which begins at zero, evenly. Those above all bounds are taken
/// for the last bound, as Prometheus does.
pub(super) fn quantile(counts: &Counts, q: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = q * number(total);
    let (mut below, mut lower) = (0.0, None::<f64>);
    for (bound, count) in Buckets::bounds().zip(counts) {
        let count = number(*count);
        if count > 0.0 && below + count >= rank {
            let share = ((rank - below) / count).clamp(0.0, 1.0);
            return Some(lower.map_or(bound * share, |lower| lower * (bound / lower).powf(share)));
        }
        below += count;
        lower = Some(bound);
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(of: &[(usize, u64)]) -> Counts {
        let mut counts = [0; BOUNDS + 1];
        for (bucket, count) in of {
            counts[*bucket] = *count;
        }
        counts
    }

    fn close(quantile: Option<f64>, expected: f64) {
        let quantile = quantile.unwrap();
        let off = (quantile / expected - 1.0).abs();
        assert!(off < 1e-9, "{quantile} is not {expected}");
    }

    #[test]
    fn within_a_bucket_it_goes_by_the_logarithm() {
        assert_eq!(quantile(&counts(&[]), 0.5), None);
        let one = counts(&[(3, 100)]);
        close(quantile(&one, 0.5), 0.0004 * 2f64.sqrt());
        close(quantile(&one, 1.0), 0.0008);
        close(quantile(&counts(&[(0, 10)]), 0.5), 0.00005);
        close(quantile(&counts(&[(3, 99), (7, 1)]), 0.99), 0.0008);
        close(quantile(&counts(&[(3, 1), (BOUNDS, 99)]), 0.99), 26.2144);
    }

    #[test]
    fn a_histogram_that_began_anew_is_new_as_a_whole() {
        let before = counts(&[(1, 10), (2, 3)]);
        let grown = counts(&[(1, 10), (2, 4)]);
        assert_eq!(added(&before, &grown), counts(&[(2, 1)]));
        let anew = counts(&[(1, 11), (2, 1)]);
        assert_eq!(added(&before, &anew), anew);
    }

    fn bucket_of(durations: &[f64], rank: usize) -> (f64, f64) {
        let value = durations[rank];
        let upper = Buckets::bounds().find(|bound| value <= *bound);
        let upper = upper.unwrap_or(f64::INFINITY);
        (upper / 2.0, upper)
    }

    proptest! {
        #[test]
        fn a_quantile_lies_in_the_bucket_of_the_duration_it_stands_for(
            mut durations in proptest::collection::vec(0.000_001f64..20.0, 1..200),
            hundredths in 1u32..=100,
        ) {
            durations.sort_by(f64::total_cmp);
            let mut all = [0; BOUNDS + 1];
            for duration in &durations {
                let bucket = Buckets::bounds().position(|bound| *duration <= bound);
                all[bucket.unwrap_or(BOUNDS)] += 1;
            }
            let q = f64::from(hundredths) / 100.0;
            let length = u32::try_from(durations.len()).unwrap();
            // the smallest one that at least that share doesn't exceed
            let rank = (hundredths * length).div_ceil(100).max(1) - 1;
            let (lower, upper) = bucket_of(&durations, rank as usize);
            let found = quantile(&all, q).unwrap();
            let lower = if upper <= 0.0001 { 0.0 } else { lower };
            // where the rank is a bucket's end, rounding may take it to the next one's begin
            prop_assert!(found >= lower * 0.999 && found <= upper * 1.001, "{lower} {found} {upper}");
        }

        #[test]
        fn more_of_them_never_take_less(of in proptest::collection::vec((0..=BOUNDS, 0u64..1000), 1..8)) {
            let counts = counts(&of);
            let quantiles: Vec<_> = (1..=20u8).map(|q| quantile(&counts, f64::from(q) / 20.0)).collect();
            prop_assert!(quantiles.windows(2).all(|pair| pair[0] <= pair[1]));
        }
    }
}
