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
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::drive::Drive;
use super::exit::{Exit, ExitReason, ExitRecord, InstanceId, unix_seconds};
use super::launch::{Ended, Seat};
use super::lease::Vitals;
use super::mailbox::{self, Mailbox};
use super::meter::Meter;
use super::pool::{Left, Phase};
use super::restart::{Failure, Restarts, Verdict};
use super::supervisor::{Command, Crew};
use crate::telemetry::events::{Event, Kind, Level};

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
    /// It finishes what it had when the breaker opened, and is not replaced.
    given_up: bool,
}

/// The state that the supervisor's task owns.
pub(super) struct Keeper {
    crew: Crew,
    restarts: Restarts,
    commands: mpsc::WeakUnboundedSender<Command>,
    tasks: JoinSet<Ended>,
    running: HashMap<Id, Running>,
    /// When an instance is to be started.
    planned: Vec<Instant>,
    stage: Stage,
    born: Instant,
}

impl Keeper {
    /// A keeper that has started nothing yet. `warm` hears when all instances are ready, or how the
    /// first that wasn't ended.
    pub(super) fn new(
        crew: Crew,
        commands: mpsc::WeakUnboundedSender<Command>,
        warm: oneshot::Sender<Result<(), Exit>>,
    ) -> Self {
        let left = crew.count.get();
        Self {
            restarts: Restarts::new(crew.restart.clone()),
            crew,
            commands,
            tasks: JoinSet::new(),
            running: HashMap::new(),
            planned: Vec::new(),
            stage: Stage::Warming { warm, left },
            born: Instant::now(),
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        for _ in 0..self.crew.count.get() {
            self.launch();
        }
        let mut reachable = true;
        loop {
            let alarm = self.alarm();
            let pool = Arc::clone(&self.crew.pool);
            tokio::select! {
                Some(ended) = self.tasks.join_next_with_id() => {
                    if self.ended(ended) {
                        break;
                    }
                }
                command = inbox.recv(), if reachable => {
                    reachable = command.is_some();
                    match command {
                        Some(command) => self.obey(command),
                        None => self.drain(Instant::now()),
                    }
                }
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => self.on_alarm(),
                () = pool.recovered(), if matches!(self.stage, Stage::Probing { .. }) => self.recovered(),
                () = pool.drained(), if matches!(self.stage, Stage::Draining { .. }) && !self.retired() => {
                    self.crew.pool.set_phase(Phase::Closed);
                    self.crew.pool.retire_all();
                }
            }
            if matches!(self.stage, Stage::Draining { .. }) && self.tasks.is_empty() {
                break;
            }
        }
        self.crew.pool.set_phase(Phase::Closed);
    }

    fn retired(&self) -> bool {
        self.crew.pool.phase() == Phase::Closed
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
                info!(service = %self.crew.release.service, "the breaker lets one instance try");
                self.stage = Stage::Probing {
                    healthy_at: now + self.crew.restart.cooldown,
                };
                self.crew.pool.begin_probe();
                self.launch();
            }
            Stage::Probing { healthy_at } if healthy_at <= now => {
                // no request came to prove it, but it has lived long enough; if it is still
                // starting, wait on
                let is_up = |running: &Running| !running.given_up && running.starting.is_none();
                if self.running.values().any(is_up) {
                    self.recovered();
                } else {
                    self.stage = Stage::Probing {
                        healthy_at: now + self.crew.restart.cooldown,
                    };
                }
            }
            Stage::Draining { until } if until <= now => {
                self.tasks.abort_all();
                self.stage = Stage::Draining {
                    until: now + Duration::from_hours(1),
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
        self.crew.pool.set_phase(Phase::Draining);
    }

    fn launch(&mut self) {
        let id = self.crew.ledger.next_instance();
        let meter = Meter::new(Arc::clone(&self.crew.share));
        let drive = Drive::new(Arc::clone(&meter));
        let (mailbox, inbox) = mailbox::driven_by(Arc::clone(&drive) as _);
        let vitals = Arc::new(Vitals::default());
        let (ready, is_ready) = oneshot::channel();
        let work = self.crew.launcher.run(Seat {
            id,
            inbox,
            vitals: Arc::clone(&vitals),
            meter,
            ready,
        });
        let work = drive.start(work);
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
                given_up: false,
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
        self.crew.metrics.starts.inc();
        let event = self.event(Kind::InstanceStarted).instance(id);
        self.crew
            .ledger
            .events
            .tell(event.say("an instance is ready"));
        self.crew
            .pool
            .add(id, mailbox, self.crew.launcher.concurrency().get(), vitals);
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
            Err(error) if error.is_cancelled() => (
                error.id(),
                Ended::quietly(Exit::plain(ExitReason::Killed, "it was killed")),
            ),
            Err(error) => (
                error.id(),
                Ended::quietly(Exit::plain(
                    ExitReason::Host,
                    format!("the host panicked: {error}"),
                )),
            ),
        };
        let Some(running) = self.running.remove(&task) else {
            return false;
        };
        let left = self.crew.pool.remove(running.id).unwrap_or(Left {
            served: 0,
            age: running.since.elapsed(),
            ejected: None,
        });
        let mut ended = ended;
        if let Some(eject) = left.ejected
            && ended.exit.reason == ExitReason::Retired
        {
            ended.exit = Exit::plain(ExitReason::Ejected, eject.to_string());
        }
        let served = left.served;
        self.record(&running, &ended.exit, served, left.age);
        drop(ended.remains);
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
            self.crew.pool.set_phase(Phase::Closed);
            self.tasks.abort_all();
            return self.tasks.is_empty();
        }
        match self.stage {
            Stage::Warming { .. } | Stage::Serving | Stage::Probing { .. } if running.given_up => {}
            Stage::Warming { .. } | Stage::Serving if reason.is_failure() => {
                self.replace(served, ended.blameless);
            }
            Stage::Probing { .. } if reason.is_failure() => {
                let verdict = self.restarts.probe_failed();
                self.follow(verdict);
            }
            Stage::Warming { .. } | Stage::Serving | Stage::Probing { .. } => self.launch(),
            Stage::Resting { .. } => {}
            Stage::Draining { .. } => {
                if self.running.is_empty() {
                    self.crew.pool.set_phase(Phase::Closed);
                    return true;
                }
            }
        }
        false
    }

