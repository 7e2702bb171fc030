//! The way of a job through the instances of a service.
//!
//! This is the loop at the heart of Wharf: find a place in an instance, hand the
//! [`errand`](super::errand) over, and if the instance dies under it, decide whether another may have
//! it. The instance works on it in the caller's task for as long as it has nothing to wait for, and does not
//! compute for long ([`drive`](super::drive)).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::{Instant, timeout_at};
use tracing::info;

use super::calling::Calling;
use super::canary::trial::Arm;
use super::errand::{Awaited, Errand};
use super::exit::{Death, ExitReason, InstanceId};
use super::failover::{self, Interrupted};
use super::gate::Turn;
use super::guarded::Waiting;
use super::lease::Lease;
use super::pool::{Phase, Refused};
use super::{Release, Service};
use crate::clock;
use crate::dispatch::{Attempt, AttemptError, DispatchError, Effects, Particulars};
use crate::telemetry::events::{Event, Kind};
use crate::telemetry::otlp::{Span, Trace};

/// How long after its deadline a job is given up even if nobody has told it so.
const GRACE: Duration = Duration::from_millis(250);

/// What comes of a try.
enum Step<A> {
    /// The job is done.
    Answered(A),
    /// It is to be tried again, on this release, which may be another one.
    Again(Arc<Release>),
}

