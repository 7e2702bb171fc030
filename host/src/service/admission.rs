//! How many jobs may a service have at once, so that what it admits it also answers in time?
//!
//! By Little's law a service that answers `rate` requests a second and has `n` of them in places
//! and queue answers the next after `n / rate`. So the limit is `rate` times the time that jobs
//! have (half of their deadline, [`Limits::budget`]), and who comes beyond it is shed on arrival,
//! before it has cost anything. The rate is measured: the number of places divided by the time that
//! one is held. Where the places are so many that they crowd one another, for they share a few
//! cores, that is too much: then a place is held much longer than it once was (Vegas; Brakmo and
//! Peterson, 1995), and the rate is what is seen, the places in use divided by that time. Half of a
//! deadline absorbs a burst; for a queue that doesn't become empty for [`INTERVAL`] it would only
//! be a standing delay, so then the limit is that of a short wait. That signal is `CoDel`'s
//! (Nichols and Jacobson, *Controlling queue delay*, 2012), as Facebook uses it (Maurer, *Fail at
//! scale*, 2015). `CoDel` itself drops at the head of the queue, when a job has waited already, and
//! gives way slowly to a flood that does not slow down when it is shed. The gradient limits of
//! Netflix search for the number of places that here is mostly known, and their search costs
//! goodput.

use std::time::Duration;

/// A queue that has not been empty for so long is no burst.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// What a standing queue may cost, as a share of the budget.
const STANDING: f64 = 0.2;

/// What requests that share cores may cost, as a share of the budget: their times differ more.
const SHARED: f64 = 0.5;

/// Samples before anything is shed for what they say: one that took long is no service that does.
const ENOUGH: u32 = 16;

/// The share of a new sample in the averages.
const WEIGHT: f64 = 1.0 / 64.0;

/// What bounds the limit.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Jobs that may wait at the most, whatever is measured.
    pub queue: usize,
    /// Cores that the service may use: so many requests don't crowd one another.
    pub cores: usize,
    /// The time in which a job should be answered, waiting included: half of the service's time
    /// limit is a good value.
    pub budget: Duration,
}

/// The service as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// On a clock that only goes forward.
    pub now: Duration,
    /// Places in instances, taken or free.
    pub places: usize,
    /// Requests that are in places.
    pub in_places: usize,
    /// Jobs that wait.
    pub waiting: usize,
}

/// A job is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed {
    /// When another may be admitted.
    pub retry_after: Duration,
}

/// The memory of the policy for one service.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    limits: Limits,
    /// How long a place is held, in seconds, on average.
    held: f64,
    /// The same of those that did not have to share cores with more than there are.
    alone: f64,
    /// How many places are in use when one comes free, on average.
    used: f64,
    /// When the queue was last seen empty.
    empty: Duration,
    /// Places that came free, as far as it matters.
    samples: u32,
}

impl Admission {
    /// Knows nothing of the service, and admits what the queue may hold.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            held: 0.0,
            alone: 0.0,
            used: 0.0,
            empty: Duration::ZERO,
            samples: 0,
        }
    }

    /// Whether a job that arrives is admitted, to a place or to the queue. `time_left` is what is
    /// left of its deadline; `random` in `0.0..1.0` spreads those that come back.
    ///
    /// # Errors
    ///
    /// When it should come back.
    pub fn arrives(&mut self, load: &Load, time_left: Duration, random: f64) -> Result<(), Shed> {
        if load.waiting == 0 {
            self.empty = self.empty.max(load.now);
        }
        if load.in_places + load.waiting < self.limit(load, time_left) {
            return Ok(());
        }
        let places = number(load.places.max(1));
        let drained = number(load.waiting) * self.held / places;
        Err(Shed {
            retry_after: Duration::from_secs_f64((1.0 + drained) * (1.0 + random.clamp(0.0, 1.0))),
        })
    }

    /// A place came free after it was held for `took`; `load` counts it as taken still. `began_as` is
    /// how many places were taken when it was, itself included.
    pub fn freed(&mut self, load: &Load, began_as: usize, took: Duration) {
        if load.waiting == 0 {
            self.empty = self.empty.max(load.now);
        }
        let (took, used) = (took.as_secs_f64().max(1e-6), number(load.in_places));
        if self.held == 0.0 {
            (self.held, self.used) = (took, used);
        }
        self.samples = self.samples.saturating_add(1);
        self.held += (took - self.held) * WEIGHT;
        self.used += (used - self.used) * WEIGHT;
        if began_as.max(load.in_places) <= self.limits.cores {
            let weight = match self.alone {
                0.0 => 1.0,
                alone if took < alone => WEIGHT * 8.0,
                _ => WEIGHT,
            };
            self.alone += (took - self.alone) * weight;
        }
    }

    /// Jobs that the service may have in places and queue together. At least one is always admitted,
    /// or nothing would ever be measured again.
    pub fn limit(&self, load: &Load, time_left: Duration) -> usize {
        let most = load.places + self.limits.queue;
        if self.samples < ENOUGH {
            return most;
        }
        let budget = self.limits.budget.min(time_left / 2).as_secs_f64();
        let crowded = self.held > budget * SHARED / 2.0 && self.held > self.alone * 2.0;
        if crowded {
            let jobs = self.used / self.held * budget * SHARED;
            return floor(jobs, most)
                .max(self.limits.cores.min(load.places))
                .max(1);
        }
        let places = number(load.places);
        let rate = places / self.held;
        let jobs = if load.now.saturating_sub(self.empty) > INTERVAL {
            // some wait in any case, so that no place is ever idle for want of one
            places + (rate * budget * STANDING).max(places / 2.0)
        } else {
            places.max(rate * budget)
        };
        floor(jobs, most).max(1)
    }
}

#[expect(clippy::cast_precision_loss, reason = "jobs are far fewer than 2^52")]
fn number(count: usize) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is between 0 and most"
)]
fn floor(jobs: f64, most: usize) -> usize {
    jobs.clamp(0.0, number(most)) as usize
}

#[cfg(test)]
mod tests;
