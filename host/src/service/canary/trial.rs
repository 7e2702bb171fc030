//! Is a canary worse than the release that runs?
//!
//! Both get requests over the same time, and after each block of them two questions are asked of the
//! table that it makes: of the requests that failed, are too many the canary's? And of those that
//! were slow? The answer is a *safe test for 2x2 tables*, as of Turner, Ly and Grünwald (*Generic
//! E-variables for exact sequential k-sample tests that allow for optional stopping*, 2024), but
//! conditional on the margins of the table, as Fisher's exact test is: how much better is the
//! canary's part of the failures explained by "its odds to fail are so many times the running
//! release's" than by "they are the same", averaged over what that factor may be ([`bets`])? Lindon
//! and Malek (*Anytime-valid inference for multinomial count data*, 2022) count the errors of canaries
//! at Netflix in the same spirit. The factors of the blocks are multiplied; the product is an e-value,
//! and where the canary is no worse the probability that it ever reaches [`ENOUGH`] is at most 1 in
//! [`ENOUGH`] (Ville, 1939), however often it is looked at. Both questions share one stake, so that
//! holds for the two of them together.
//!
//! Small samples can't fool it, for a table is judged by the exact distribution that chance gives
//! it, not by an approximation: with a share of a tenth one failure weighs about ten, and mostly it
//! takes three of them with none in the running release. One is never enough. The test is exact if
//! one of two things holds within a block: the requests are drawn by lot, then they may fail as they
//! please, and a dependency that is down for both is no alarm; or they fail independently with the
//! same probability, then they may be dealt out as it pleases, in turns or by the client. So no share
//! has to be known. What it can't see through is a caller that keeps to the canary and fails for
//! reasons of its own, and failures that have one cause and come in a bunch: such are better observed
//! as one.
//!
//! What it costs: with a share of a tenth a canary that fails always is found within 10 of its
//! requests, one that fails 5 % within 200 where the running release never does, and within 215
//! where that fails 0.1 % (each in 99 of 100 trials). Against 1 % it takes 650; where the running
//! release fails 20 %, one that fails half takes 120.
//!
//! Slow is what takes longer than nine tenths of the running release's answers lately ([`latency`]).
//! That bound is fixed before a block begins, so the test stays exact however rough it is. The
//! canary's own bound lies higher, so that a difference which doesn't matter is none.

mod bets;
mod block;
mod latency;
mod verdict;

use std::time::Duration;

use self::bets::{Bets, FAILURES, LATENCY};
use self::block::Block;
use self::latency::{Bound, Latencies};

pub use self::verdict::Verdict;

/// The evidence at which a canary is taken back. By chance that happens to fewer than one in as many.
pub const ENOUGH: f64 = 100.0;

/// The part of the stake that is on the failures. They matter more than a slow answer.
const STAKE: f64 = 0.85;

/// The canary's latencies count when it has answered so many: the first ones find it cold.
const WARM: u64 = 8;

/// What bounds a trial, beside the comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// More failures of the canary than this, and it is taken back whatever the comparison says.
    pub max_failures: Option<u64>,
}

/// Who answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// The new release.
    Canary,
    /// The release that it is to replace.
    Running,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// It failed by the release's own making.
    pub failed: bool,
    /// The time to the answer. That of a failure doesn't count.
    pub latency: Duration,
}

/// What was seen of one arm since the trial began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that ended.
    pub requests: u64,
    /// Those of them that failed.
    pub failures: u64,
}

/// What speaks against the canary: two parts of one e-value, which start at 1 together. Where they
/// reach [`ENOUGH`] together it is taken back. They change when a block of requests is complete.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// That it fails more often.
    pub failures: f64,
    /// That it is slower.
    pub latency: f64,
}

impl Evidence {
    /// The e-value.
    pub fn total(self) -> f64 {
        self.failures + self.latency
    }
}

/// The memory of the policy for one canary.
#[derive(Clone, Debug)]
pub struct Trial {
    limits: Limits,
    canary: Tally,
    running: Tally,
    block: Block,
    failures: Bets,
    latency: Bets,
    /// What is slow in this block; `None` while that isn't known.
    bound: Option<Bound>,
    /// The running release's, lately.
    usual: Latencies,
    /// The canary's, all of them.
    own: Latencies,
    verdict: Option<Verdict>,
}

impl Trial {
    /// Has seen nothing.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            canary: Tally::default(),
            running: Tally::default(),
            block: Block::first(),
            failures: Bets::new(&FAILURES, STAKE),
            latency: Bets::new(&LATENCY, 1.0 - STAKE),
            bound: None,
            usual: Latencies::default(),
            own: Latencies::default(),
            verdict: None,
        }
    }

    /// A request ended. `Some` when the canary is to be taken back; that stays so. Costs some
    /// nanoseconds, and a few microseconds at the end of a block.
    pub fn observe(&mut self, arm: Arm, observation: Observation) -> Option<Verdict> {
        let Observation { failed, latency } = observation;
        let (tally, latencies) = match arm {
            Arm::Canary => (&mut self.canary, &mut self.own),
            Arm::Running => (&mut self.running, &mut self.usual),
        };
        tally.requests += 1;
        tally.failures += u64::from(failed);
        let slow = if failed {
            None
        } else {
            latencies.note(latency);
            self.bound.map(|bound| bound.is_slow(arm, latency))
        };
        if self.block.note(arm, failed, slow) {
            self.close();
        }
        self.verdict = self.verdict.or_else(|| self.limited());
        self.verdict
    }

    /// The time of the trial is over: asks about the requests too that don't make a whole block. It
    /// must not be the failures that decide when it is.
    pub fn conclude(&mut self) -> Option<Verdict> {
        self.close();
        self.verdict
    }

    /// What was seen of one arm.
    pub fn tally(&self, arm: Arm) -> Tally {
        match arm {
            Arm::Canary => self.canary,
            Arm::Running => self.running,
        }
    }

    /// What speaks against the canary.
    pub fn evidence(&self) -> Evidence {
        Evidence {
            failures: self.failures.wealth(),
            latency: self.latency.wealth(),
        }
    }

    fn close(&mut self) {
        let Block { failed, slow, .. } = self.block;
        self.failures.settle(&failed);
        self.latency.settle(&slow);
        self.block = Block::after(self.canary.requests, self.running.requests);
        let warm = self.canary.requests >= WARM;
        self.bound = self.usual.bound().filter(|_| warm);
        self.usual.fade();
        self.verdict = self.verdict.or_else(|| self.compared());
    }

    fn compared(&self) -> Option<Verdict> {
        let evidence = self.evidence();
        if evidence.total() < ENOUGH {
            return None;
        }
        if evidence.failures >= evidence.latency {
            return Some(Verdict::Failures {
                canary: self.canary,
                running: self.running,
            });
        }
        Some(Verdict::Latency {
            canary: self.own.high().unwrap_or_default(),
            running: self.usual.high().unwrap_or_default(),
        })
    }

    fn limited(&self) -> Option<Verdict> {
        let most = self.limits.max_failures?;
        (self.canary.failures > most).then_some(Verdict::TooMany {
            failures: self.canary.failures,
            most,
        })
    }
}

#[cfg(test)]
mod tests;
