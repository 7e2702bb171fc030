//! Whole trials, simulated: the same seeds each time. `cargo test --release -- --ignored --nocapture`
//! prints the figures that the module states, from more runs.

use super::*;
use proptest::prelude::*;

/// `SplitMix64` (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0.0..1.0`.
    fn part(&mut self) -> f64 {
        number(self.next() >> 11) / number(1 << 53)
    }
}

#[expect(clippy::cast_precision_loss, reason = "no more than 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

/// No more than one in a hundred, as far as so many runs can tell: three deviations more.
fn rare(count: u64, runs: u64) -> bool {
    let hundredth = number(runs) / 100.0;
    number(count) <= hundredth + 3.0 * hundredth.sqrt()
}

/// How a request goes: which arm, whether it fails, how long it takes.
type Request = (Arm, bool, Duration);

/// `true` is the canary.
fn arm(canary: bool) -> Arm {
    if canary { Arm::Canary } else { Arm::Running }
}

/// When a trial ended in a verdict.
#[derive(Clone, Copy)]
struct End {
    verdict: Verdict,
    /// Requests of the canary until then.
    canary: u64,
}

fn run(requests: u64, request: impl Fn(u64, &mut Random) -> Request, seed: u64) -> Option<End> {
    let mut random = Random(seed.wrapping_mul(0x1234_5678_9abc_def1));
    let mut trial = Trial::new(Limits::default());
    for index in 0..requests {
        let (arm, failed, latency) = request(index, &mut random);
        let observation = Observation { failed, latency };
        if let Some(verdict) = trial.observe(arm, observation) {
            let canary = trial.tally(Arm::Canary).requests;
            return Some(End { verdict, canary });
        }
    }
    None
}

/// In debug mode fewer runs, so that the tests stay quick.
fn runs(release: u64) -> u64 {
    if cfg!(debug_assertions) {
        release.div_ceil(10)
    } else {
        release
    }
}

/// How many of so many trials ended in a verdict.
fn alarms(
    runs: u64,
    requests: u64,
    request: impl Fn(u64, &mut Random) -> Request + Copy,
) -> (u64, u64) {
    let ends = (0..runs).filter_map(|seed| run(requests, request, seed));
    ends.fold((0, 0), |(failures, latency), end| match end.verdict {
        Verdict::Latency { .. } => (failures, latency + 1),
        _ => (failures + 1, latency),
    })
}

/// Pareto's law with a mean of 11 ms and without a variance, from a table: it takes long to compute.
fn tails() -> [Duration; 4096] {
    std::array::from_fn(|index| {
        let part = (number(index as u64) + 0.5) / 4096.0;
        Duration::from_secs_f64(1e-3 * part.powf(-1.0 / 1.1))
    })
}

/// Latencies whose logarithm is normal (the sum of twelve is as good), with a median of 10 ms.
fn lognormal(random: &mut Random, deviation: f64) -> f64 {
    let normal: f64 = (0..12).map(|_| random.part()).sum::<f64>() - 6.0;
    0.01 * (normal * deviation).exp()
}

const RATES: [f64; 6] = [0.0, 0.001, 0.01, 0.05, 0.2, 0.5];
const SHARES: [f64; 3] = [0.01, 0.1, 0.5];

/// False alarms of both tests, of all trials. `accept` says how many of so many are for one rate.
fn equals(runs: u64, accept: impl Fn(u64, u64) -> bool) -> (u64, u64) {
    let tails = tails();
    let mut all = 0;
    for share in SHARES {
        for rate in RATES {
            let (failures, latency) = alarms(runs, 20_000, |_, random| {
                let latency = tails[(random.next() >> 52) as usize];
                let canary = random.part() < share;
                (arm(canary), random.part() < rate, latency)
            });
            println!("share {share}, rate {rate}: {failures} + {latency} of {runs}");
            assert!(accept(failures + latency, runs), "{share} {rate}");
            assert!(rate > 0.0 || failures == 0);
            all += failures + latency;
        }
    }
    println!("{all} of {}", runs * 18);
    (all, runs * 18)
}

#[test]
fn false_alarms_are_fewer_than_one_in_a_hundred() {
    let (alarms, trials) = equals(runs(300), rare);
    assert!(alarms * 100 < trials, "{alarms} of {trials}");
}

#[test]
#[ignore = "takes a minute"]
fn false_alarms_are_fewer_than_one_in_a_hundred_for_each_rate_and_share() {
    equals(4000, |alarms, trials| alarms * 100 < trials);
}

