//! Which instance answers with so many errors that it should be replaced?
//!
//! Envoy's outlier detection asks two questions: how many failures in a row, and how far is the
//! success rate from the others'? The first alone blames an instance for what all of them suffer
//! from, and the second measures in standard deviations, which say nothing in a pool of two to five
//! (Envoy doesn't ask it there). Here one score per instance answers both: a cumulative sum (Page,
//! *Continuous inspection schemes*, 1954) of how much better each outcome is explained by "this
//! instance fails at least half of what the rest gets right" than by "it fails as often as the
//! rest". Where the rest is healthy six failures in a row are enough, or twenty requests of which
//! half fail; where the rest fails half of the time it takes fifty in a row; where all fail nothing
//! is ever enough, for the failure is the service's, and a new instance would not help. As Envoy's
//! `max_ejection_percent` does, half of the pool stays whatever happens, and each ejection in a row
//! waits twice as long as the one before.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::exit::InstanceId;

/// The score at which an instance is ejected: it is e^20 times likelier that it fails for a reason of
/// its own. By chance that happens less than once in a hundred million requests.
pub const ENOUGH: f64 = 20.0;

/// The pause after the first ejection in a row, doubled for each one after.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause. After twice that time without an ejection the pauses begin anew.
pub const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// The rest is never thought to fail less often than this: nobody is ejected for a failure in a
/// hundred.
const LEAST: f64 = 0.01;

/// Where the rest fails more often, a new instance would not help.
const MOST: f64 = 0.9;

/// The rest is believed from so many outcomes of an instance on.
const SAMPLES: u32 = 8;

/// What the policy sees of one request that ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// When, on a clock that only goes forward.
    pub now: Duration,
    /// The instance that had it.
    pub instance: InstanceId,
    /// It failed by the instance's own making: a 5xx of the guest, an error of its interface, or a
    /// deadline that passed while it had the request. Not what the client or the host did.
    pub failed: bool,
    /// Instances that take jobs now, this one included.
    pub usable: usize,
    /// Instances that there should be.
    pub wanted: usize,
}

/// Why an instance is ejected: it takes no more jobs, finishes those it has, and is replaced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Eject {
    /// The share of its last requests that failed, `0.0..=1.0`.
    pub own: f64,
    /// The same of all the others.
    pub rest: f64,
}

impl fmt::Display for Eject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| share * 100.0;
        write!(
            f,
            "it failed {:.0} % of its last requests, the other instances {:.0} %",
            percent(self.own),
            percent(self.rest)
        )
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    score: f64,
    samples: u32,
    /// The share of failures among the last eight or so: sees at once that a service fails.
    short: f64,
    /// Among the last hundred or so: knows what is usual.
    long: f64,
}

impl Record {
    fn note(&mut self, failed: bool) {
        self.samples = self.samples.saturating_add(1);
        let sample = f64::from(u8::from(failed));
        for (share, most) in [(&mut self.short, 8), (&mut self.long, 128)] {
            *share += (sample - *share) / f64::from(self.samples.min(most));
        }
    }

    fn share(&self) -> f64 {
        self.short.max(self.long)
    }
}

/// The memory of the policy for one pool.
#[derive(Clone, Debug, Default)]
pub struct Ejection {
    records: BTreeMap<InstanceId, Record>,
    /// When the last instance was ejected, and how many in a row.
    last: Option<Duration>,
    times: u32,
}

impl Ejection {
    /// Knows of no failure.
    pub fn new() -> Self {
        Self::default()
    }

    /// The instance is gone.
    pub fn left(&mut self, instance: InstanceId) {
        self.records.remove(&instance);
    }

    /// A request ended. A success on an instance that had no failure lately costs next to nothing.
    pub fn ended(&mut self, outcome: &Outcome) -> Option<Eject> {
        let record = self.records.entry(outcome.instance).or_default();
        record.note(outcome.failed);
        if !outcome.failed && record.score <= 0.0 {
            return None;
        }
        let own = record.short;
        let rest = self.rest(outcome.instance)?;
        let record = self.records.get_mut(&outcome.instance)?;
        if rest > MOST {
            record.score = 0.0;
            return None;
        }
        // what "fails for a reason of its own" means, against "fails as the rest does"
        let alone = f64::midpoint(1.0, rest);
        let evidence = if outcome.failed {
            (alone / rest).ln()
        } else {
            ((1.0 - alone) / (1.0 - rest)).ln()
        };
        record.score = (record.score + evidence).clamp(0.0, ENOUGH);
        if !outcome.failed || record.score < ENOUGH || !self.may_eject(outcome) {
            return None;
        }
        self.records.remove(&outcome.instance);
        self.last = Some(outcome.now);
        self.times = self.times.saturating_add(1);
        Some(Eject { own, rest })
    }

    /// How often the others fail, or `None` if too little is known of them.
    fn rest(&self, instance: InstanceId) -> Option<f64> {
        let known =
            |(id, record): &(&InstanceId, &Record)| **id != instance && record.samples >= SAMPLES;
        let shares = self.records.iter().filter(known);
        let (sum, count) = shares.fold((0.0, 0.0), |(sum, count), (_, record)| {
            (sum + record.share(), count + 1.0)
        });
        (count > 0.0).then(|| (sum / count).max(LEAST))
    }

