//! All policies of a service together, on a clock of their own: jobs come, instances trap, hang, fail
//! and are swapped, floods come and go. Whatever the seed, no job is lost, answered twice, run again
//! after an effect, or left waiting past its deadline; half of the pool is never ejected; and one
//! poisonous request costs no more than a handful of instances.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet, VecDeque};
use std::hash::RandomState;
use std::num::NonZeroUsize;
use std::time::Duration;

use http::Method;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use wharf::config::{Replay, Restart};
use wharf::service::admission::{self, Admission};
use wharf::service::balance::{Choice, Latency, Load, choose};
use wharf::service::downshift::Downshift;
use wharf::service::ejection::{Ejection, Outcome};
use wharf::service::exit::{Death, ExitReason, InstanceId};
use wharf::service::failover::{Interrupted, RetryBudget, may_replay};
use wharf::service::nearness::Nearness;
use wharf::service::quarantine::{self, Fingerprint, Quarantine, Suspicion};
use wharf::service::restart::{Failure, Restarts, Verdict};

const WANTED: usize = 4;
const DEADLINE: u64 = 500;
const END: u64 = 2000;
/// Some hundred take seconds without optimisation, some thousand with it.
const SEEDS: u64 = if cfg!(debug_assertions) { 200 } else { 2000 };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Good,
    /// Traps whoever has it.
    Poison,
    /// Traps one time in ten.
    Flaky,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Ok,
    Error,
    Shed,
    Quarantined,
    Interrupted,
    Deadline,
}

struct Job {
    kind: Kind,
    came: u64,
    tries: u32,
    effect: bool,
    /// Had an effect in a try that was cut short.
    spoilt: bool,
    answers: Vec<Answer>,
}

struct Instance {
    ready: bool,
    draining: bool,
    /// Of this one alone: how many times slower, and how often it answers with an error.
    slow: u64,
    errors: f64,
    /// The job, when it began, how many the service then held.
    held: Vec<(usize, u64, usize)>,
    served: u64,
    latency: Latency,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Effect(u64, usize),
    Over {
        instance: u64,
        job: usize,
        trap: bool,
    },
    Deadline(usize),
    Started(u64),
    Launch,
    AskAgain,
    Swap,
    Mended,
}

/// What a scenario is made of.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is drawn by itself")]
struct Scenario {
    seed: u64,
    concurrency: usize,
    poison: bool,
    flaky: bool,
    faults: bool,
    flood: bool,
    swap: bool,
}

