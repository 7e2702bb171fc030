//! May an interrupted job be run again?
//!
//! The host sees every effect of a try before it happens. A try without any can be run again as if
//! it had never been, whatever its method. One with effects is run again only if the operator said
//! so, and only for methods that RFC 9110 (9.2.2) calls idempotent.

use std::fmt;
use std::time::Duration;

use super::exit::ExitReason;
use crate::config::Replay;

/// Tries a job gets in all, the first included.
pub const MAX_TRIES: u32 = 3;

/// With less time than this left, another try would only be late.
pub const MIN_TIME_LEFT: Duration = Duration::from_millis(5);

/// What the decision sees of an interrupted try.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted {
    /// What the manifest allows.
    pub policy: Replay,
    /// To do it twice is the same as to do it once, if it is what its method says.
    pub idempotent: bool,
    /// Whether the try had no visible effect.
    pub no_effects: bool,
    /// Whether the body can be read again from its start.
    pub body_replayable: bool,
    /// Tries so far, this one included.
    pub tries: u32,
    /// Time left before the deadline.
    pub time_left: Duration,
    /// What ended the instance.
    pub reason: ExitReason,
}

/// Why an interrupted job is not run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The manifest says never.
    Policy,
    /// Something of it is already visible.
    Effects,
    /// Its body is no longer at hand.
    Body,
    /// It has had all its tries.
    Tries,
    /// Its time is up.
    Time,
    /// What it called failed, and was tried as often as it may be.
    Call,
    /// Too many requests are being replayed already.
    Budget,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Policy => "the service's manifest forbids replays",
            Self::Effects => "part of its work may already be visible, so it was not run again",
            Self::Body => "its body was too large to be kept, so it could not be run again",
            Self::Tries => "it was tried three times",
            Self::Time => "no time was left for another try",
            Self::Call => "what it called had its tries already",
            Self::Budget => "too many requests are being run again already",
        })
    }
}

/// Whether the job may be run again; the retry budget is asked by the caller, last.
///
/// # Errors
///
/// The first reason against it.
pub fn may_replay(try_: &Interrupted) -> Result<(), Refusal> {
    match try_.policy {
        Replay::Never => return Err(Refusal::Policy),
        Replay::Idempotent if try_.no_effects || try_.idempotent => {}
        Replay::Safe if try_.no_effects => {}
        Replay::Safe | Replay::Idempotent => return Err(Refusal::Effects),
    }
    if matches!(try_.reason, ExitReason::Call | ExitReason::Unavailable) {
        // each level would multiply the tries of those below
        Err(Refusal::Call)
    } else if !try_.body_replayable {
        Err(Refusal::Body)
    } else if try_.tries >= MAX_TRIES {
        Err(Refusal::Tries)
    } else if try_.time_left < MIN_TIME_LEFT {
        Err(Refusal::Time)
    } else {
        Ok(())
    }
}

/// Keeps replays to a share of the requests, so that they can't become a storm: a token bucket,
/// filled by each request and by time (the retry budget of Finagle and Linkerd).
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    tokens: f64,
    at: Duration,
    requests: u64,
}

impl RetryBudget {
    /// Replays earned by one request.
    pub const PER_REQUEST: f64 = 0.2;
    /// Replays earned by one second.
    pub const PER_SECOND: f64 = 5.0;
    /// Replays that can be saved up.
    pub const MOST: f64 = 50.0;

    /// A budget that starts with two seconds' worth. `now` is any clock that only goes forward.
    pub fn new(now: Duration) -> Self {
        Self {
            tokens: Self::PER_SECOND * 2.0,
            at: now,
            requests: 0,
        }
    }

    /// Takes one replay out, if there is one. `requests` is how many came in so far.
    #[expect(
        clippy::cast_precision_loss,
        reason = "what is lost is far above the most that can be saved up"
    )]
    pub fn withdraw(&mut self, now: Duration, requests: u64) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        let came = requests.saturating_sub(self.requests) as f64;
        self.at = now.max(self.at);
        self.requests = requests.max(self.requests);
        let earned = passed * Self::PER_SECOND + came * Self::PER_REQUEST;
        self.tokens = (self.tokens + earned).min(Self::MOST);
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use proptest::prelude::*;

    fn base(method: &Method) -> Interrupted {
        Interrupted {
            policy: Replay::Safe,
            idempotent: method.is_idempotent(),
            no_effects: true,
            body_replayable: true,
            tries: 1,
            time_left: Duration::from_secs(1),
            reason: ExitReason::Trap,
        }
    }

    #[test]
    fn without_effects_any_method_is_replayed() {
        for method in [Method::GET, Method::POST, Method::PATCH] {
            assert_eq!(may_replay(&base(&method)), Ok(()));
        }
    }

    #[test]
    fn what_fell_with_a_call_that_had_its_tries_is_not_multiplied() {
        let called = Interrupted {
            reason: ExitReason::Call,
            ..base(&Method::GET)
        };
        assert_eq!(may_replay(&called), Err(Refusal::Call));
    }

    #[test]
    fn with_effects_only_the_operator_can_allow_it_and_only_for_idempotent_methods() {
        let with = |method, policy| {
            may_replay(&Interrupted {
                no_effects: false,
                policy,
                ..base(method)
            })
        };
        assert_eq!(with(&Method::PUT, Replay::Safe), Err(Refusal::Effects));
        assert_eq!(with(&Method::PUT, Replay::Idempotent), Ok(()));
        assert_eq!(
            with(&Method::POST, Replay::Idempotent),
            Err(Refusal::Effects)
        );
        assert_eq!(with(&Method::GET, Replay::Never), Err(Refusal::Policy));
    }

    proptest! {
        #[test]
        fn a_try_with_effects_is_never_replayed_under_safe(
            post: bool, body_replayable: bool, tries in 0u32..6, millis in 0u64..2000
        ) {
            let method = if post { Method::POST } else { Method::GET };
            let try_ = Interrupted {
                no_effects: false, body_replayable, tries, time_left: Duration::from_millis(millis), ..base(&method)
            };
            prop_assert!(may_replay(&try_).is_err());
        }

        #[test]
        fn no_job_is_tried_more_than_three_times(tries in MAX_TRIES..20) {
            prop_assert_eq!(may_replay(&Interrupted { tries, ..base(&Method::GET) }), Err(Refusal::Tries));
        }

        #[test]
        fn replays_stay_within_their_share(requests in 0u64..2000, seconds in 0u32..60) {
            let mut budget = RetryBudget::new(Duration::ZERO);
            let mut replays = 0.0;
            for request in 1..=requests {
                if budget.withdraw(Duration::ZERO, request) { replays += 1.0; }
            }
            for _ in 0..seconds * 20 {
                if budget.withdraw(Duration::from_secs(seconds.into()), requests) { replays += 1.0; }
            }
            let earned = 10.0 + f64::from(u32::try_from(requests).unwrap()) * 0.2 + f64::from(seconds) * 5.0;
            prop_assert!(replays <= earned + 1e-6);
        }
    }
}
