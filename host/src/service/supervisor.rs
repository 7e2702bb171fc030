//! Keeps the instances of one pool alive.
//!
//! One task per pool. It starts instances, sees each of them end, asks [`Restarts`] what to do, and
//! keeps the pool's phase. It knows nothing of WebAssembly: a [`Launch`] runs an instance and tells
//! how it ended, so that the tests here run instances of their own making.
//!
//! ```text
//!   warming ──all are ready──► serving ──too many failures──► resting ──┐
//!      │                         ▲  │                           ▲       │ time
//!      │ one failed              │  │ drain         it failed   │       ▼
//!      ▼                         │  ▼                           └── probing
//!   refused                      │ draining ──► over                    │
//!                                └──────────────── it works ────────────┘
//! ```

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::exit::{Exit, ExitReason, ExitRecord, InstanceId, unix_seconds};
use super::pool::{Mailbox, Phase, Pool, Vitals};
use super::restart::{Failure, Restarts, Verdict};
use super::{Ledger, ReleaseInfo};
use crate::config::Restart;
use crate::dispatch::Attempt;
use crate::telemetry::metrics::ServiceMetrics;

/// What a new instance is given.
pub struct Seat {
    /// Its name.
    pub id: InstanceId,
    /// Its attempts. Closed when it is to end.
    pub mailbox: mpsc::UnboundedReceiver<Attempt>,
    /// Where it tells about itself.
    pub vitals: Arc<Vitals>,
    /// To be sent when it can take attempts.
    pub ready: oneshot::Sender<()>,
}

/// Runs instances.
pub trait Launch: Send + Sync + 'static {
    /// Requests one instance may hold at once.
    fn concurrency(&self) -> NonZeroUsize;

    /// Runs one instance until its mailbox closes or something ends it. Attempts it hadn't started
    /// by then are answered [`NotStarted`](crate::dispatch::AttemptError::NotStarted).
    fn run(&self, seat: Seat) -> BoxFuture<'static, Ended>;
}

/// How an instance ended, with what the restart policy must know.
#[derive(Clone, Debug)]
pub struct Ended {
    /// For the operator.
    pub exit: Exit,
    /// All it was working on were requests that had killed another instance before.
    pub repeat: bool,
}

/// What the supervisor is told.
enum Command {
    Ready(InstanceId),
    Kill(InstanceId, oneshot::Sender<bool>),
    Drain(Instant),
}

/// The operator's end of a supervisor.
pub struct Supervisor {
    commands: mpsc::UnboundedSender<Command>,
    task: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

impl Supervisor {
    /// Starts `count` instances. The receiver hears when all of them are ready, or how the first
    /// that wasn't ended; in that case the supervisor is over.
    pub fn start(
        pool: Arc<Pool>,
        launcher: Arc<dyn Launch>,
        count: NonZeroUsize,
        restart: Restart,
        release: Arc<ReleaseInfo>,
        ledger: Arc<Ledger>,
        metrics: ServiceMetrics,
    ) -> (Self, oneshot::Receiver<Result<(), Exit>>) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (warm, warmed) = oneshot::channel();
        let keeper = Keeper {
            pool,
            launcher,
            count: count.get(),
            restarts: Restarts::new(restart.clone()),
            cooldown: restart.cooldown,
            release,
            ledger,
            metrics,
            commands: commands.downgrade(),
            tasks: JoinSet::new(),
            running: HashMap::new(),
            planned: Vec::new(),
            stage: Stage::Warming {
                warm,
                left: count.get(),
            },
            born: Instant::now(),
        };
        let task = tokio::spawn(keeper.run(inbox));
        (
            Self {
                commands,
                task: parking_lot::Mutex::new(Some(task)),
            },
            warmed,
        )
    }

    /// Ends one instance at once. `false` if there is none of that name.
    pub async fn kill(&self, id: InstanceId) -> bool {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Kill(id, reply)).is_ok() && answer.await.unwrap_or(false)
    }

    /// Lets the pool finish what it has, then ends it; at `until` whatever is left is killed.
    pub fn drain(&self, until: Instant) {
        // a supervisor that is over has nothing left to drain
        let _ = self.commands.send(Command::Drain(until));
    }

    /// Waits until the supervisor is over.
    pub async fn ended(&self) {
        let task = self.task.lock().take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            warn!(%error, "a supervisor failed");
        }
    }
}

enum Stage {
    Warming {
        warm: oneshot::Sender<Result<(), Exit>>,
        left: usize,
    },
    Serving,
    Resting {
        until: Instant,
    },
    Probing {
        healthy_at: Instant,
    },
    Draining {
        until: Instant,
    },
}

struct Running {
    id: InstanceId,
    abort: AbortHandle,
    since: Instant,
    /// Until it is ready.
    starting: Option<(Mailbox, Arc<Vitals>)>,
}