struct World {
    scenario: Scenario,
    rng: StdRng,
    now: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    serial: u64,
    jobs: Vec<Job>,
    queue: VecDeque<usize>,
    pool: BTreeMap<u64, Instance>,
    names: u64,
    turn: usize,
    handed: u64,
    served: u64,
    asking: bool,
    broken: bool,
    restarts: Restarts,
    budget: RetryBudget,
    quarantine: Quarantine,
    downshift: Downshift,
    ejection: Ejection,
    admission: Admission,
    killed_by_poison: u64,
    ejected: u64,
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let full = NonZeroUsize::new(scenario.concurrency).unwrap();
        Self {
            scenario,
            rng: StdRng::seed_from_u64(scenario.seed),
            now: 0,
            events: BinaryHeap::new(),
            serial: 0,
            jobs: Vec::new(),
            queue: VecDeque::new(),
            pool: BTreeMap::new(),
            names: 0,
            turn: 0,
            handed: 0,
            served: 0,
            asking: false,
            broken: false,
            restarts: Restarts::new(Restart::default()),
            budget: RetryBudget::new(Duration::ZERO),
            quarantine: Quarantine::new(quarantine::Limits::default(), RandomState::new()),
            downshift: Downshift::new(full),
            ejection: Ejection::new(),
            admission: Admission::new(admission::Limits {
                queue: 256,
                cores: 64,
                budget: Duration::from_millis(DEADLINE / 2),
            }),
            killed_by_poison: 0,
            ejected: 0,
        }
    }

    fn time(&self) -> Duration {
        Duration::from_millis(self.now)
    }

    fn after(&mut self, millis: u64, event: Event) {
        self.serial += 1;
        self.events
            .push(Reverse((self.now + millis, self.serial, event)));
    }

    fn run(mut self) -> Self {
        for _ in 0..WANTED {
            self.launch();
        }
        self.after(60, Event::Arrival);
        if self.scenario.swap {
            let at = self.rng.random_range(300..1700);
            self.after(at, Event::Swap);
        }
        while let Some(Reverse((now, _, event))) = self.events.pop() {
            self.now = now;
            match event {
                Event::Arrival => self.arrival(),
                Event::Effect(instance, job) => {
                    if self.holds(instance, job) {
                        self.jobs[job].effect = true;
                    }
                }
                Event::Over {
                    instance,
                    job,
                    trap,
                } => self.over(instance, job, trap),
                Event::Deadline(job) => self.deadline(job),
                Event::Started(id) => {
                    if let Some(instance) = self.pool.get_mut(&id) {
                        instance.ready = true;
                    }
                }
                Event::Launch => self.launch(),
                Event::AskAgain => self.asking = false,
                Event::Swap => self.swap(),
                Event::Mended => {
                    self.broken = false;
                    self.restarts.recovered();
                    for _ in 0..WANTED {
                        self.launch();
                    }
                }
            }
            self.hand_out();
        }
        self
    }

    fn holds(&self, instance: u64, job: usize) -> bool {
        let held = |instance: &Instance| instance.held.iter().any(|held| held.0 == job);
        self.pool.get(&instance).is_some_and(held)
    }

    fn launch(&mut self) {
        if self.broken || self.pool.values().filter(|i| !i.draining).count() >= WANTED {
            return;
        }
        self.names += 1;
        let faulty = self.scenario.faults && self.rng.random_range(0..4) == 0;
        let (slow, errors) = match faulty.then(|| self.rng.random_range(0..2)) {
            Some(0) => (20, 0.0),
            Some(_) => (1, 0.7),
            None => (1, 0.0),
        };
        let instance = Instance {
            ready: false,
            draining: false,
            slow,
            errors,
            held: Vec::new(),
            served: 0,
            latency: Latency::default(),
        };
        self.pool.insert(self.names, instance);
        self.after(5, Event::Started(self.names));
    }

    fn usable(&self) -> usize {
        let usable = |instance: &&Instance| instance.ready && !instance.draining;
        self.pool.values().filter(usable).count()
    }

    fn load(&self) -> admission::Load {
        admission::Load {
            now: self.time(),
            places: self.usable() * self.downshift.capacity().get(),
            in_places: self.pool.values().map(|instance| instance.held.len()).sum(),
            waiting: self.queue.len(),
        }
    }

    fn arrival(&mut self) {
        let flood = self.scenario.flood && (800..900).contains(&self.now);
        let places = (WANTED * self.scenario.concurrency) as u64;
        // 5 ms of work, at half of what the places can do, or at four times it
        let gap = if flood { 1.25 } else { 10.0 } / places as f64;
        let u: f64 = self.rng.random();
        let mut gap = -(1.0 - u).ln() * gap;
        let kind = match self.rng.random_range(0..20) {
            0 if self.scenario.poison => Kind::Poison,
            1 if self.scenario.flaky => Kind::Flaky,
            _ => Kind::Good,
        };
        let job = self.jobs.len();
        self.jobs.push(Job {
            kind,
            came: self.now,
            tries: 0,
            effect: false,
            spoilt: false,
            answers: Vec::new(),
        });
        if gap < 1.0 {
            gap = f64::from(u8::from(self.rng.random::<f64>() < gap));
        }
        if self.now < END {
            self.after(gap.round() as u64, Event::Arrival);
        }
        if self.broken {
            return self.answer(job, Answer::Shed);
        }
        if self.is_refused(job) {
            return self.answer(job, Answer::Quarantined);
        }
        let (load, random) = (self.load(), self.rng.random());
        let left = Duration::from_millis(DEADLINE);
        if load.places > 0 && self.admission.arrives(&load, left, random).is_err() {
            return self.answer(job, Answer::Shed);
        }
        self.after(DEADLINE, Event::Deadline(job));
        self.queue.push_back(job);
    }

    fn target(&self, job: usize) -> String {
        match self.jobs[job].kind {
            Kind::Good => format!("/good?{job}"),
            Kind::Poison => "/poison".into(),
            Kind::Flaky => "/flaky".into(),
        }
    }

    fn print(&self, job: usize) -> Fingerprint {
        let none: [&str; 0] = [];
        let target = self.target(job);
        self.quarantine
            .watch()
            .fingerprint(&Method::POST, &target, none)
    }

    fn is_watched(&self, job: usize) -> bool {
        self.quarantine
            .watch()
            .knows(&Method::POST, &self.target(job))
    }

    fn is_refused(&mut self, job: usize) -> bool {
        if !self.is_watched(job) {
            return false;
        }
        let (now, print) = (self.time(), self.print(job));
        self.quarantine.refuses(now, &print).is_some()
    }

    fn may_run(&mut self, job: usize) -> bool {
        if !self.is_watched(job) {
            return true;
        }
        let (now, print) = (self.time(), self.print(job));
        let admission = self.quarantine.admit(now, &print);
        !matches!(admission, quarantine::Admission::Refuse { .. })
    }

    fn hand_out(&mut self) {
        while !self.queue.is_empty() && !self.broken {
            let (time, handed) = (self.time(), self.handed);
            let capacity = self.downshift.capacity().get();
            let loads = self.pool.values().map(|instance| Load {
                in_flight: instance.held.len(),
                capacity: if instance.ready && !instance.draining {
                    capacity
                } else {
                    0
                },
                expected: instance.latency.expected(time, instance.held.len()),
                probe: instance.latency.probe_due(time, handed),
                nearness: Nearness::Anywhere,
            });
            match choose(loads, self.queue.len() - 1, self.turn) {
                Choice::Full => return,
                Choice::Wait { ask_again } => {
                    if !self.asking {
                        self.asking = true;
                        let millis = u64::try_from(ask_again.as_millis()).unwrap_or(u64::MAX);
                        self.after(millis.clamp(1, DEADLINE), Event::AskAgain);
                    }
                    return;
                }
                Choice::Take(index) => self.begin(index),
            }
        }
    }

    fn begin(&mut self, index: usize) {
        let Some(job) = self.queue.pop_front() else {
            return;
        };
        if !self.may_run(job) {
            return self.answer(job, Answer::Quarantined);
        }
        let (now, time) = (self.now, self.time());
        let took_places = self.load().in_places + 1;
        let dice = (
            self.rng.random::<f64>(),
            self.rng.random_range(2..9u64),
            self.rng.random_range(0..10),
        );
        let (&id, instance) = self.pool.iter_mut().nth(index).expect("it was chosen");
        instance.latency.began(time, instance.held.len());
        instance.held.push((job, now, took_places));
        self.turn = index + 1;
        self.handed += 1;
        let state = &mut self.jobs[job];
        assert!(!state.spoilt, "run again after an effect");
        assert!(state.answers.is_empty() && state.tries < 3);
        assert!(now < state.came + DEADLINE, "begun after its deadline");
        state.tries += 1;
        let trap = match state.kind {
            Kind::Good => false,
            Kind::Poison => true,
            Kind::Flaky => dice.2 == 0,
        };
        let work = dice.1 * instance.slow;
        if dice.0 < 0.3 {
            self.after(work / 2, Event::Effect(id, job));
        }
        self.after(
            work,
            Event::Over {
                instance: id,
                job,
                trap,
            },
        );
    }

    fn over(&mut self, id: u64, job: usize, trap: bool) {
        if !self.holds(id, job) {
            return;
        }
        if trap {
            return self.die(id, job, ExitReason::Trap);
        }
        let (load, time, now, handed) = (self.load(), self.time(), self.now, self.handed);
        let usable = self.usable();
        let error = self.rng.random::<f64>() < self.pool[&id].errors;
        let Some(instance) = self.pool.get_mut(&id) else {
            return;
        };
        let Some(index) = instance.held.iter().position(|held| held.0 == job) else {
            return;
        };
        let (_, began, began_as) = instance.held.swap_remove(index);
        let took = Duration::from_millis(now - began);
        instance.latency.answered(time, handed, took);
        instance.served += 1;
        self.served += 1;
        let live = !instance.draining;
        self.admission.freed(&load, began_as, took);
        self.downshift.served();
        if self.is_watched(job) {
            let print = self.print(job);
            self.quarantine.succeeded(&print);
        }
        self.answer(job, if error { Answer::Error } else { Answer::Ok });
        let outcome = Outcome {
            now: time,
            instance: InstanceId(id),
            failed: error,
            usable,
            wanted: WANTED,
        };
        if live && self.ejection.ended(&outcome).is_some() {
            self.ejected += 1;
            self.retire(id);
            assert!(self.usable() * 2 >= WANTED, "half of the pool stays");
            self.launch();
        }
        self.forget_empty();
    }

    fn retire(&mut self, id: u64) {
        if let Some(instance) = self.pool.get_mut(&id) {
            instance.draining = true;
        }
        self.ejection.left(InstanceId(id));
    }

    fn forget_empty(&mut self) {
        self.pool
            .retain(|_, instance| !instance.draining || !instance.held.is_empty());
    }

    fn deadline(&mut self, job: usize) {
        if !self.jobs[job].answers.is_empty() {
            return;
        }
        if let Some(at) = self.queue.iter().position(|waiting| *waiting == job) {
            self.queue.remove(at);
            return self.answer(job, Answer::Deadline);
        }
        let with = self
            .pool
            .iter()
            .find(|(_, i)| i.held.iter().any(|held| held.0 == job));
        let id = *with.expect("a job without an answer is somewhere").0;
        self.die(id, job, ExitReason::Deadline);
    }

    /// An instance ends; `cause` is the job it had to do with.
    fn die(&mut self, id: u64, cause: usize, reason: ExitReason) {
        let instance = self.pool.remove(&id).expect("it lived");
        self.ejection.left(InstanceId(id));
        self.killed_by_poison += u64::from(self.jobs[cause].kind == Kind::Poison);
        if reason == ExitReason::Trap {
            self.downshift.trapped(instance.held.len());
        }
        let blameless = instance.held.iter().all(|held| self.jobs[held.0].tries > 1);
        let in_company = instance.held.len() > 1;
        for (job, ..) in instance.held {
            let suspicion = Suspicion {
                now: self.time(),
                instance: InstanceId(id),
                death: Death {
                    reason,
                    in_company,
                    computing: true,
                },
                hindered: false,
            };
            let print = self.print(job);
            self.quarantine.died(&print, &"POST /", &suspicion);
            if reason == ExitReason::Deadline && job == cause {
                self.answer(job, Answer::Deadline);
            } else {
                self.replay(job);
            }
        }
        if instance.draining {
            return;
        }
        let verdict = self.restarts.failed(Failure {
            now: self.time(),
            served_by_it: instance.served,
            served_by_all: self.served,
            blameless,
            random: self.rng.random(),
        });
        match verdict {
            Verdict::Restart { after } => {
                self.after(u64::try_from(after.as_millis()).unwrap_or(0), Event::Launch);
            }
            Verdict::Break { .. } => {
                self.broken = true;
                self.pool
                    .values_mut()
                    .for_each(|instance| instance.draining = true);
                self.forget_empty();
                while let Some(job) = self.queue.pop_front() {
                    self.answer(job, Answer::Shed);
                }
                self.after(200, Event::Mended);
            }
        }
    }

    fn replay(&mut self, job: usize) {
        let state = &mut self.jobs[job];
        state.spoilt = state.effect;
        let left = (state.came + DEADLINE).saturating_sub(self.now);
        let interrupted = Interrupted {
            policy: Replay::Safe,
            reason: ExitReason::Trap,
            idempotent: false,
            no_effects: !state.effect,
            body_replayable: true,
            tries: state.tries,
            time_left: Duration::from_millis(left),
        };
        let requests = self.jobs.len() as u64;
        if may_replay(&interrupted).is_err() || !self.budget.withdraw(self.time(), requests) {
            self.answer(job, Answer::Interrupted);
        } else if self.broken {
            self.answer(job, Answer::Shed);
        } else {
            self.queue.push_front(job);
        }
    }

    fn swap(&mut self) {
        let old: Vec<u64> = self.pool.keys().copied().collect();
        for id in old {
            self.retire(id);
        }
        self.forget_empty();
        self.quarantine = Quarantine::new(quarantine::Limits::default(), RandomState::new());
        for _ in 0..WANTED {
            self.launch();
        }
    }

    fn answer(&mut self, job: usize, answer: Answer) {
        let state = &mut self.jobs[job];
        assert!(state.answers.is_empty(), "answered twice");
        assert!(
            self.now <= state.came + DEADLINE,
            "answered after its deadline"
        );
        state.answers.push(answer);
    }
}

