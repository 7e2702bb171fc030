//! Which requests are refused because they kill the instances that get them?
//!
//! A request that ends three instances in a row, and was never answered in between, is poison: to
//! run it again costs an instance each time, and whoever shares that instance. Its fingerprint
//! (method, path with query, body) is refused for a while. Then one try is let through, as by a
//! half-open circuit breaker (Nygard, *Release It!*; message brokers know the rule as a delivery
//! limit: quorum queues of `RabbitMQ`, the redrive policy of SQS): if it kills again the next
//! quarantine is twice as long, if it is answered all is forgotten. Only deaths count that the
//! request itself can have caused ([`Suspicion::counts`]), and those that others may have caused, for
//! they were in the same instance, are not enough. The memory is bounded and fades; it belongs to
//! one release, for the next may be the cure. [`watch::Watch`] keeps the price for all other requests at
//! one atomic load while nothing is under suspicion, and at one short hash while something is.

mod ward;
mod watch;

use std::collections::{HashMap, VecDeque};
use std::fmt::{Display, Write};
use std::hash::RandomState;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use super::exit::{Death, ExitReason, InstanceId};

pub use self::ward::Ward;
pub use self::watch::{Fingerprint, Watch};

/// How severe the policy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instances in a row that a fingerprint has to end; 3. At most one of them in company.
    pub kills: NonZeroU32,
    /// How long the first quarantine lasts; 60 s.
    pub first: Duration,
    /// How long the longest lasts; an hour.
    pub longest: Duration,
    /// How long a kill, or a quarantine that is over, is remembered; 10 min.
    pub memory: Duration,
    /// Fingerprints that are remembered; 1024.
    pub fingerprints: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            kills: NonZeroU32::MIN.saturating_add(2),
            first: Duration::from_mins(1),
            longest: Duration::from_hours(1),
            memory: Duration::from_mins(10),
            fingerprints: NonZeroUsize::MIN.saturating_add(1023),
        }
    }
}

/// An instance died under a request.
#[derive(Clone, Copy, Debug)]
pub struct Suspicion {
    /// When, on a clock that only goes forward.
    pub now: Duration,
    /// The instance.
    pub instance: InstanceId,
    /// How it ended.
    pub death: Death,
    /// The try began late because its job had waited, or the host itself was short of time.
    pub hindered: bool,
}

impl Suspicion {
    /// Whether the request can be the cause. What an operator, a drain, a client or the host did is
    /// not, and a deadline is only where the guest had its time and spent it computing.
    pub fn counts(&self) -> bool {
        match self.death.reason {
            ExitReason::Trap | ExitReason::Memory => true,
            ExitReason::Deadline => self.death.computing && !self.hindered,
            ExitReason::Retired
            | ExitReason::Ejected
            | ExitReason::Start
            | ExitReason::Killed
            | ExitReason::Abandoned
            | ExitReason::Call
            | ExitReason::Unavailable
            | ExitReason::Host => false,
        }
    }
}

/// What becomes of a request under suspicion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It runs as any other.
    Pass,
    /// It runs, and its end decides: [`Quarantine::died`], [`succeeded`](Quarantine::succeeded) or
    /// [`withdrawn`](Quarantine::withdrawn).
    Probe,
    /// It is refused.
    Refuse {
        /// When another may be let through.
        retry_after: Duration,
    },
}

/// One of the deaths that a fingerprint caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// When.
    pub at: Duration,
    /// The instance.
    pub instance: InstanceId,
    /// How it ended.
    pub reason: ExitReason,
}

/// What is held against one fingerprint, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Which.
    pub fingerprint: Fingerprint,
    /// `METHOD /path`, without the query, which may hold secrets.
    pub line: String,
    /// Instances it ended since it was last answered.
    pub kills: u64,
    /// The last of them, oldest first.
    pub last: Vec<Kill>,
    /// Requests refused.
    pub refused: u64,
    /// When its quarantine ends or ended; `None` while it is only under suspicion.
    pub until: Option<Duration>,
}

/// When to ask again while a probe decides.
const SOON: Duration = Duration::from_secs(1);
/// Kills kept as evidence of one fingerprint.
const KEPT: usize = 8;
/// Bytes kept of a request's line.
const LINE: usize = 256;

struct Suspect {
    line: String,
    kills: u64,
    alone: u64,
    last: VecDeque<Kill>,
    /// When it was last seen to kill or was refused.
    seen: Duration,
    refused: u64,
    until: Option<Duration>,
    /// Quarantines in a row.
    times: u32,
    /// When the try that decides began.
    probe: Option<Duration>,
}

/// The memory of the policy for one release.
pub struct Quarantine {
    limits: Limits,
    suspects: HashMap<Fingerprint, Suspect>,
    watch: Arc<Watch>,
}

impl Quarantine {
    /// Suspects nobody. `keys` keep clients from choosing requests that look alike.
    pub fn new(limits: Limits, keys: RandomState) -> Self {
        Self {
            limits,
            suspects: HashMap::new(),
            watch: Arc::new(Watch::new(keys)),
        }
    }

    /// What requests look at before they look at this, without a lock.
    pub fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    /// When a request whose line the [`Watch`] knows should come back, if it is refused now. To be
    /// asked when it arrives, so that it need not wait for the refusal.
    pub fn refuses(&mut self, now: Duration, fingerprint: &Fingerprint) -> Option<Duration> {
        let suspect = self.suspects.get_mut(fingerprint)?;
        let until = suspect.until?;
        let retry_after = match suspect.probe {
            None => until.saturating_sub(now),
            // one that nobody heard of again does not keep the door shut for ever
            Some(at) => (at + self.limits.first).saturating_sub(now).min(SOON),
        };
        if retry_after.is_zero() {
            return None;
        }
        suspect.refused += 1;
        suspect.seen = now;
        Some(retry_after)
    }

