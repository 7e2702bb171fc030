//! See the tests.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use super::super::{Account, Asked, Grant, Need, QUANTUM, Shares};

/// After so long a computation is interrupted.
pub(super) const TICK: Duration = millis(5);

const TICK_MICROS: u64 = 5000;

/// What the host does for a task besides.
const OVERHEAD: Duration = micros(2);

/// With so many newcomers since a task let others go first, there are more.
const MANY: u32 = 16;

/// Tasks after which a processor looks for input, however many are ready.
const LOOK: u32 = 61;

pub(super) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// What is asked of one service.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) weight: u32,
    /// Processor time of a request, in microseconds.
    pub(super) length: Range<u64>,
    pub(super) clients: Clients,
}

/// When requests come.
#[derive(Clone, Debug)]
pub(super) enum Clients {
    /// Each sends the next a while after the last was answered.
    Loop { clients: usize, think: Duration },
    /// One about every so many microseconds, whatever becomes of them.
    Open { every: u64 },
}

#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Processor time: when a turn ended, of which service, and how much.
    pub(super) used: Vec<(Duration, usize, Duration)>,
    /// From the arrival of each request to its begin, by service.
    pub(super) waits: Vec<Vec<Duration>>,
    /// Processor time that was lost.
    pub(super) idle_while_waiting: Duration,
    pub(super) arrived: u64,
    pub(super) done: u64,
}

impl Outcome {
    /// Seconds by service; of what was used over a border, its part.
    pub(super) fn used_between(&self, begin: Duration, end: Duration) -> Vec<f64> {
        let mut sums = vec![0.0; self.waits.len()];
        for (at, service, took) in &self.used {
            let within = (*at)
                .min(end)
                .saturating_sub(at.saturating_sub(*took).max(begin));
            sums[*service] += within.as_secs_f64();
        }
        sums
    }
}

#[derive(Debug)]
enum State {
    New,
    Queued,
    /// Its turn has come.
    Granted(Grant),
    /// It let others go first.
    Yielded(Grant),
}

#[derive(Debug)]
struct Task {
    service: usize,
    left: Duration,
    came: Duration,
    state: State,
    began: bool,
}

/// What a processor may do next.
#[derive(Clone, Copy, Debug)]
enum Ready {
    Task(usize),
    /// Hands out turns, if there have been no more newcomers.
    Pump {
        newcomers: u32,
    },
}

#[derive(Default)]
struct Processor {
    /// Guests' time since it last let everything else go first.
    burst: Duration,
    deferred: Vec<Ready>,
    /// That asked for a turn here.
    newcomers: u32,
    /// Woken last by what ran here, to be run next.
    next: Option<Ready>,
    in_a_row: u32,
    polls: u32,
    running: Option<(usize, Duration, Option<Grant>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Free(usize),
    Arrives(usize),
}

pub(super) struct Simulation {
    shares: Shares<usize>,
    accounts: Vec<Account>,
    loads: Vec<Load>,
    used: Vec<Duration>,
    pumps: usize,
    tasks: Vec<Task>,
    ready: VecDeque<Ready>,
    /// What has come and nobody has seen.
    input: Vec<usize>,
    processors: Vec<Processor>,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    now: Duration,
    until: Duration,
    random: u64,
    outcome: Outcome,
}

impl Simulation {
    pub(super) fn new(processors: usize, loads: Vec<Load>, seed: u64) -> Self {
        let mut shares = Shares::new(processors);
        Self {
            accounts: loads
                .iter()
                .map(|load| shares.join(load.weight.try_into().unwrap(), Duration::ZERO))
                .collect(),
            shares,
            used: vec![Duration::ZERO; loads.len()],
            pumps: 0,
            outcome: Outcome {
                waits: vec![Vec::new(); loads.len()],
                ..Outcome::default()
            },
            loads,
            tasks: Vec::new(),
            ready: VecDeque::new(),
            input: Vec::new(),
            processors: (0..processors).map(|_| Processor::default()).collect(),
            events: BinaryHeap::new(),
            now: Duration::ZERO,
            until: Duration::ZERO,
            random: seed,
        }
    }

