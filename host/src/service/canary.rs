//! A new release that gets a share of the requests first, and is compared with the one that runs.
//!
//! The comparison itself is a pure policy ([`trial`]). Here is what it is told, and who hears of it.

pub mod trial;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::watch;

use self::trial::{Arm, Evidence, Limits, Observation, Tally, Trial, Verdict};
use super::Release;
use super::lane::Lane;
use crate::config::{Rollout, Share};

/// See the module.
pub struct Canary {
    /// The new release.
    pub release: Arc<Release>,
    /// How much it gets.
    pub share: Share,
    /// When it began.
    pub began: SystemTime,
    /// How long it lasts.
    pub lasts: Duration,
    trial: Mutex<Trial>,
    verdict: watch::Sender<Option<Verdict>>,
}

impl Canary {
    /// A canary that begins now.
    pub fn new(release: Arc<Release>, rollout: &Rollout) -> Arc<Self> {
        Arc::new(Self {
            release,
            share: rollout.canary,
            began: SystemTime::now(),
            lasts: rollout.lasts,
            trial: Mutex::new(Trial::new(Limits {
                max_failures: rollout.max_failures,
            })),
            verdict: watch::Sender::new(None),
        })
    }

    /// Whether a request goes to it.
    pub fn takes(&self, lane: Lane) -> bool {
        lane.is_in(self.share)
    }

    /// A request has ended, in the canary or in the running release.
    pub(super) fn observe(&self, arm: Arm, failed: bool, latency: Duration) {
        let observation = Observation { failed, latency };
        if let Some(verdict) = self.trial.lock().observe(arm, observation) {
            self.verdict.send_if_modified(|known| {
                let first = known.is_none();
                if first {
                    *known = Some(verdict);
                }
                first
            });
        }
    }

    /// Waits until it has proved worse than the running release.
    pub async fn failed(&self) -> Verdict {
        let mut verdict = self.verdict.subscribe();
        loop {
            if let Some(verdict) = &*verdict.borrow_and_update() {
                return *verdict;
            }
            if verdict.changed().await.is_err() {
                // the sender is ours, and can't be gone
                std::future::pending::<()>().await;
            }
        }
    }

    /// Its time is over: whether what was seen since the last look speaks against it after all.
    pub fn conclude(&self) -> Option<Verdict> {
        self.trial.lock().conclude()
    }

    /// What was seen of a side so far.
    pub fn tally(&self, arm: Arm) -> Tally {
        self.trial.lock().tally(arm)
    }

    /// What speaks against it so far.
    pub fn evidence(&self) -> Evidence {
        self.trial.lock().evidence()
    }
}