#[test]
fn nothing_that_befalls_both_is_an_alarm() {
    let slow = Duration::from_millis(500);
    let usual = Duration::from_millis(5);
    let runs = runs(400);
    let mut all = 0;
    // a dependency that is down for a while, again and again, or for the rest of the time
    for (up, down) in [(300, 30), (1000, 7), (5000, 1_000_000), (37, 41)] {
        let (failures, latency) = alarms(runs, 10_000, |index, random| {
            let is_down = index % (up + down) >= up;
            let canary = random.part() < 0.1;
            let failed = random.part() < if is_down { 0.9 } else { 0.001 };
            (arm(canary), failed, if is_down { slow } else { usual })
        });
        println!("{up} {down}: {failures} + {latency} of {runs}");
        all += failures + latency;
    }
    assert!(rare(all, runs * 4), "{all}");
}

#[test]
fn how_the_requests_are_dealt_out_is_no_alarm() {
    let usual = Duration::from_millis(5);
    let runs = runs(400);
    let mut all = 0;
    for rate in [0.02, 0.3] {
        let deal = |canary: fn(u64, &mut Random) -> bool| {
            let (failures, latency) = alarms(runs, 10_000, |index, random| {
                (arm(canary(index, random)), random.part() < rate, usual)
            });
            println!("{rate}: {failures} + {latency} of {runs}");
            failures + latency
        };
        // each tenth
        all += deal(|index, _| index % 10 == 9);
        // a large client comes and goes, and keeps to the canary
        all += deal(|index, random| random.part() < if index / 700 % 2 == 1 { 0.6 } else { 0.05 });
        // the canary answers first, or begins late
        all += deal(|index, random| index < 10 || random.part() < 0.1);
        all += deal(|index, random| index > 900 && random.part() < 0.1);
    }
    assert!(rare(all, runs * 8), "{all}");
}

/// In how many trials the canary was not taken back within so many of its requests; and within how
/// many it was in 99 of 100.
fn found(
    share: f64,
    running: f64,
    canary: f64,
    within: u64,
    seeds: std::ops::Range<u64>,
) -> (u64, u64) {
    let runs = seeds.end - seeds.start;
    let mut ends: Vec<u64> = seeds
        .filter_map(|seed| {
            let request = |_, random: &mut Random| {
                let is_canary = random.part() < share;
                let rate = if is_canary { canary } else { running };
                let latency = Duration::from_millis(5);
                (arm(is_canary), random.part() < rate, latency)
            };
            run(100_000, request, seed)
        })
        .map(|end| {
            assert!(matches!(end.verdict, Verdict::Failures { .. }));
            end.canary
        })
        .collect();
    ends.sort_unstable();
    let late = ends.iter().filter(|canary| **canary > within).count();
    let missed = runs - ends.len() as u64 + late as u64;
    let most = ends.get(usize::try_from(runs * 99 / 100).expect("few"));
    (missed, most.copied().unwrap_or(u64::MAX))
}

/// Share, rates of the running release and the canary, and within how many requests of the canary it
/// should be found in 99 of 100 trials.
const WORSE: [(f64, f64, f64, u64); 12] = [
    (0.1, 0.0, 0.05, 200),
    (0.1, 0.001, 0.05, 220),
    (0.1, 0.01, 0.05, 700),
    (0.1, 0.0, 1.0, 12),
    (0.1, 0.001, 1.0, 12),
    (0.1, 0.2, 1.0, 18),
    (0.1, 0.5, 1.0, 30),
    (0.1, 0.2, 0.5, 130),
    (0.01, 0.0, 0.05, 160),
    (0.01, 0.0, 1.0, 10),
    (0.5, 0.0, 0.05, 400),
    (0.5, 0.0, 1.0, 25),
];

#[test]
fn a_release_that_fails_more_is_taken_back() {
    for (share, running, canary, within) in WORSE {
        let runs = runs(1000);
        let (missed, _) = found(share, running, canary, within, 0..runs);
        println!("share {share}, {running} -> {canary}: {missed} of {runs} after {within}");
        assert!(rare(missed, runs), "{share} {running} {canary}: {missed}");
    }
}

#[test]
#[ignore = "takes a minute"]
fn a_release_that_fails_more_is_taken_back_in_99_of_100_trials() {
    for (share, running, canary, within) in WORSE {
        let (missed, most) = found(share, running, canary, 200, 0..20_000);
        println!(
            "share {share}, {running} -> {canary}: within {most}, {missed} of 20000 after 200"
        );
        assert!(most <= within, "{share} {running} {canary}: {most}");
    }
}

