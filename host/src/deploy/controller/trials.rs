//! Releases under observation: canaries that have to stand up to the running release, and releases
//! that have just taken over. What fails is taken back, loudly.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, timeout};

use super::publish::Candidate;
use super::{Controller, Ended};
use crate::config::{Rollout, ServiceName};
use crate::deploy::fingerprint::Fingerprint;
use crate::deploy::operator::{Outcome, Progress, Refusal};
use crate::deploy::prepare::Origin;
use crate::deploy::releases::{Pin, State, Why};
use crate::service::canary::Canary;
use crate::service::canary::trial::Arm;
use crate::service::exit::unix_seconds;
use crate::service::pool::Phase;
use crate::service::status::TakenBack;
use crate::service::{Release, ReleaseInfo};
use crate::telemetry::events::{Event, Kind};

/// How long a release that took over has to hold out: if its breaker opens before that, and the one
/// before was well, that one is put back.
const PROBATION: Duration = Duration::from_mins(1);

/// How soon a failed release is looked at again while another is on its way.
const SOON: Duration = Duration::from_millis(250);

/// A release that is being tried.
pub(super) struct Tried {
    pub(super) canary: Arc<Canary>,
    /// What takes over if it does well.
    candidate: Candidate,
}

impl Tried {
    /// Whether it was made of this content.
    pub(super) fn is_of(&self, content: &Fingerprint) -> bool {
        self.candidate.fingerprint.as_ref() == Some(content)
    }

    /// What names it.
    pub(super) fn info(&self) -> &ReleaseInfo {
        &self.canary.release.info
    }
}

/// How an observation ended.
pub(super) enum Found {
    /// It held out.
    Sound,
    /// It failed; how.
    Failed(String),
}

impl Controller {
    /// Gives a release its share of the requests, and has it watched.
    pub(super) fn start_canary(&mut self, candidate: Candidate, rollout: &Rollout) {
        let name = candidate.name.clone();
        let release = &candidate.warm.release;
        let canary = Canary::new(Arc::clone(release), rollout);
        candidate.warm.links.set(candidate.bindings.clone());
        let event = Event::of(Kind::CanaryStarted).release(&release.info);
        let share = canary.share.part() * 100.0;
        self.tell(event.say(format!(
            "a new release gets {share} % of the requests for {} s",
            rollout.lasts.as_secs_f64()
        )));
        let outcome = Outcome::of(&release.info, Progress::Canary);
        self.settle_pin(&name);
        let Some(entry) = self.entries.get_mut(&name) else {
            return;
        };
        entry.told(candidate.fingerprint.as_ref(), &Ok(outcome));
        entry.service.note(|notes| notes.deploy_error = None);
        let before = entry.service.try_out(Some(Arc::clone(&canary)));
        entry.tried = Some(Tried {
            canary: Arc::clone(&canary),
            candidate,
        });
        if let Some(before) = before {
            self.drop_canary(&name, &before, "another release came before it was decided");
        }
        self.decided(&name);
        self.tasks.spawn(async move {
            let found = observe(&canary).await;
            Ended::Tried(name, canary, found)
        });
    }

    /// The canary's time is over, or its fate decided earlier. Gives back what takes over.
    pub(super) fn on_tried(
        &mut self,
        name: &ServiceName,
        canary: &Arc<Canary>,
        found: Found,
    ) -> Option<Candidate> {
        let entry = self.entries.get_mut(name)?;
        // another one may be tried by now
        let tried = entry
            .tried
            .take_if(|tried| Arc::ptr_eq(&tried.canary, canary))?;
        match found {
            Found::Sound => {
                entry.known.preparing += 1;
                let proven = Candidate {
                    proven: true,
                    ..tried.candidate
                };
                // else it is held, as all that is to be published
                if !self.has_to_wait(&proven) {
                    self.tell_passed(canary);
                }
                Some(proven)
            }
            Found::Failed(reason) => {
                entry.service.try_out(None);
                let seen = tried.candidate.fingerprint.clone();
                entry.told(seen.as_ref(), &Err(Refusal::Refused(reason.clone())));
                let running = entry.live.as_ref().map(|live| live.info.revision);
                self.tell_taken_back(name, &canary.release, seen, running, reason);
                self.retire(name.clone(), Arc::clone(&canary.release));
                None
            }
        }
    }

    fn tell_passed(&self, canary: &Canary) {
        let own = canary.tally(Arm::Canary);
        let event = Event::of(Kind::CanaryPassed).release(&canary.release.info);
        self.tell(event.say(if own.requests == 0 {
            "the new release met no request in its time, and gets all untried".to_owned()
        } else {
            format!(
                "the new release did as well as the running one, on {} requests of which {} failed, and gets all",
                own.requests, own.failures
            )
        }));
    }

