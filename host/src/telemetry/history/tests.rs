use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::telemetry::shards::Durations;

fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

fn second(number: u32) -> Moment {
    Moment {
        at: 1000.0 + f64::from(number),
        clock: INTERVAL * number,
    }
}

fn requests(requests: u64) -> Totals {
    Totals {
        requests,
        ..Totals::default()
    }
}

/// The history of one service with these totals, a second apart.
fn of(totals: impl IntoIterator<Item = Totals>) -> History {
    let mut history = History::default();
    for (number, totals) in (0..).zip(totals) {
        history.note(second(number), [(name("a"), totals)]);
    }
    history
}

#[test]
fn a_point_is_what_was_added_in_its_second() {
    let durations = Durations::default();
    (0..100).for_each(|_| durations.observe(Duration::from_micros(700)));
    let now = Totals {
        requests: 112,
        errors: 3,
        in_flight: 5,
        durations: durations.buckets(),
        ..Totals::default()
    };
    let history = of([requests(12), now]);
    let [point] = history.points("a")[..] else {
        panic!("one second, one point")
    };
    assert_eq!((point.requests, point.errors, point.in_flight), (100, 3, 5));
    let p50 = 0.0004 * 2f64.powf(0.5);
    assert!((point.p50_seconds.unwrap() - p50).abs() < 1e-9);
    let mut shown = serde_json::to_value(point).unwrap();
    shown["p50_seconds"].take();
    shown["p99_seconds"].take();
    assert_eq!(
        shown,
        json!({
            "at": 1001.0, "requests": 100, "errors": 3, "sheds": 0, "replays": 0, "exits": 0,
            "in_flight": 5, "p50_seconds": null, "p99_seconds": null,
        })
    );
}

#[test]
fn rates_take_into_account_how_long_the_second_was() {
    let mut history = History::default();
    history.note(second(0), [(name("a"), requests(0))]);
    assert_eq!(history.live("a"), None);
    history.note(second(2), [(name("a"), requests(100))]);
    let live = history.live("a").unwrap();
    assert!((live.requests_per_second - 50.0).abs() < 1e-9);
    assert_eq!((live.p50_seconds, live.p99_seconds), (None, None));
    assert_eq!(history.live("b"), None);
}

#[test]
fn two_looks_at_the_same_moment_lose_nothing() {
    let mut history = of([requests(0)]);
    history.note(second(0), [(name("a"), requests(5))]);
    history.note(second(1), [(name("a"), requests(7))]);
    assert_eq!(history.points("a")[0].requests, 7);
}

#[test]
fn a_removed_service_is_forgotten_and_begins_anew() {
    let mut history = of([requests(0), requests(5)]);
    history.note(second(2), []);
    assert!(history.points("a").is_empty());
    history.note(second(3), [(name("a"), requests(2))]);
    assert_eq!(history.live("a"), None);
    history.note(second(4), [(name("a"), requests(3))]);
    assert_eq!(history.points("a")[0].requests, 1);
}

#[test]
fn points_are_kept_for_two_minutes() {
    let history = of((0..500).map(requests));
    let points = history.points("a");
    assert_eq!(points.len(), 120);
    assert!(points.is_sorted_by(|a, b| a.at < b.at));
    assert!((points[119].at - 1499.0).abs() < 1e-9);
}

proptest! {
    #[test]
    fn what_is_counted_is_in_the_points_and_nothing_is_negative(
        steps in proptest::collection::vec((0u64..1000, proptest::bool::weighted(0.1)), 1..100)
    ) {
        // all that was ever counted, and the counter, which begins anew now and then
        let (mut all, mut counter) = (0, 0);
        let totals = steps.into_iter().map(|(added, anew)| {
            // one that grows beyond what it was within the second can't be told from one that went on
            if anew && added < counter {
                counter = 0;
            }
            counter += added;
            all += added;
            requests(counter)
        });
        let totals: Vec<_> = std::iter::once(requests(0)).chain(totals).collect();
        let points = of(totals).points("a");
        prop_assert_eq!(points.iter().map(|point| point.requests).sum::<u64>(), all);
    }
}