    /// Whether such a request may run. To be asked when it has got a place, each time it is run: while
    /// it waited others like it may have done their harm.
    pub fn admit(&mut self, now: Duration, fingerprint: &Fingerprint) -> Admission {
        self.fade(now);
        let refused = self.refuses(now, fingerprint);
        let Some(suspect) = self.suspects.get_mut(fingerprint) else {
            return Admission::Pass;
        };
        if let Some(retry_after) = refused {
            return Admission::Refuse { retry_after };
        }
        if suspect.until.is_none() {
            return Admission::Pass;
        }
        suspect.probe = Some(now);
        Admission::Probe
    }

    /// An instance died under a request; `line` is its `METHOD /path`. `true` if that put it in
    /// quarantine.
    pub fn died(
        &mut self,
        fingerprint: &Fingerprint,
        line: &dyn Display,
        suspicion: &Suspicion,
    ) -> bool {
        if !suspicion.counts() {
            self.withdrawn(fingerprint);
            return false;
        }
        self.fade(suspicion.now);
        if !self.suspects.contains_key(fingerprint) {
            self.make_room();
        }
        let fresh = || Suspect {
            line: shortened(line),
            kills: 0,
            alone: 0,
            last: VecDeque::with_capacity(KEPT),
            seen: suspicion.now,
            refused: 0,
            until: None,
            times: 0,
            probe: None,
        };
        let suspect = self.suspects.entry(*fingerprint).or_insert_with(fresh);
        suspect.kills += 1;
        suspect.alone += u64::from(!suspicion.death.in_company);
        suspect.seen = suspicion.now;
        if suspect.last.len() == KEPT {
            suspect.last.pop_front();
        }
        suspect.last.push_back(Kill {
            at: suspicion.now,
            instance: suspicion.instance,
            reason: suspicion.death.reason,
        });
        let kills = u64::from(self.limits.kills.get());
        let guilty = match suspect.until {
            None => suspect.kills >= kills && suspect.alone + 1 >= kills,
            // one that was let through before the quarantine began adds nothing to it
            Some(until) => suspicion.now >= until,
        };
        if guilty {
            let factor = 2u32.saturating_pow(suspect.times);
            let rest = self.limits.first.saturating_mul(factor);
            suspect.times += 1;
            suspect.probe = None;
            suspect.until =
                Some(suspicion.now + rest.min(self.limits.longest.max(self.limits.first)));
        }
        self.publish();
        guilty
    }

    /// A request whose line the [`Watch`] knows was answered: whatever its fingerprint did is
    /// forgiven. `true` if anything was.
    pub fn succeeded(&mut self, fingerprint: &Fingerprint) -> bool {
        let known = self.suspects.remove(fingerprint).is_some();
        if known {
            self.publish();
        }
        known
    }

    /// A probe ended without telling anything: it was shed, its client went away, the host stopped
    /// it. Another may be let through.
    pub fn withdrawn(&mut self, fingerprint: &Fingerprint) {
        if let Some(suspect) = self.suspects.get_mut(fingerprint) {
            suspect.probe = None;
        }
    }

    /// What is held against whom, the latest first.
    pub fn evidence(&self) -> Vec<Evidence> {
        let mut all: Vec<_> = self.suspects.iter().collect();
        all.sort_by_key(|(_, suspect)| std::cmp::Reverse(suspect.seen));
        let describe = |(fingerprint, suspect): (&Fingerprint, &Suspect)| Evidence {
            fingerprint: *fingerprint,
            line: suspect.line.clone(),
            kills: suspect.kills,
            last: suspect.last.iter().copied().collect(),
            refused: suspect.refused,
            until: suspect.until,
        };
        all.into_iter().map(describe).collect()
    }

    /// Forgets what is long ago, so that the watch falls silent again.
    fn fade(&mut self, now: Duration) {
        let before = self.suspects.len();
        let memory = self.limits.memory;
        self.suspects.retain(|_, suspect| {
            let since = suspect.until.unwrap_or(suspect.seen).max(suspect.seen);
            now.saturating_sub(since) <= memory
        });
        if self.suspects.len() < before {
            self.publish();
        }
    }

    /// Forgets the one that is missed least: under suspicion rather than in quarantine, then the one
    /// not seen for the longest time.
    fn make_room(&mut self) {
        while self.suspects.len() >= self.limits.fingerprints.get() {
            let least = self
                .suspects
                .iter()
                .min_by_key(|(_, suspect)| (suspect.until.is_some(), suspect.seen));
            let Some((&least, _)) = least else { return };
            self.suspects.remove(&least);
        }
    }

    fn publish(&self) {
        self.watch.publish(self.suspects.keys());
    }
}

/// `line`, within [`LINE`] bytes.
fn shortened(line: &dyn Display) -> String {
    struct Bounded(String);
    impl Write for Bounded {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let room = LINE.saturating_sub(self.0.len());
            self.0.push_str(&text[..text.floor_char_boundary(room)]);
            Ok(())
        }
    }
    let mut bounded = Bounded(String::new());
    let _ = write!(bounded, "{line}");
    bounded.0
}

#[cfg(test)]
mod tests;