    pub(super) fn run(mut self, time: Duration) -> Outcome {
        self.until = time;
        for service in 0..self.loads.len() {
            match self.loads[service].clients {
                Clients::Loop { clients, .. } => {
                    for _ in 0..clients {
                        let at = micros(self.random(0..1000));
                        self.arrive_at(at, service);
                    }
                }
                Clients::Open { .. } => self.arrive_at(micros(100), service),
            }
        }
        while let Some(Reverse((at, event))) = self.events.pop() {
            self.count_idle(at);
            self.now = at;
            match event {
                Event::Arrives(service) => self.arrives(service),
                Event::Free(processor) => self.is_free(processor),
            }
            // an idle processor is woken by whatever is ready
            for processor in (0..self.processors.len())
                .cycle()
                .take(self.processors.len() * 2)
            {
                self.work(processor);
            }
        }
        self.outcome
    }

    /// A linear congruential generator does.
    fn random(&mut self, range: Range<u64>) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        range.start + (self.random >> 33) % (range.end - range.start).max(1)
    }

    fn arrive_at(&mut self, at: Duration, service: usize) {
        if at < self.until {
            self.events.push(Reverse((at, Event::Arrives(service))));
        }
    }

    fn arrives(&mut self, service: usize) {
        let length = self.loads[service].length.clone();
        let left = micros(self.random(length));
        self.tasks.push(Task {
            service,
            left,
            came: self.now,
            state: State::New,
            began: false,
        });
        self.outcome.arrived += 1;
        self.input.push(self.tasks.len() - 1);
        if let Clients::Open { every } = self.loads[service].clients {
            let next = self.now + micros(self.random(0..every * 2));
            self.arrive_at(next, service);
        }
    }

    fn count_idle(&mut self, until: Duration) {
        let idle = self.processors.iter().filter(|one| one.running.is_none());
        let idle = u32::try_from(idle.count()).unwrap();
        if self.shares.is_crowded() || !self.ready.is_empty() {
            self.outcome.idle_while_waiting += until.saturating_sub(self.now) * idle;
        }
    }

    /// The input first, then who let it go first.
    fn look(&mut self, processor: usize) {
        self.ready.extend(self.input.drain(..).map(Ready::Task));
        let deferred = self.processors[processor].deferred.drain(..);
        self.ready.extend(deferred);
    }

    fn work(&mut self, processor: usize) {
        while self.processors[processor].running.is_none() {
            self.processors[processor].polls += 1;
            if self.is_out_of_work(processor)
                || self.processors[processor].polls.is_multiple_of(LOOK)
            {
                self.look(processor);
            }
            match self.pick(processor) {
                Some(Ready::Task(task)) => {
                    self.poll(processor, task);
                    continue;
                }
                Some(Ready::Pump { newcomers }) => {
                    self.pump(processor, newcomers);
                    continue;
                }
                None => {}
            }
            self.processors[processor].burst = Duration::ZERO;
            let Some((task, grant)) = self.shares.next(self.now, true) else {
                // it goes to sleep
                return;
            };
            self.tasks[task].state = State::Granted(grant);
            self.ready.push_back(Ready::Task(task));
        }
    }

    fn is_out_of_work(&self, processor: usize) -> bool {
        self.ready.is_empty() && self.processors[processor].next.is_none()
    }

    fn pick(&mut self, processor: usize) -> Option<Ready> {
        let one = &mut self.processors[processor];
        one.in_a_row += 1;
        match one.next.take() {
            Some(next) if one.in_a_row <= 3 => Some(next),
            next => {
                one.in_a_row = 0;
                self.ready.extend(next);
                self.ready.pop_front()
            }
        }
    }

    fn is_over(&self, processor: usize) -> bool {
        self.processors[processor].burst >= QUANTUM
    }