#[test]
fn a_release_that_begins_to_fail_late_is_taken_back() {
    for running in [0.001, 0.2] {
        for seed in 0..runs(200) {
            let end = run(
                40_000,
                |index, random| {
                    let canary = random.part() < 0.1;
                    let rate = if canary && index >= 20_000 {
                        0.7
                    } else {
                        running
                    };
                    (arm(canary), random.part() < rate, Duration::from_millis(5))
                },
                seed,
            );
            let canary = end.map(|end| end.canary.saturating_sub(2000));
            assert!(
                canary.is_some_and(|canary| canary < 300),
                "{seed}: {canary:?}"
            );
        }
    }
}

/// Within how many requests of a canary whose latencies are `times` the running release's 99 of 100
/// are taken back.
fn found_slow(deviation: f64, times: f64, runs: u64) -> u64 {
    let mut ends: Vec<u64> = (0..runs)
        .filter_map(|seed| {
            let request = |_, random: &mut Random| {
                let canary = random.part() < 0.1;
                let latency = lognormal(random, deviation) * if canary { times } else { 1.0 };
                (
                    arm(canary),
                    random.part() < 0.01,
                    Duration::from_secs_f64(latency),
                )
            };
            run(30_000, request, seed)
        })
        .filter(|end| matches!(end.verdict, Verdict::Latency { .. }))
        .map(|end| end.canary)
        .collect();
    ends.sort_unstable();
    let most = ends.get(usize::try_from(runs * 98 / 100).expect("few"));
    most.copied().unwrap_or(u64::MAX)
}

#[test]
fn a_release_that_is_three_times_slower_is_taken_back() {
    for (deviation, within) in [(0.0, 40), (0.5, 60), (1.0, 250), (1.5, 600)] {
        let most = found_slow(deviation, 3.0, runs(300));
        println!("deviation {deviation}: within {most}");
        assert!(most <= within, "{deviation}: {most}");
    }
}

#[test]
fn differences_too_small_to_matter_are_no_alarm() {
    let runs = runs(300);
    let (_, tolerated) = alarms(runs, 10_000, |_, random| {
        let canary = random.part() < 0.1;
        let latency = lognormal(random, 0.5) * if canary { 1.5 } else { 1.0 };
        (arm(canary), false, Duration::from_secs_f64(latency))
    });
    // twenty times slower, but by less than a millisecond
    let (_, tiny) = alarms(runs, 10_000, |_, random| {
        let canary = random.part() < 0.1;
        let latency = lognormal(random, 0.5) * if canary { 0.08 } else { 0.004 };
        let latency = latency.min(0.000_9);
        (arm(canary), false, Duration::from_secs_f64(latency))
    });
    println!("{tolerated} and {tiny} of {runs}");
    assert!(tolerated * 100 <= runs && tiny == 0);
}

#[test]
fn what_the_running_release_did_is_what_counts() {
    // the canary fails, and is slow, half as often
    let (failures, latency) = alarms(runs(200), 20_000, |_, random| {
        let canary = random.part() < 0.1;
        let rate = if canary { 0.1 } else { 0.2 };
        let latency = lognormal(random, 1.0) * if canary { 0.5 } else { 1.0 };
        (
            arm(canary),
            random.part() < rate,
            Duration::from_secs_f64(latency),
        )
    });
    assert_eq!((failures, latency), (0, 0));
}

const FAILED: Observation = Observation {
    failed: true,
    latency: Duration::ZERO,
};

#[test]
fn more_failures_than_allowed_end_it_at_once_and_for_good() {
    let mut trial = Trial::new(Limits {
        max_failures: Some(2),
    });
    for _ in 0..2 {
        assert_eq!(trial.observe(Arm::Running, FAILED), None);
        assert_eq!(trial.observe(Arm::Canary, FAILED), None);
    }
    let verdict = Some(Verdict::TooMany {
        failures: 3,
        most: 2,
    });
    assert_eq!(trial.observe(Arm::Canary, FAILED), verdict);
    assert_eq!(trial.observe(Arm::Canary, FAILED), verdict);
    assert_eq!(trial.tally(Arm::Canary).failures, 4);
}