    /// Ends a canary for a reason that is not its own.
    pub(super) fn end_canary(&mut self, name: &ServiceName, why: &str) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        entry.tried = None;
        if let Some(canary) = entry.service.try_out(None) {
            self.drop_canary(name, &canary, why);
        }
    }

    fn drop_canary(&mut self, name: &ServiceName, canary: &Canary, why: &str) {
        let revision = canary.release.info.revision;
        let archive = &self.workshop.archive;
        archive.mark(name, revision, State::Kept, Some(why.to_owned()));
        self.retire(name.clone(), Arc::clone(&canary.release));
    }

    /// Watches a release that has just taken over from another.
    pub(super) fn watch(&mut self, name: &ServiceName, release: &Arc<Release>, before: &Release) {
        if before.pool.phase() != Phase::Open {
            // it is not worth going back to
            return;
        }
        let (name, release) = (name.clone(), Arc::clone(release));
        let good = before.info.revision;
        self.tasks.spawn(async move {
            let start = Instant::now();
            let found = match timeout(PROBATION, release.pool.broken()).await {
                Ok(()) => Found::Failed(format!(
                    "its instances failed one after the other, {:.1} s after it had taken over",
                    start.elapsed().as_secs_f64()
                )),
                Err(_) => Found::Sound,
            };
            Ended::Watched {
                name,
                release,
                good,
                found,
            }
        });
    }

    /// A release that had just taken over has failed, or held out.
    pub(super) fn on_watched(
        &mut self,
        name: &ServiceName,
        release: &Arc<Release>,
        good: u64,
        found: Found,
    ) {
        let Found::Failed(reason) = found else { return };
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        let is_live = entry
            .live
            .as_ref()
            .is_some_and(|live| Arc::ptr_eq(live, release));
        if !is_live {
            return;
        }
        if entry.known.preparing > 0 {
            // one is on its way that may be well; if it isn't, this is looked at again
            let (name, release) = (name.clone(), Arc::clone(release));
            self.tasks.spawn(async move {
                sleep(SOON).await;
                Ended::Watched {
                    name,
                    release,
                    good,
                    found: Found::Failed(reason),
                }
            });
            return;
        }
        let seen = entry.known.running.clone();
        self.tell_taken_back(name, release, seen, Some(good), reason);
        self.order(name, Origin::Kept(good));
    }

    /// Says that the host takes a release back, and runs another one in place of the files.
    fn tell_taken_back(
        &mut self,
        name: &ServiceName,
        release: &Release,
        seen: Option<Fingerprint>,
        good: Option<u64>,
        reason: String,
    ) {
        let (revision, digest) = (release.info.revision, &release.info.digest);
        let event = Event::of(Kind::RolledBack).release(&release.info);
        self.tell(
            event
                .reason(reason.clone())
                .say(format!("release {revision} is taken back: {reason}")),
        );
        let archive = &self.workshop.archive;
        archive.mark(name, revision, State::TakenBack, Some(reason.clone()));
        let at = SystemTime::now();
        // who is told of it finds it after a restart, too
        if let (Some(seen), Some(run)) = (seen, good) {
            let pin = Pin {
                seen,
                run,
                why: Why::TakenBack,
                taken_back: Some(revision),
                reason: reason.clone(),
                at,
            };
            self.keep_pin(name, pin);
        }
        let Some(entry) = self.entries.get(name) else {
            return;
        };
        entry.service.metrics.rollbacks.inc();
        entry.service.note(|notes| {
            notes.taken_back = Some(TakenBack {
                revision,
                digest: digest.to_string(),
                at: unix_seconds(at),
                reason,
            });
        });
    }

    /// Something else than its files runs in a service, after a restart, too.
    pub(super) fn keep_pin(&mut self, name: &ServiceName, pin: Pin) {
        self.workshop.archive.pin(name, pin.clone());
        if let Some(entry) = self.entries.get_mut(name) {
            entry.pin = Some(pin);
        }
    }

    /// A release from the files is taken: nothing else is run in their place any more.
    pub(super) fn settle_pin(&mut self, name: &ServiceName) {
        if let Some(entry) = self.entries.get_mut(name)
            && entry.forget_pin().is_some()
        {
            self.workshop.archive.unpin(name);
        }
    }
}

/// Waits until a canary's fate is decided.
async fn observe(canary: &Canary) -> Found {
    tokio::select! {
        biased;
        verdict = canary.failed() => Found::Failed(verdict.to_string()),
        () = canary.release.pool.broken() => Found::Failed("its instances failed one after the other".to_owned()),
        () = sleep(canary.lasts) => match canary.conclude() {
            Some(verdict) => Found::Failed(verdict.to_string()),
            None => Found::Sound,
        },
    }
}