    fn may_eject(&mut self, outcome: &Outcome) -> bool {
        let since = self.last.map(|last| outcome.now.saturating_sub(last));
        if since.is_some_and(|since| since > LONGEST_PAUSE * 2) {
            self.times = 0;
        }
        let factor = 2u32.saturating_pow(self.times.saturating_sub(1));
        let pause = FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE);
        let left = outcome.usable.saturating_sub(1);
        since.is_none_or(|since| since >= pause) && left >= outcome.wanted.div_ceil(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};

    /// A thousand requests a second, in rounds of any order; an ejected one is replaced at once.
    struct Run {
        ejected: Vec<(usize, usize)>,
    }

    fn run(
        instances: usize,
        requests: usize,
        seed: u64,
        fails: impl Fn(usize, usize) -> f64,
    ) -> Run {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut ejection = Ejection::new();
        let mut ids: Vec<u64> = (0..instances as u64).collect();
        let mut order: Vec<usize> = (0..instances).collect();
        let mut ejected = Vec::new();
        for request in 0..requests {
            if request % instances == 0 {
                order.shuffle(&mut rng);
            }
            let index = order[request % instances];
            let failed = rng.random::<f64>() < fails(request, index);
            let outcome = Outcome {
                now: Duration::from_millis(request as u64),
                instance: InstanceId(ids[index]),
                failed,
                usable: instances,
                wanted: instances,
            };
            if ejection.ended(&outcome).is_some() {
                ejected.push((request, index));
                ids[index] += 1000;
            }
        }
        Run { ejected }
    }

    #[test]
    fn an_instance_that_fails_by_itself_is_found_soon() {
        for instances in [2, 4, 8, 64] {
            for (share, within) in [(1.0, 20), (0.5, 60), (0.25, 400)] {
                for seed in 0..10 {
                    let onset = 200 * instances;
                    let requests = onset + within * instances;
                    let run = run(instances, requests, seed, |request, index| {
                        if index == 0 && request >= onset {
                            share
                        } else {
                            0.01
                        }
                    });
                    let first = run.ejected.first().expect("it is ejected");
                    assert!(
                        first.1 == 0 && first.0 >= onset,
                        "{instances} {share} {seed}: {first:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_service_that_fails_as_a_whole_keeps_its_instances() {
        for instances in [2, 4, 8] {
            for share in [0.0, 0.01, 0.1, 0.5, 0.9, 1.0] {
                let run = run(instances, 50_000, 1, |_, _| share);
                assert_eq!(run.ejected, [], "{instances}, {share}");
            }
        }
    }

    #[test]
    fn nobody_is_blamed_when_all_begin_to_fail_at_once() {
        let mut blamed = 0;
        for seed in 0..200 {
            for instances in [2, 4, 8] {
                let onset = 100 * instances;
                let run = run(instances, onset + 2000, seed, |request, _| {
                    if request >= onset { 1.0 } else { 0.001 }
                });
                blamed += run.ejected.len();
                assert!(run.ejected.len() <= 1, "{instances}: {:?}", run.ejected);
            }
        }
        println!("{blamed} of 600");
        assert!(blamed <= 2, "{blamed}");
    }

    #[test]
    fn a_replacement_that_fails_too_is_replaced_ever_more_seldom() {
        let run = run(4, 600_000, 3, |_, index| if index == 0 { 1.0 } else { 0.0 });
        let times: Vec<usize> = run
            .ejected
            .iter()
            .map(|(request, _)| request / 1000)
            .collect();
        println!("{times:?}");
        assert!((6..=11).contains(&times.len()), "{times:?}");
        assert!(times.windows(3).all(|t| t[2] - t[1] >= t[1] - t[0]));
    }

    #[test]
    fn who_goes_on_failing_when_the_others_have_recovered_is_found() {
        let end = |ejection: &mut Ejection, instance, failed, times| {
            let outcome = Outcome {
                now: Duration::ZERO,
                instance: InstanceId(instance),
                failed,
                // 3 may not be ejected
                usable: if instance == 3 { 1 } else { 2 },
                wanted: 2,
            };
            (0..times).any(|_| ejection.ended(&outcome).is_some())
        };
        let mut e = Ejection::new();
        assert!(
            !end(&mut e, 1, false, 8) && !end(&mut e, 2, false, 200) && !end(&mut e, 1, true, 3)
        );
        e.left(InstanceId(2));
        // all that is known of the rest is failure, and then it is not
        assert!(
            !end(&mut e, 3, true, 300) && !end(&mut e, 1, false, 1) && !end(&mut e, 1, true, 300)
        );
        assert!(!end(&mut e, 3, false, 2000) && end(&mut e, 1, true, 8));
    }

    proptest! {
        #[test]
        fn half_of_the_pool_stays(wanted in 1usize..9, dead in 0usize..3) {
            let mut ejection = Ejection::new();
            let mut usable = wanted.saturating_sub(dead).max(1);
            // one after the other begins to fail, and none is replaced
            for hour in 0..wanted as u64 {
                for round in 0..200 {
                    for instance in hour..wanted as u64 {
                        let outcome = Outcome {
                            now: Duration::from_hours(hour),
                            instance: InstanceId(instance),
                            failed: instance == hour && round > 100,
                            usable,
                            wanted,
                        };
                        usable -= usize::from(ejection.ended(&outcome).is_some());
                    }
                }
                ejection.left(InstanceId(hour));
            }
            prop_assert_eq!(usable, wanted.div_ceil(2).min(wanted.saturating_sub(dead).max(1)));
        }
    }
}