    fn replace(&mut self, served: u64, blameless: bool) {
        let verdict = self.restarts.failed(Failure {
            now: self.born.elapsed(),
            served_by_it: served,
            served_by_all: self.crew.pool.served(),
            blameless,
            random: rand::random(),
        });
        self.follow(verdict);
    }

    fn follow(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Restart { after } if after.is_zero() => self.launch(),
            Verdict::Restart { after } => self.planned.push(Instant::now() + after),
            Verdict::Break { rest } => {
                let message = format!(
                    "too many instances failed; the service rests for {} s",
                    rest.as_secs_f64()
                );
                let event = self.event(Kind::BreakerOpened);
                self.crew.ledger.events.tell(event.say(message));
                let until = Instant::now() + rest;
                self.planned.clear();
                self.stage = Stage::Resting { until };
                self.crew.pool.set_phase(Phase::Broken { until });
                self.crew.pool.retire_all();
                for running in self.running.values_mut() {
                    running.given_up = true;
                    if running.starting.is_some() {
                        running.abort.abort();
                    }
                }
            }
        }
    }

    fn recovered(&mut self) {
        let event = self.event(Kind::BreakerClosed);
        self.crew
            .ledger
            .events
            .tell(event.say("the service has recovered"));
        self.restarts.recovered();
        self.stage = Stage::Serving;
        self.crew.pool.set_phase(Phase::Open);
        let staying = self.running.values().filter(|running| !running.given_up);
        for _ in staying.count()..self.crew.count.get() {
            self.launch();
        }
    }

    /// Something that happened to this release.
    fn event(&self, kind: Kind) -> Event {
        let release = &self.crew.release;
        Event::of(kind)
            .service(&release.service)
            .revision(release.revision)
    }

    fn record(&self, running: &Running, exit: &Exit, served: u64, age: Duration) {
        self.crew.metrics.exited(exit.reason);
        let service = &self.crew.release.service;
        let failure = exit.reason.is_failure();
        if failure {
            warn!(%service, instance = %running.id, reason = exit.reason.word(), served, requests = ?exit.requests,
                cause = exit.message, backtrace = ?exit.backtrace, "an instance ended");
        } else {
            info!(%service, instance = %running.id, reason = exit.reason.word(), served, "an instance ended");
        }
        let event = self
            .event(Kind::InstanceEnded)
            .instance(running.id)
            .reason(exit.reason.word());
        let event = event.level(if failure { Level::Warning } else { Level::Info });
        let message = format!("an instance ended: {}", exit.reason);
        self.crew.ledger.events.tell(event.say(message));
        self.crew.ledger.exits.push(ExitRecord {
            service: service.to_string(),
            release: self.crew.release.digest.to_string(),
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