impl Service {
    /// Runs a job, on as many instances as it takes and is allowed. `release` is the one the
    /// request was routed to; if it is drained meanwhile, its successor gets the job.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub async fn dispatch<E: Errand>(
        &self,
        release: &Arc<Release>,
        job: &E,
    ) -> Result<E::Answer, DispatchError> {
        self.requests.add(0, 1);
        let place = job.caller().and_then(|caller| caller.place.upgrade());
        let calling = place.map(Calling::begin);
        let request = job.request();
        if let Some(retry_after) = request.and_then(|request| release.ward.refuses(request)) {
            return Err(self.quarantined(retry_after));
        }
        let calling = calling.as_ref();
        let mut tries = 0;
        let mut next = None;
        loop {
            let on = next.as_ref().unwrap_or(release);
            match self.run_on(on, job, calling, &mut tries).await? {
                Step::Answered(answer) => return Ok(answer),
                Step::Again(release) => next = Some(release),
            }
        }
    }

    /// One try of a job, on one release.
    async fn run_on<E: Errand>(
        &self,
        release: &Arc<Release>,
        job: &E,
        calling: Option<&Calling>,
        tries: &mut u32,
    ) -> Result<Step<E::Answer>, DispatchError> {
        let (pool, request) = (&release.pool, job.request());
        let noted = job.noted();
        let trace = noted
            .map(|noted| &noted.trace)
            .filter(|trace| !trace.is_nothing());
        let asked = trace.map(|_| Instant::now());
        let place = match *tries {
            0 => pool.acquire(job.deadline(), calling).await,
            _ => pool.acquire_again(job.deadline(), calling).await,
        };
        let lease = match place {
            Ok(lease) => Arc::new(lease),
            Err(refused) => {
                // nobody is to suffer for a release that is only being tried, or was replaced
                let running = self.instead_of(release).map(Step::Again);
                return running.ok_or_else(|| self.shed(refused));
            }
        };
        let trial = match request.map_or(Ok(None), |request| release.ward.admit(request)) {
            Ok(trial) => trial,
            Err(retry_after) => return Err(self.quarantined(retry_after)),
        };
        if let Some(calling) = calling {
            calling.runs_in(&lease);
        }
        *tries += 1;
        let turn = self.share.turn(job.deadline()).await;
        let began = clock::recent();
        let left = job.deadline().saturating_duration_since(began);
        let instance = lease.instance();
        let mut span = Span::none();
        if let Some(noted) = noted {
            noted.progress.tried(instance, *tries);
            if let (Some(trace), Some(asked)) = (trace, asked) {
                trace.past("queue", began - asked);
                span = trace.child("instance");
                span.instance(instance, *tries);
            }
        }
        let within = trace.map(|_| span.trace());
        let (attempt, effects, answer) = attempt(job, &lease, (*tries, trial.is_some()), within);
        let death = match hand_over(job, &lease, attempt, answer, turn).await? {
            Some(Ok((answer, failed))) => {
                self.compare(release, failed, began);
                if let Some(trial) = trial {
                    trial.answered();
                }
                return Ok(Step::Answered(answer));
            }
            Some(Err(AttemptError::Guest(message))) => {
                lease.note_answer(true);
                lease.mark_served();
                if job.fault().is_none() {
                    self.compare(release, true, began);
                }
                return Err(job.fault().unwrap_or(DispatchError::Guest(message)));
            }
            Some(Err(AttemptError::NotStarted)) => {
                *tries -= 1;
                drop(lease);
                self.pause_if_gone(release, job).await?;
                return Ok(Step::Again(Arc::clone(release)));
            }
            Some(Err(AttemptError::Died(death))) => death,
            // a killed instance's task is gone without a word
            None => Death::of(ExitReason::Killed),
        };
        drop(lease);
        span.fail(death.reason.word(), death);
        drop(span);
        if let Some(trial) = trial {
            trial.died();
        }
        self.note_death(release, job, death, (instance, left, began));
        self.replay_or_fail(release, job, &effects, *tries, death.reason)?;
        Ok(Step::Again(
            self.instead_of(release)
                .unwrap_or_else(|| Arc::clone(release)),
        ))
    }

    /// An instance died under a job: what that says about its release, and about the job.
    fn note_death<E: Errand>(
        &self,
        release: &Arc<Release>,
        job: &E,
        death: Death,
        (instance, left, began): (InstanceId, Duration, Instant),
    ) {
        self.note_crash(release, death);
        if job.fault().is_some() {
            return;
        }
        // of several requests that one death ended it may be any that did it, but only one
        if death.reason.is_failure() && !death.in_company {
            self.compare(release, true, began);
        }
        let Some(request) = job.request() else { return };
        let time = (left, release.manifest.limits.timeout);
        if let Some(what) = release.ward.died(request, instance, death, time) {
            self.events
                .tell(Event::of(Kind::Quarantined).service(&self.name).say(what));
        }
    }

    /// The running release, if it is another one: the given one is only being tried, or was replaced.
    fn instead_of(&self, release: &Arc<Release>) -> Option<Arc<Release>> {
        let running = self.current();
        running.filter(|running| !Arc::ptr_eq(running, release))
    }

    /// Tells the canary, if there is one, how a try ended that began at `began`.
    fn compare(&self, release: &Arc<Release>, failed: bool, began: Instant) {
        if let Some(canary) = &*self.canary.load() {
            let arm = if Arc::ptr_eq(&canary.release, release) {
                Arm::Canary
            } else {
                Arm::Running
            };
            canary.observe(arm, failed, began.elapsed());
        }
    }

    /// An instance that ended between the lease and the hand-over is about to leave the pool; lets
    /// the supervisor see it rather than asking for it again at once.
    async fn pause_if_gone<E: Errand>(
        &self,
        release: &Release,
        job: &E,
    ) -> Result<(), DispatchError> {
        tokio::task::yield_now().await;
        if job.time_left().is_zero() {
            return Err(DispatchError::Deadline);
        }
        if release.pool.phase() == Phase::Closed && self.current().is_none() {
            return Err(DispatchError::Gone);
        }
        Ok(())
    }

    /// A guest brought its instance down: requests may be kept apart from one another.
    fn note_crash(&self, release: &Release, death: Death) {
        if matches!(death.reason, ExitReason::Trap | ExitReason::Memory)
            && let Some(now) = release.pool.trapped(death.in_company)
        {
            info!(service = %self.name, concurrency = now.get(),
                "an instance died with several requests in it; until it has earned more, each instance gets fewer at once");
        }
    }

    fn quarantined(&self, retry_after: Duration) -> DispatchError {
        self.metrics.quarantined.inc();
        DispatchError::Quarantined { retry_after }
    }

    fn shed(&self, refused: Refused) -> DispatchError {
        match refused {
            Refused::Deadline => return DispatchError::Deadline,
            Refused::Closed => return DispatchError::Gone,
            _ => self.metrics.sheds.inc(),
        };
        match refused {
            Refused::Broken { retry_after } => DispatchError::Broken { retry_after },
            Refused::Stuck => DispatchError::Stuck,
            Refused::Late { retry_after } => DispatchError::Overloaded { retry_after },
            _ => DispatchError::Overloaded {
                retry_after: Duration::from_secs(1),
            },
        }
    }

    fn replay_or_fail<E: Errand>(
        &self,
        release: &Release,
        job: &E,
        effects: &Effects,
        tries: u32,
        reason: ExitReason,
    ) -> Result<(), DispatchError> {
        if let Some(error) = job.fault() {
            return Err(error);
        }
        let interrupted = Interrupted {
            policy: release.manifest.failover.replay,
            idempotent: job.is_idempotent(),
            // whatever is left of the try, in other services too, can do no more
            no_effects: effects.close(),
            body_replayable: job.is_replayable(),
            tries,
            time_left: job.time_left(),
            reason,
        };
        let allowed = failover::may_replay(&interrupted).and_then(|()| {
            let [requests] = self.requests.sums();
            let granted = self.budget.lock().withdraw(self.born.elapsed(), requests);
            granted.then_some(()).ok_or(failover::Refusal::Budget)
        });
        match allowed {
            Ok(()) => {
                self.metrics.replays.inc();
                info!(service = %self.name, request = %job.id(), tries, reason = reason.word(), "a request is run again");
                Ok(())
            }
            Err(_) if job.time_left().is_zero() => Err(DispatchError::Deadline),
            Err(verdict) => Err(DispatchError::Interrupted { reason, verdict }),
        }
    }
}