    fn poll(&mut self, processor: usize, task: usize) {
        match std::mem::replace(&mut self.tasks[task].state, State::Queued) {
            State::New if !self.is_over(processor) && !self.shares.is_crowded() => {
                self.start(processor, task, None);
            }
            State::New => {
                self.processors[processor].newcomers += 1;
                let need = if self.is_over(processor) {
                    Need::BeginAfterOthers
                } else {
                    Need::Begin
                };
                match self.ask(task, need) {
                    Asked::Free(grant) | Asked::Given(grant) => {
                        self.start(processor, task, Some(grant));
                    }
                    Asked::Waits => self.hand_out(processor),
                }
            }
            State::Granted(grant) | State::Yielded(grant) => {
                self.start(processor, task, Some(grant));
            }
            State::Queued => panic!("nobody woke it"),
        }
    }

    /// Gives turns out, but looks first who has come if it has worked for long.
    fn hand_out(&mut self, processor: usize) {
        if !self.is_over(processor) {
            self.give_out(processor);
        } else if self.pumps < self.processors.len() && self.shares.is_crowded() {
            self.pumps += 1;
            self.defer_pump(processor);
        }
    }

    fn defer_pump(&mut self, processor: usize) {
        let one = &mut self.processors[processor];
        let newcomers = one.newcomers;
        one.deferred.push(Ready::Pump { newcomers });
    }

    fn pump(&mut self, processor: usize, before: u32) {
        let one = &mut self.processors[processor];
        if one.newcomers.saturating_sub(before) >= MANY {
            self.defer_pump(processor);
        } else {
            one.burst = Duration::ZERO;
            self.pumps -= 1;
            self.give_out(processor);
        }
    }

    fn give_out(&mut self, processor: usize) {
        while let Some((task, grant)) = self.shares.next(self.now, false) {
            self.tasks[task].state = State::Granted(grant);
            let before = self.processors[processor].next.replace(Ready::Task(task));
            self.ready.extend(before);
        }
    }

    fn start(&mut self, processor: usize, task: usize, grant: Option<Grant>) {
        if let Some(grant) = &grant {
            self.shares.begun(grant);
        }
        // the ticks are those of a clock, and not of the computation
        let tick = micros(self.random(500..TICK_MICROS + 1));
        let one = &mut self.tasks[task];
        if !std::mem::replace(&mut one.began, true) {
            self.outcome.waits[one.service].push(self.now.saturating_sub(one.came));
        }
        let took = one.left.min(tick);
        self.processors[processor].running = Some((task, took, grant));
        let at = self.now + took + OVERHEAD;
        self.events.push(Reverse((at, Event::Free(processor))));
    }

    fn ask(&mut self, task: usize, need: Need) -> Asked {
        let service = self.tasks[task].service;
        let (account, used) = (self.accounts[service], self.used[service]);
        self.shares.ask(account, used, self.now, need, || task)
    }

    fn is_free(&mut self, processor: usize) {
        let Some((task, took, grant)) = self.processors[processor].running.take() else {
            return;
        };
        let service = self.tasks[task].service;
        self.tasks[task].left -= took;
        let goes_on = !self.tasks[task].left.is_zero();
        if goes_on {
            // as the guest does, before its poll is over
            self.tasks[task].state = match self.ask(task, Need::GoOn) {
                Asked::Free(grant) | Asked::Given(grant) => {
                    let deferred = &mut self.processors[processor].deferred;
                    deferred.push(Ready::Task(task));
                    State::Yielded(grant)
                }
                Asked::Waits => State::Queued,
            };
        }
        self.used[service] += took;
        self.outcome.used.push((self.now, service, took));
        self.processors[processor].burst += took;
        if let Some(grant) = grant {
            self.shares.ended(&grant, self.used[service]);
        }
        self.hand_out(processor);
        if goes_on {
            return;
        }
        self.outcome.done += 1;
        if let Clients::Loop { think, .. } = self.loads[service].clients {
            self.arrive_at(self.now + micros(50) + think, service);
        }
    }
}
