//! When is a dead instance replaced, and when does a service rest?
//!
//! The first replacement comes at once; instances that keep dying before they did useful work come
//! back after growing, jittered pauses, and after too many of them the breaker opens. Useful work
//! or quiet time resets the count, as in Erlang/OTP's supervisors: a trap now and then never opens
//! the breaker. A service most of whose requests end in a dead instance opens it too, however
//! healthy its instances look in between.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::Restart;

/// What to do after an exit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Start another instance after a pause.
    Restart {
        /// The pause; zero for at once.
        after: Duration,
    },
    /// Open the breaker.
    Break {
        /// How long the service rests before one instance is tried.
        rest: Duration,
    },
}

/// What the policy sees of one failed instance.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// When, on a clock that only goes forward.
    pub now: Duration,
    /// Requests that the dead instance had served.
    pub served_by_it: u64,
    /// Requests that the whole pool has served so far.
    pub served_by_all: u64,
    /// It died of requests that had killed another instance before, or that their clients broke:
    /// that says more of the request than of the instance.
    pub blameless: bool,
    /// A random number in `0.0..1.0`, for the jitter.
    pub random: f64,
}

/// The memory of the restart policy of one pool.
#[derive(Clone, Debug)]
pub struct Restarts {
    policy: Restart,
    /// Instances in a row that died without useful work in between.
    useless: u32,
    last: Option<Duration>,
    served_at_last: u64,
    /// Deaths inside the window, with what the pool had served by then.
    deaths: VecDeque<(Duration, u64)>,
    /// Times in a row that the breaker opened without a recovery.
    breaks: u32,
}

impl Restarts {
    /// Starts without a memory of failures.
    pub fn new(policy: Restart) -> Self {
        Self {
            policy,
            useless: 0,
            last: None,
            served_at_last: 0,
            deaths: VecDeque::new(),
            breaks: 0,
        }
    }

    /// An instance failed.
    pub fn failed(&mut self, failure: Failure) -> Verdict {
        let fresh_start = failure.served_by_it > 0
            || failure.served_by_all > self.served_at_last
            || self
                .last
                .is_none_or(|last| failure.now.saturating_sub(last) > self.policy.window);
        if fresh_start {
            self.useless = 0;
        }
        self.last = Some(failure.now);
        self.served_at_last = failure.served_by_all;
        if failure.blameless {
            return Verdict::Restart {
                after: Duration::ZERO,
            };
        }
        if failure.served_by_it == 0 {
            self.useless += 1;
        }
        self.remember(failure);
        if self.useless > self.policy.max_failures.get()
            || self.mostly_deaths(failure.served_by_all)
        {
            return self.break_open();
        }
        Verdict::Restart {
            after: self.pause(failure.random),
        }
    }

    /// The one instance that was tried after a rest failed too.
    pub fn probe_failed(&mut self) -> Verdict {
        self.break_open()
    }

    /// The service works again.
    pub fn recovered(&mut self) {
        *self = Self {
            served_at_last: self.served_at_last,
            ..Self::new(self.policy.clone())
        };
    }

    fn remember(&mut self, failure: Failure) {
        self.deaths.push_back((failure.now, failure.served_by_all));
        while self
            .deaths
            .front()
            .is_some_and(|(at, _)| failure.now.saturating_sub(*at) > self.policy.window)
        {
            self.deaths.pop_front();
        }
        // the rule below looks at shares, not at history: a bounded memory is enough
        while self.deaths.len() > 1000 {
            self.deaths.pop_front();
        }
    }

    /// Twice the allowed failures in the window, and fewer requests served than instances lost.
    fn mostly_deaths(&self, served_by_all: u64) -> bool {
        let deaths = self.deaths.len() as u64;
        let served = self
            .deaths
            .front()
            .map_or(0, |(_, before)| served_by_all - before);
        deaths > 2 * u64::from(self.policy.max_failures.get()) && served < deaths
    }

    /// Each opening in a row rests twice as long, up to the longest pause.
    fn break_open(&mut self) -> Verdict {
        let factor = 2u32.saturating_pow(self.breaks);
        self.breaks += 1;
        self.useless = 0;
        self.deaths.clear();
        let most = self.policy.backoff_max.max(self.policy.cooldown);
        Verdict::Break {
            rest: self.policy.cooldown.saturating_mul(factor).min(most),
        }
    }