/// One try of a job, with its effects and where its answer comes.
fn attempt<E: Errand>(
    job: &E,
    lease: &Arc<Lease>,
    (tries, suspect): (u32, bool),
    trace: Option<&Trace>,
) -> (Attempt, Arc<Effects>, Awaited<E::Outcome>) {
    let (work, answer) = job.work(trace);
    let caller = job.caller();
    let callers = caller.map(|caller| caller.effects.clone());
    let effects = Arc::new(Effects::part_of(callers.unwrap_or_default()));
    let particulars = Particulars {
        id: job.id().clone(),
        line: job.line(),
        deadline: job.deadline(),
        tries,
        suspect,
        depth: caller.map_or(0, |caller| caller.depth + 1),
        lane: job.lane(),
        effects: Arc::clone(&effects),
        lease: Arc::clone(lease),
    };
    let attempt = Attempt {
        work,
        particulars: Box::new(particulars),
    };
    (attempt, effects, answer)
}

/// Hands a try to an instance and waits for what comes of it, the answer and whether it says that the guest
/// failed; `None` if the instance went without a word. The `turn` goes with the try.
async fn hand_over<E: Errand>(
    job: &E,
    lease: &Arc<Lease>,
    attempt: Attempt,
    mut answer: Awaited<E::Outcome>,
    turn: Turn,
) -> Result<Option<Result<(E::Answer, bool), AttemptError>>, DispatchError> {
    let deadline = attempt.particulars.deadline;
    let waiting = Waiting::on(lease);
    let Ok(mut hold) = lease.send(attempt, turn) else {
        waiting.over();
        return Ok(Some(Err(AttemptError::NotStarted)));
    };
    let outcome = match answer.try_recv() {
        // the guest had nothing to wait for
        Ok(answer) => Some(answer),
        Err(TryRecvError::Closed) => None,
        Err(TryRecvError::Empty) => {
            drop(hold.take());
            let answer = timeout_at(deadline + GRACE, answer).await;
            answer.map_err(|_| DispatchError::Deadline)?.ok()
        }
    };
    waiting.over();
    let outcome = match outcome {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => return Ok(Some(Err(error))),
        None => return Ok(None),
    };
    // whatever the guest made of a body that was cut, the client shall know why
    if let Some(error) = job.fault() {
        return Err(error);
    }
    let failed = E::is_failure(&outcome);
    let answer = job.finish(outcome, Arc::clone(lease), hold).await;
    let answer = answer.map(|answer| (answer, failed));
    Ok(Some(answer.map_err(AttemptError::Died)))
}