/// The state that the supervisor's task owns.
struct Keeper {
    pool: Arc<Pool>,
    launcher: Arc<dyn Launch>,
    count: usize,
    restarts: Restarts,
    cooldown: Duration,
    release: Arc<ReleaseInfo>,
    ledger: Arc<Ledger>,
    metrics: ServiceMetrics,
    commands: mpsc::WeakUnboundedSender<Command>,
    tasks: JoinSet<Ended>,
    running: HashMap<Id, Running>,
    /// When an instance is to be started.
    planned: Vec<Instant>,
    stage: Stage,
    born: Instant,
}

impl Keeper {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        for _ in 0..self.count {
            self.launch();
        }
        let mut reachable = true;
        loop {
            let alarm = self.alarm();
            let pool = Arc::clone(&self.pool);
            tokio::select! {
                Some(ended) = self.tasks.join_next_with_id() => {
                    if self.ended(ended) {
                        break;
                    }
                }
                command = inbox.recv(), if reachable => match command {
                    Some(command) => self.obey(command),
                    None => {
                        reachable = false;
                        self.drain(Instant::now());
                    }
                },
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => self.on_alarm(),
                () = pool.recovered(), if matches!(self.stage, Stage::Probing { .. }) => self.recovered(),
                () = pool.drained(), if matches!(self.stage, Stage::Draining { .. }) && !self.retired() => {
                    self.pool.set_phase(Phase::Closed);
                    self.pool.retire_all();
                }
            }
            if matches!(self.stage, Stage::Draining { .. }) && self.tasks.is_empty() {
                break;
            }
        }
        self.pool.set_phase(Phase::Closed);
    }

    fn retired(&self) -> bool {
        self.pool.phase() == Phase::Closed
    }

    fn alarm(&self) -> Option<Instant> {
        let stage = match self.stage {
            Stage::Warming { .. } | Stage::Serving => None,
            Stage::Resting { until } | Stage::Draining { until } => Some(until),
            Stage::Probing { healthy_at } => Some(healthy_at),
        };
        stage.into_iter().chain(self.planned.iter().copied()).min()
    }

    fn on_alarm(&mut self) {
        let now = Instant::now();
        match self.stage {
            Stage::Resting { until } if until <= now => {
                info!(service = %self.release.service, "the breaker lets one instance try");
                self.stage = Stage::Probing {
                    healthy_at: now + self.cooldown,
                };
                self.pool.set_phase(Phase::Probing);
                self.launch();
            }
            Stage::Probing { healthy_at } if healthy_at <= now => {
                // no request came to prove it, but it has lived long enough; if it is still
                // starting, wait on
                if self
                    .running
                    .values()
                    .any(|running| running.starting.is_none())
                {
                    self.recovered();
                } else {
                    self.stage = Stage::Probing {
                        healthy_at: now + self.cooldown,
                    };
                }
            }
            Stage::Draining { until } if until <= now => {
                self.tasks.abort_all();
                self.stage = Stage::Draining {
                    until: now + Duration::from_secs(3600),
                };
            }
            _ => {}
        }
        let due = self.planned.iter().filter(|at| **at <= now).count();
        self.planned.retain(|at| *at > now);
        for _ in 0..due {
            self.launch();
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Ready(id) => self.ready(id),
            Command::Kill(id, reply) => {
                let found = self.running.values().find(|running| running.id == id);
                if let Some(running) = found {
                    running.abort.abort();
                }
                let _ = reply.send(found.is_some());
            }
            Command::Drain(until) => self.drain(until),
        }
    }

    fn drain(&mut self, until: Instant) {
        self.planned.clear();
        self.stage = Stage::Draining { until };
        self.pool.set_phase(Phase::Draining);
    }

    fn launch(&mut self) {
        let id = self.ledger.next_instance();
        let (mailbox, receiver) = mpsc::unbounded_channel();
        let vitals = Arc::new(Vitals::default());
        let (ready, is_ready) = oneshot::channel();
        let work = self.launcher.run(Seat {
            id,
            mailbox: receiver,
            vitals: Arc::clone(&vitals),
            ready,
        });
        let commands = self.commands.clone();
        let abort = self.tasks.spawn(async move {
            let announce = async {
                if is_ready.await.is_ok()
                    && let Some(commands) = commands.upgrade()
                {
                    let _ = commands.send(Command::Ready(id));
                }
                std::future::pending().await
            };
            tokio::select! {
                ended = work => ended,
                never = announce => never,
            }
        });
        let starting = Some((mailbox, vitals));
        self.running.insert(
            abort.id(),
            Running {
                id,
                abort,
                since: Instant::now(),
                starting,
            },
        );
    }

    fn ready(&mut self, id: InstanceId) {
        let Some(running) = self.running.values_mut().find(|running| running.id == id) else {
            return;
        };
        let Some((mailbox, vitals)) = running.starting.take() else {
            return;
        };
        self.metrics.starts.inc();
        self.pool
            .add(id, mailbox, self.launcher.concurrency().get(), vitals);
        if let Stage::Warming { left, .. } = &mut self.stage {
            *left -= 1;
            if *left == 0
                && let Stage::Warming { warm, .. } =
                    std::mem::replace(&mut self.stage, Stage::Serving)
            {
                let _ = warm.send(Ok(()));
            }
        }
    }

    /// Sees an instance off and decides what follows. `true` if the supervisor is over.
    fn ended(&mut self, ended: Result<(Id, Ended), JoinError>) -> bool {
        let (task, ended) = match ended {
            Ok((task, ended)) => (task, ended),
            Err(error) if error.is_cancelled() => {
                (error.id(), plain(ExitReason::Killed, "it was killed"))
            }
            Err(error) => (
                error.id(),
                plain(ExitReason::Host, format!("the host panicked: {error}")),
            ),
        };
        let Some(running) = self.running.remove(&task) else {
            return false;
        };
        let (served, age) = self
            .pool
            .remove(running.id)
            .unwrap_or((0, running.since.elapsed()));
        self.record(&running, &ended.exit, served, age);
        let reason = ended.exit.reason;
        if let Stage::Warming { .. } = self.stage
            && let Stage::Warming { warm, .. } = std::mem::replace(
                &mut self.stage,
                Stage::Draining {
                    until: Instant::now(),
                },
            )
        {
            let _ = warm.send(Err(ended.exit));
            self.pool.set_phase(Phase::Closed);
            self.tasks.abort_all();
            return self.tasks.is_empty();
        }
        match self.stage {
            Stage::Warming { .. } | Stage::Serving if reason.is_failure() => {
                self.replace(served, ended.repeat)
            }
            Stage::Warming { .. } | Stage::Serving => self.launch(),
            Stage::Probing { .. } if reason.is_failure() => {
                let verdict = self.restarts.probe_failed();
                self.follow(verdict);
            }
            Stage::Probing { .. } => self.launch(),
            Stage::Resting { .. } => {}
            Stage::Draining { .. } => {
                if self.running.is_empty() {
                    self.pool.set_phase(Phase::Closed);
                    return true;
                }
            }
        }
        false
    }

    fn replace(&mut self, served: u64, repeat: bool) {
        let verdict = self.restarts.failed(Failure {
            now: self.born.elapsed(),
            served_by_it: served,
            served_by_all: self.pool.served(),
            repeat,
            random: rand::random(),
        });
        self.follow(verdict);
    }

    fn follow(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Restart { after } if after.is_zero() => self.launch(),
            Verdict::Restart { after } => self.planned.push(Instant::now() + after),
            Verdict::Break { rest } => {
                let seconds = rest.as_secs_f64();
                warn!(service = %self.release.service, rest_seconds = seconds, "too many instances failed; the breaker opens");
                let until = Instant::now() + rest;
                self.planned.clear();
                self.stage = Stage::Resting { until };
                self.pool.set_phase(Phase::Broken { until });
                self.pool.retire_all();
                self.running
                    .values()
                    .filter(|running| running.starting.is_some())
                    .for_each(|r| r.abort.abort());
            }
        }
    }

    fn recovered(&mut self) {
        info!(service = %self.release.service, "the service recovered; the breaker closes");
        self.restarts.recovered();
        self.stage = Stage::Serving;
        self.pool.set_phase(Phase::Open);
        for _ in self.running.len()..self.count {
            self.launch();
        }
    }

    fn record(&self, running: &Running, exit: &Exit, served: u64, age: Duration) {
        self.metrics.exited(exit.reason);
        let service = &self.release.service;
        if exit.reason.is_failure() {
            warn!(%service, instance = %running.id, reason = exit.reason.word(), served, requests = ?exit.requests,
                cause = exit.message, backtrace = ?exit.backtrace, "an instance ended");
        } else {
            tracing::debug!(%service, instance = %running.id, reason = exit.reason.word(), served, "an instance ended");
        }
        self.ledger.exits.push(ExitRecord {
            service: service.to_string(),
            release: self.release.digest.to_string(),
            instance: running.id,
            reason: exit.reason,
            message: exit.message.clone(),
            backtrace: exit.backtrace.clone(),
            requests: exit.requests.clone(),
            age_seconds: age.as_secs_f64(),
            served,
            at: unix_seconds(SystemTime::now()),
        });
    }
}

fn plain(reason: ExitReason, message: impl Into<String>) -> Ended {
    Ended {
        exit: Exit::plain(reason, message),
        repeat: false,
    }
}