    fn pause(&self, random: f64) -> Duration {
        if self.useless < 2 {
            return Duration::ZERO;
        }
        let factor = 2u32.saturating_pow(self.useless - 2);
        let full = self
            .policy
            .backoff_min
            .saturating_mul(factor)
            .min(self.policy.backoff_max);
        full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU32;

    fn policy() -> Restart {
        Restart {
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            max_failures: NonZeroU32::new(5).unwrap(),
            window: Duration::from_mins(1),
            cooldown: Duration::from_secs(10),
        }
    }

    fn failure(millis: u64, served_by_it: u64, served_by_all: u64) -> Failure {
        Failure {
            now: Duration::from_millis(millis),
            served_by_it,
            served_by_all,
            blameless: false,
            random: 1.0,
        }
    }

    #[test]
    fn a_crash_loop_waits_longer_each_time_and_then_breaks() {
        let mut restarts = Restarts::new(policy());
        let pauses: Vec<Verdict> = (0..6).map(|n| restarts.failed(failure(n, 0, 0))).collect();
        let restart = |ms| Verdict::Restart {
            after: Duration::from_millis(ms),
        };
        let rest = Duration::from_secs(10);
        assert_eq!(
            pauses,
            [
                restart(0),
                restart(100),
                restart(200),
                restart(400),
                restart(800),
                Verdict::Break { rest }
            ]
        );
        assert_eq!(restarts.probe_failed(), Verdict::Break { rest: rest * 2 });
        assert_eq!(
            restarts.probe_failed(),
            Verdict::Break {
                rest: Duration::from_secs(30)
            }
        );
        restarts.recovered();
        assert_eq!(restarts.failed(failure(10, 0, 0)), restart(0));
    }

    #[test]
    fn a_request_that_kills_three_instances_counts_once() {
        let mut restarts = Restarts::new(policy());
        for n in 0..4 {
            assert!(matches!(
                restarts.failed(failure(n, 0, 0)),
                Verdict::Restart { .. }
            ));
            for _ in 0..2 {
                let again = Failure {
                    blameless: true,
                    ..failure(n, 0, 0)
                };
                assert_eq!(
                    restarts.failed(again),
                    Verdict::Restart {
                        after: Duration::ZERO
                    }
                );
            }
        }
    }

    #[test]
    fn quiet_time_resets_the_count() {
        let mut restarts = Restarts::new(policy());
        for n in 0..50 {
            assert_eq!(
                restarts.failed(failure(n * 61_000, 0, 0)),
                Verdict::Restart {
                    after: Duration::ZERO
                }
            );
        }
    }

    #[test]
    fn a_service_most_of_whose_requests_kill_an_instance_breaks() {
        let mut restarts = Restarts::new(policy());
        // four of five requests trap, the fifth is served
        let broke = (0..20).any(|n| {
            matches!(
                restarts.failed(failure(n * 10, n % 2, n / 4)),
                Verdict::Break { .. }
            )
        });
        assert!(broke);
    }

    proptest! {
        #[test]
        fn one_trap_in_a_hundred_never_breaks(gaps in prop::collection::vec(20u64..200, 1..400)) {
            let mut restarts = Restarts::new(policy());
            let mut served = 0;
            for (n, gap) in gaps.iter().enumerate() {
                served += gap;
                let verdict = restarts.failed(failure(n as u64, gap % 30, served));
                prop_assert_eq!(verdict, Verdict::Restart { after: Duration::ZERO });
            }
        }

        #[test]
        fn a_pause_is_never_longer_than_the_longest(times in prop::collection::vec(0u64..5000, 1..60), random in 0.0f64..1.0) {
            let mut restarts = Restarts::new(policy());
            let mut now = 0;
            for gap in times {
                now += gap;
                match restarts.failed(Failure { random, ..failure(now, 0, 0) }) {
                    Verdict::Restart { after } => prop_assert!(after <= Duration::from_secs(30)),
                    Verdict::Break { rest } => prop_assert!(rest <= Duration::from_secs(30)),
                }
            }
        }
    }
}