#[test]
fn few_requests_can_be_enough_when_the_time_is_over() {
    let fine = Observation {
        failed: false,
        latency: Duration::from_millis(1),
    };
    let mut trial = Trial::new(Limits::default());
    for index in 0..24 {
        let verdict = match index % 8 {
            7 => trial.observe(Arm::Canary, FAILED),
            _ => trial.observe(Arm::Running, fine),
        };
        assert_eq!(verdict, None);
    }
    let verdict = trial.conclude().map(|verdict| verdict.to_string());
    let says = "it failed 3 of its 3 requests (100.0 %), the running release 0 of 21 (0.0 %)";
    assert_eq!(verdict.as_deref(), Some(says));
}

#[test]
fn a_verdict_is_a_sentence() {
    let latency = Verdict::Latency {
        canary: Duration::from_millis(30),
        running: Duration::from_micros(9500),
    };
    let says = "it is slower: one in ten of its answers took longer than 30.0 ms, of the running \
                release's longer than 9.5 ms";
    assert_eq!(latency.to_string(), says);
    let many = Verdict::TooMany {
        failures: 11,
        most: 10,
    };
    assert_eq!(many.to_string(), "11 of its requests failed, and 10 may");
}

#[test]
#[ignore = "measures"]
fn an_observation_costs_little() {
    let mut random = Random(1);
    let requests: Vec<Request> = (0..1_000_000)
        .map(|_| {
            let latency = Duration::from_secs_f64(lognormal(&mut random, 1.0));
            (arm(random.part() < 0.1), random.part() < 0.05, latency)
        })
        .collect();
    let mut trial = Trial::new(Limits::default());
    let began = std::time::Instant::now();
    for (arm, failed, latency) in &requests {
        let observation = Observation {
            failed: *failed,
            latency: *latency,
        };
        std::hint::black_box(trial.observe(*arm, observation));
    }
    println!("{:?} each", began.elapsed() / 1_000_000);
}

fn observations(most: usize) -> impl Strategy<Value = Vec<(bool, bool, u64)>> {
    let latency = prop_oneof![Just(0), 1u64..5000, Just(u64::MAX)];
    proptest::collection::vec((any::<bool>(), any::<bool>(), latency), 0..most)
}

fn observe(trial: &mut Trial, (canary, failed, latency): (bool, bool, u64)) -> Option<Verdict> {
    let latency = match latency {
        u64::MAX => Duration::MAX,
        latency => Duration::from_micros(latency),
    };
    trial.observe(arm(canary), Observation { failed, latency })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 64 } else { 512 }))]

    #[test]
    fn any_sequence_has_finite_evidence_and_a_verdict_that_stays(
        all in observations(2000), times in 1usize..5, most: Option<u8>,
    ) {
        let mut trial = Trial::new(Limits { max_failures: most.map(u64::from) });
        let mut verdict = None;
        for one in all.iter().cycle().take(all.len() * times) {
            let now = observe(&mut trial, *one);
            prop_assert!(verdict.is_none() || now == verdict);
            verdict = now;
            let Evidence { failures, latency } = trial.evidence();
            prop_assert!(failures.is_finite() && latency.is_finite());
            prop_assert!(failures > 0.0 && latency > 0.0);
        }
        let last = trial.conclude();
        prop_assert!(verdict.is_none() || last == verdict);
        prop_assert!(last.is_none_or(|verdict| !verdict.to_string().is_empty()));
    }

    #[test]
    fn the_order_of_what_comes_at_the_same_time_does_not_matter(
        all in observations(500), seed: u64,
    ) {
        let mut random = Random(seed);
        let (mut one, mut other) = (Trial::new(Limits::default()), Trial::new(Limits::default()));
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            // what comes together is told together, in whichever order
            let left = usize::try_from(one.block.left()).expect("few");
            let (now, later) = rest.split_at(left.min(rest.len()));
            rest = later;
            let mut shuffled = now.to_vec();
            for index in (1..shuffled.len()).rev() {
                shuffled.swap(index, usize::try_from(random.next() % (index as u64 + 1)).expect("few"));
            }
            let verdict = now.iter().fold(None, |_, next| observe(&mut one, *next));
            let same = shuffled.iter().fold(None, |_, next| observe(&mut other, *next));
            prop_assert_eq!(verdict, same);
            prop_assert_eq!(one.evidence(), other.evidence());
        }
        prop_assert_eq!(one.conclude(), other.conclude());
        prop_assert_eq!(one.evidence(), other.evidence());
    }
}
