//! What each service did in each of the last seconds, for the operator's charts.
//!
//! Counters only say how many there ever were. Once a second all of them are looked at, and what
//! was added since makes a [`Point`]. A counter that is less than before has begun anew, as those of
//! a service that was removed and added again do; then all of it is new.

mod latency;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::shards::Buckets;
use crate::config::ServiceName;

/// How often the counters are looked at.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// How long points are kept.
pub const KEPT: Duration = Duration::from_mins(2);

/// What was counted of one service so far, and what goes on in it now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Requests answered, refused ones included.
    pub requests: u64,
    /// Those of them whose status was 500 or more.
    pub errors: u64,
    /// Jobs refused for overload or by the breaker.
    pub sheds: u64,
    /// Tries run again.
    pub replays: u64,
    /// Instances that ended.
    pub exits: u64,
    /// Requests in instances at this moment.
    pub in_flight: u64,
    /// How long requests took.
    pub durations: Buckets,
}

/// One second of one service.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Point {
    /// When it ended, in seconds since 1970-01-01 UTC.
    pub at: f64,
    /// Requests answered in it.
    pub requests: u64,
    /// Those of them whose status was 500 or more.
    pub errors: u64,
    /// Jobs refused for overload or by the breaker.
    pub sheds: u64,
    /// Tries run again.
    pub replays: u64,
    /// Instances that ended.
    pub exits: u64,
    /// Requests in instances at its end.
    pub in_flight: u64,
    /// What half of the requests took at most, in seconds; `None` if there were none.
    pub p50_seconds: Option<f64>,
    /// What 99 of 100 requests took at most, in seconds.
    pub p99_seconds: Option<f64>,
    /// How long the second was: the task that looks may be late.
    #[serde(skip)]
    took: Duration,
}

/// The last second of one service, as rates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Live {
    /// When it ended, in seconds since 1970-01-01 UTC.
    pub at: f64,
    /// Requests answered.
    pub requests_per_second: f64,
    /// Those of them whose status was 500 or more.
    pub errors_per_second: f64,
    /// Jobs refused for overload or by the breaker.
    pub sheds_per_second: f64,
    /// Tries run again.
    pub replays_per_second: f64,
    /// Instances that ended.
    pub exits_per_second: f64,
    /// What half of the requests took at most, in seconds; `None` if there were none.
    pub p50_seconds: Option<f64>,
    /// What 99 of 100 requests took at most, in seconds.
    pub p99_seconds: Option<f64>,
}

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Seconds since 1970-01-01 UTC, which may be set back.
    pub at: f64,
    /// By any clock that only goes forward.
    pub clock: Duration,
}

/// The last seconds of all services.
#[derive(Debug, Default)]
pub struct History(BTreeMap<ServiceName, Series>);

/// Those of one service.
#[derive(Debug)]
struct Series {
    clock: Duration,
    totals: Totals,
    points: VecDeque<Point>,
}

impl History {
    /// Takes what was counted up to `now` of all services that there are; the others are forgotten.
    pub fn note(&mut self, now: Moment, services: impl IntoIterator<Item = (ServiceName, Totals)>) {
        let mut before = std::mem::take(&mut self.0);
        let noted = services.into_iter().map(|(name, totals)| {
            let series = match before.remove(&name) {
                Some(series) => series.next(now, totals),
                None => Series::new(now, totals),
            };
            (name, series)
        });
        self.0 = noted.collect();
    }

    /// The points of a service, oldest first; none if it isn't known.
    pub fn points(&self, service: &str) -> Vec<Point> {
        let series = self.0.get(service);
        series.map_or_else(Vec::new, |series| series.points.iter().copied().collect())
    }

    /// The last second of a service; `None` before the first is over.
    pub fn live(&self, service: &str) -> Option<Live> {
        Some(self.0.get(service)?.points.back()?.live())
    }
}

impl Series {
    fn new(now: Moment, totals: Totals) -> Self {
        Self {
            clock: now.clock,
            totals,
            points: VecDeque::new(),
        }
    }

    fn next(mut self, now: Moment, totals: Totals) -> Self {
        let took = now.clock.saturating_sub(self.clock);
        if took.is_zero() {
            // no time, no rate: it goes into the point that comes next
            return self;
        }
        let point = Point::between(&self.totals, &totals, now.at, took);
        self.points.push_back(point);
        let mut kept: Duration = self.points.iter().map(|point| point.took).sum();
        while kept > KEPT
            && let Some(oldest) = self.points.pop_front()
        {
            kept -= oldest.took;
        }
        Self {
            clock: now.clock,
            totals,
            ..self
        }
    }
}

impl Point {
    fn between(before: &Totals, now: &Totals, at: f64, took: Duration) -> Self {
        let durations = latency::added(&before.durations.counts, &now.durations.counts);
        Self {
            at,
            requests: added(before.requests, now.requests),
            errors: added(before.errors, now.errors),
            sheds: added(before.sheds, now.sheds),
            replays: added(before.replays, now.replays),
            exits: added(before.exits, now.exits),
            in_flight: now.in_flight,
            p50_seconds: latency::quantile(&durations, 0.5),
            p99_seconds: latency::quantile(&durations, 0.99),
            took,
        }
    }

    fn live(&self) -> Live {
        let rate = |count| number(count) / self.took.as_secs_f64();
        Live {
            at: self.at,
            requests_per_second: rate(self.requests),
            errors_per_second: rate(self.errors),
            sheds_per_second: rate(self.sheds),
            replays_per_second: rate(self.replays),
            exits_per_second: rate(self.exits),
            p50_seconds: self.p50_seconds,
            p99_seconds: self.p99_seconds,
        }
    }
}

/// What was added to a counter that may have begun anew.
fn added(before: u64, now: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a second are far below 2^52"
)]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
