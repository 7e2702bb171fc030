//! A service: its current release, that release's instances, and the way of a job through them.
//!
//! [`Service::dispatch`] is the loop at the heart of Wharf: find a place in an instance, hand the
//! [`errand`] over, and if the instance dies under it, decide whether another may have it. The instance
//! works on it in the caller's task for as long as it has nothing to wait for ([`mailbox`]). All the
//! decisions are made by pure functions ([`balance`], [`failover`], [`restart`]); the state is owned
//! by the [`pool`] and its [`supervisor`].

pub mod admission;
mod ahead;
pub mod balance;
mod burst;
pub mod calling;
pub mod downshift;
mod drive;
pub mod ejection;
pub mod errand;
pub mod exit;
pub mod failover;
pub mod gate;
mod guarded;
mod keeper;
pub mod launch;
pub mod lease;
pub mod mailbox;
pub mod meter;
pub mod pool;
pub mod quarantine;
mod queue;
pub mod restart;
pub mod shares;
pub mod status;
pub mod supervisor;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::{Instant, timeout_at};
use tracing::info;

use self::calling::Calling;
use self::errand::{Awaited, Errand};
use self::exit::{Death, ExitLog, ExitReason, InstanceId, unix_seconds};
use self::failover::{Interrupted, RetryBudget};
use self::gate::{Gate, Share, Turn};
use self::guarded::Waiting;
use self::lease::Lease;
use self::pool::{Phase, Pool, Refused};
use self::quarantine::Ward;
use self::status::{
    Counts as StatusCounts, DeployError, InstanceState, ReleaseStatus, ServiceState, ServiceStatus,
    Suspect,
};
use self::supervisor::Supervisor;
use crate::config::{Manifest, ServiceName};
use crate::dispatch::{Attempt, AttemptError, DispatchError, Effects};
use crate::telemetry::metrics::{Metrics, ServiceMetrics};
use crate::telemetry::shards::Counts;

/// How long after its deadline a job is given up even if nobody has told it so.
const GRACE: Duration = Duration::from_millis(250);

/// The services by name.
pub type Catalog = ArcSwap<BTreeMap<ServiceName, Arc<Service>>>;

/// What all services write into.
pub struct Ledger {
    instances: AtomicU64,
    /// The last exits.
    pub exits: ExitLog,
    /// The metric families.
    pub metrics: Metrics,
    /// Who shares the processors.
    pub gate: Arc<Gate>,
}

impl Ledger {
    /// An empty ledger, of services that share the processors behind `gate`.
    pub fn new(gate: Arc<Gate>) -> Arc<Self> {
        Arc::new(Self {
            gate,
            instances: AtomicU64::new(0),
            exits: ExitLog::default(),
            metrics: Metrics::new(),
        })
    }