fn scenarios(count: u64) -> impl Iterator<Item = Scenario> {
    (0..count).map(|seed| Scenario {
        seed,
        concurrency: if seed & 1 == 0 { 1 } else { 4 },
        poison: seed & 2 == 0,
        flaky: seed & 4 == 0,
        faults: seed & 8 == 0,
        flood: seed & 16 == 0,
        swap: seed & 32 == 0,
    })
}

#[test]
fn whatever_happens_every_job_is_answered_once_and_in_time() {
    let (mut jobs, mut kinds, mut ejected, mut most) = (0, BTreeMap::new(), 0, 0);
    for scenario in scenarios(SEEDS) {
        let world = World::new(scenario).run();
        assert!(
            world.jobs.iter().all(|job| job.answers.len() == 1),
            "lost: {scenario:?}"
        );
        assert!(world.queue.is_empty());
        // three in a row, and those that had the same request by then; where requests share an
        // instance, those before it was alone too; and again for a new release
        let handful = if scenario.concurrency == 1 { 6 } else { 12 };
        let releases = 1 + u64::from(scenario.swap);
        assert!(
            world.killed_by_poison <= handful * releases,
            "{scenario:?}: {}",
            world.killed_by_poison
        );
        most = most.max(world.killed_by_poison);
        jobs += world.jobs.len();
        ejected += world.ejected;
        for job in &world.jobs {
            *kinds
                .entry(format!("{:?} {:?}", job.kind, job.answers[0]))
                .or_insert(0) += 1;
        }
    }
    println!("{jobs} jobs, {ejected} ejected, at most {most} killed by poison, {kinds:#?}");
}

#[test]
fn good_requests_do_not_suffer_from_one_poisonous_one() {
    for seed in 0..SEEDS / 4 {
        let world = World::new(Scenario {
            seed,
            concurrency: 1,
            poison: true,
            flaky: false,
            faults: false,
            flood: false,
            swap: false,
        })
        .run();
        let answers: HashSet<_> = world
            .jobs
            .iter()
            .filter(|job| job.kind == Kind::Good && job.answers != [Answer::Ok])
            .map(|job| format!("{:?} at {}", job.answers[0], job.came))
            .collect();
        assert!(answers.is_empty(), "{seed}: {answers:?}");
    }
}