    /// A name no instance of this process had before.
    pub fn next_instance(&self) -> InstanceId {
        InstanceId(self.instances.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// What names a release.
#[derive(Clone, Debug)]
pub struct ReleaseInfo {
    /// The service.
    pub service: ServiceName,
    /// SHA-256 of the component, as hex.
    pub digest: Arc<str>,
    /// When it was made, before it was published.
    pub made: SystemTime,
}

/// One version of a service, with its instances.
pub struct Release {
    /// What names it.
    pub info: Arc<ReleaseInfo>,
    /// What its operator wants.
    pub manifest: Manifest,
    /// Its instances.
    pub pool: Arc<Pool>,
    /// What it doesn't take any more.
    pub ward: Ward,
    /// Who keeps them alive.
    pub supervisor: Supervisor,
}

/// What a name in the services directory stands for.
pub struct Service {
    /// The name.
    pub name: ServiceName,
    /// What is counted of it.
    pub metrics: ServiceMetrics,
    /// Its share of the processors.
    pub share: Arc<Share>,
    current: ArcSwapOption<Release>,
    budget: Mutex<RetryBudget>,
    born: Instant,
    requests: Counts<1>,
    deploy_error: Mutex<Option<DeployError>>,
}

impl Service {
    /// A service that has no release yet.
    pub fn new(name: ServiceName, ledger: &Ledger) -> Arc<Self> {
        let metrics = ledger.metrics.service(&name);
        Arc::new(Self {
            share: ledger.gate.join(metrics.cpu.clone()),
            metrics,
            name,
            current: ArcSwapOption::empty(),
            budget: Mutex::new(RetryBudget::new(Duration::ZERO)),
            born: Instant::now(),
            requests: Counts::default(),
            deploy_error: Mutex::new(None),
        })
    }

    /// The release that new jobs go to.
    pub fn current(&self) -> Option<Arc<Release>> {
        self.current.load_full()
    }

    /// Makes a release the one that new jobs go to, or none. Returns the one before.
    pub fn publish(&self, release: Option<Arc<Release>>) -> Option<Arc<Release>> {
        if let Some(release) = &release {
            self.share.set_weight(release.manifest.weight);
            self.metrics.deploys.inc();
            *self.deploy_error.lock() = None;
        }
        self.current.swap(release)
    }

    /// Notes that a file was not taken, and why.
    pub fn note_deploy_error(&self, message: String) {
        self.metrics.deploy_failures.inc();
        *self.deploy_error.lock() = Some(DeployError {
            at: unix_seconds(SystemTime::now()),
            message,
        });
    }

    /// Forgets why the last file was not taken: the file as it is now is the one that runs.
    pub fn clear_deploy_error(&self) {
        *self.deploy_error.lock() = None;
    }

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
        let mut successor = None;
        let mut tries = 0;
        loop {
            let release = successor.as_ref().unwrap_or(release);
            let (pool, calling) = (&release.pool, calling.as_ref());
            let place = match tries {
                0 => pool.acquire(job.deadline(), calling).await,
                _ => pool.acquire_again(job.deadline(), calling).await,
            };
            let lease = match place {
                Ok(lease) => Arc::new(lease),
                Err(Refused::Closed) => {
                    successor = Some(self.successor(release)?);
                    continue;
                }
                Err(refused) => return Err(self.shed(refused)),
            };
            let trial = match request.map_or(Ok(None), |request| release.ward.admit(request)) {
                Ok(trial) => trial,
                Err(retry_after) => return Err(self.quarantined(retry_after)),
            };
            if let Some(calling) = calling {
                calling.runs_in(&lease);
            }
            tries += 1;
            let turn = self.share.turn(job.deadline()).await;
            let left = job.time_left();
            let (attempt, effects, answer) = attempt(job, &lease, tries, trial.is_some());
            let outcome = hand_over::<E>(&lease, attempt, answer, turn).await?;
            let instance = lease.instance();
            let death = match outcome {
                Some(Ok(outcome)) => {
                    // whatever the guest made of a body that was cut, the client shall know why
                    if let Some(error) = job.fault() {
                        return Err(error);
                    }
                    match job.finish(outcome, Arc::clone(&lease)).await {
                        Ok(answer) => {
                            if let Some(trial) = trial {
                                trial.answered();
                            }
                            return Ok(answer);
                        }
                        Err(death) => death,
                    }
                }
                Some(Err(AttemptError::Guest(message))) => {
                    lease.note_answer(true);
                    lease.mark_served();
                    return Err(job.fault().unwrap_or(DispatchError::Guest(message)));
                }
                Some(Err(AttemptError::NotStarted)) => {
                    tries -= 1;
                    drop(lease);
                    self.pause_if_gone(release, job).await?;
                    continue;
                }
                Some(Err(AttemptError::Died(death))) => death,
                // a killed instance's task is gone without a word
                None => Death::of(ExitReason::Killed),
            };
            drop(lease);
            if let Some(trial) = trial {
                trial.died();
            }
            self.note_crash(release, death);
            if let Some(request) = request
                && job.fault().is_none()
            {
                let time = (left, release.manifest.limits.timeout);
                release.ward.died(request, instance, death, time);
            }
            self.replay_or_fail(release, job, &effects, tries, death.reason)?;
        }
    }

    /// The release that took over from one that is closed.
    fn successor(&self, closed: &Arc<Release>) -> Result<Arc<Release>, DispatchError> {
        match self.current() {
            Some(current) if !Arc::ptr_eq(&current, closed) => Ok(current),
            _ => Err(DispatchError::Gone),
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
        if refused == Refused::Deadline {
            return DispatchError::Deadline;
        }
        self.metrics.sheds.inc();
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

    /// A snapshot for the operator.
    pub fn status(&self) -> ServiceStatus {
        let current = self.current();
        let instances = current
            .as_ref()
            .map(|release| release.pool.instances())
            .unwrap_or_default();
        let deploy_error = self.deploy_error.lock().clone();
        let state = match &current {
            None if deploy_error.is_some() => ServiceState::Refused,
            None => ServiceState::Starting,
            Some(release) => {
                let live = instances
                    .iter()
                    .filter(|instance| instance.state != InstanceState::Draining)
                    .count();
                match release.pool.phase() {
                    Phase::Broken { .. } | Phase::Probing => ServiceState::Broken,
                    Phase::Draining | Phase::Closed => ServiceState::Draining,
                    Phase::Open if live < release.manifest.instances.count.get() => {
                        ServiceState::Degraded
                    }
                    Phase::Open => ServiceState::Ready,
                }
            }
        };
        ServiceStatus {
            name: self.name.to_string(),
            state,
            release: current.as_ref().map(|release| ReleaseStatus {
                digest: release.info.digest.to_string(),
                deployed_at: unix_seconds(release.info.made),
            }),
            routes: current
                .as_ref()
                .map(|release| {
                    release
                        .manifest
                        .routes
                        .iter()
                        .map(ToString::to_string)
                        .collect()
                })
                .unwrap_or_default(),
            instances,
            queued: current.as_ref().map_or(0, |release| release.pool.load().1),
            concurrency: current
                .as_ref()
                .map_or(0, |release| release.pool.concurrency().get()),
            quarantine: current
                .as_ref()
                .map(|release| {
                    release
                        .ward
                        .evidence()
                        .into_iter()
                        .map(Suspect::of)
                        .collect()
                })
                .unwrap_or_default(),
            counts: StatusCounts {
                requests: self.requests.sums()[0],
                starts: self.metrics.starts.get(),
                exits: self.metrics.exits(),
                replays: self.metrics.replays.get(),
                sheds: self.metrics.sheds.get(),
                deploys: self.metrics.deploys.get(),
                cpu_seconds: self.metrics.cpu.total().as_secs_f64(),
            },
            last_deploy_error: deploy_error,
        }
    }
}

/// One try of a job, with its effects and where its answer comes.
fn attempt<E: Errand>(
    job: &E,
    lease: &Arc<Lease>,
    tries: u32,
    suspect: bool,
) -> (Attempt, Arc<Effects>, Awaited<E::Outcome>) {
    let (work, answer) = job.work();
    let caller = job.caller();
    let callers = caller.map(|caller| caller.effects.clone());
    let effects = Arc::new(Effects::part_of(callers.unwrap_or_default()));
    let attempt = Attempt {
        id: job.id().clone(),
        line: job.line(),
        work,
        deadline: job.deadline(),
        tries,
        suspect,
        depth: caller.map_or(0, |caller| caller.depth + 1),
        effects: Arc::clone(&effects),
        lease: Arc::clone(lease),
    };
    (attempt, effects, answer)
}

/// Hands a try to an instance and waits for what comes of it; `None` if the instance went without a
/// word. The `turn` is over as soon as the guest has to wait.
async fn hand_over<E: Errand>(
    lease: &Arc<Lease>,
    attempt: Attempt,
    mut answer: Awaited<E::Outcome>,
    turn: Turn,
) -> Result<Option<Result<E::Outcome, AttemptError>>, DispatchError> {
    let deadline = attempt.deadline;
    let waiting = Waiting::on(lease);
    if lease.send(attempt).is_err() {
        waiting.over();
        return Ok(Some(Err(AttemptError::NotStarted)));
    }
    drop(turn);
    let outcome = match answer.try_recv() {
        // the guest had nothing to wait for
        Ok(answer) => Some(answer),
        Err(TryRecvError::Closed) => None,
        Err(TryRecvError::Empty) => timeout_at(deadline + GRACE, answer)
            .await
            .map_err(|_| DispatchError::Deadline)?
            .ok(),
    };
    waiting.over();
    Ok(outcome)
}

#[cfg(test)]
mod tests;
