//! Where guests wait for their turn, if there are more of them than processors ([`shares`]).
//!
//! There are two places where a guest may have to wait: before a request is handed to it, and when its
//! computation is interrupted. As long as nobody waits, and the thread has not worked for a whole
//! [`QUANTUM`](shares::QUANTUM) without having been idle, or there is but one service that wants to, that
//! costs no more than to look at a few numbers.
//!
//! A thread that has worked for so long lets everything else that is ready go first, and looks for what
//! has come in, before turns are given out again: only then it is known who wants them.
//!
//! [`shares`]: super::shares

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::burst;
use super::drive::step_aside;
use super::shares::{Account, Asked, Grant, Need, Shares, WINDOW};
use crate::clock;
use crate::config::Manifest;
use crate::processor;
use crate::telemetry::shards::Seconds;

/// So long before a deadline nobody is made to wait: there is time to see that it passes.
const MARGIN: Duration = Duration::from_millis(10);

/// How long guest code waits that has no deadline.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long who waits lets it be before it looks whether a turn was lost.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// No account's number.
const NOBODY: usize = usize::MAX;

/// [`WINDOW`] in milliseconds.
const LATELY: u64 = WINDOW.subsec_millis() as u64;

/// With so many newcomers while everything else went first, there are more to come: tokio doesn't
/// always come to the end of what is ready.
const MANY: u32 = 16;

/// The processors, and who shares them.
pub struct Gate {
    shares: Mutex<Shares<Waiter>>,
    processors: usize,
    /// Somebody waits.
    crowded: AtomicBool,
    /// Tasks that give turns out when everything else has gone first.
    pumps: AtomicUsize,
    /// Threads that have something to do.
    awake: AtomicIsize,
    /// Which service's request was the last to come, and when it was another's before; milliseconds on the
    /// gate's clock.
    last: AtomicUsize,
    mixed: AtomicU64,
    born: Instant,
}

/// A service's share of them.
pub struct Share {
    gate: Arc<Gate>,
    account: Account,
    used: Seconds,
}

/// The right to run a guest, until it waits or is interrupted. To be dropped then.
#[must_use]
pub struct Turn(Option<(Arc<Share>, Grant)>);

struct Waiter {
    share: Arc<Share>,
    turn: oneshot::Sender<Turn>,
}

/// Whether this thread has let guests work for a whole [`QUANTUM`](shares::QUANTUM) without having been
/// idle.
pub fn is_tired() -> bool {
    burst::is_over()
}

impl Gate {
    /// For so many processors, with so many threads, which all have something to do at first.
    pub fn new(processors: usize, threads: usize) -> Arc<Self> {
        Arc::new(Self {
            shares: Mutex::new(Shares::new(processors)),
            processors,
            crowded: AtomicBool::new(false),
            pumps: AtomicUsize::new(0),
            awake: AtomicIsize::new(isize::try_from(threads).unwrap_or(isize::MAX)),
            last: AtomicUsize::new(NOBODY),
            mixed: AtomicU64::new(0),
            born: Instant::now(),
        })
    }

    /// The share of one more service. What it uses is counted by `used`.
    pub fn join(self: &Arc<Self>, used: Seconds) -> Arc<Share> {
        Arc::new(Share {
            account: self
                .shares
                .lock()
                .join(Manifest::DEFAULT_WEIGHT, used.total()),
            gate: Arc::clone(self),
            used,
        })
    }

    /// A thread is about to be idle. To be called by each of them. If there are fewer left than processors,
    /// one of those is idle, too.
    pub fn idle(self: &Arc<Self>) {
        burst::rest();
        let awake = self.awake.fetch_sub(1, Ordering::Relaxed) - 1;
        if self.is_crowded() {
            let is_idle = usize::try_from(awake).map_or(true, |awake| awake < self.processors);
            let mut shares = self.shares.lock();
            let next = shares.next(self.now(), is_idle);
            self.give_out(shares, next);
        }
    }

    /// A thread that was [idle](Self::idle) is no more.
    pub fn wakes(&self) {
        self.awake.fetch_add(1, Ordering::Relaxed);
        if self.is_crowded() {
            // only then it matters who has used how much
            processor::mark();
        }
    }

    /// A request of a service comes.
    fn note(&self, account: Account) {
        let last = self.last.load(Ordering::Relaxed);
        if last != account.number() {
            self.last.store(account.number(), Ordering::Relaxed);
            if last != NOBODY {
                self.mixed.store(self.millis() + 1, Ordering::Relaxed);
            }
        }
    }

    /// Whether there has been more than one service lately. If not, there are no others to go first.
    fn is_mixed(&self) -> bool {
        let since = self.mixed.load(Ordering::Relaxed);
        since > 0 && self.millis() <= since + LATELY
    }

    fn millis(&self) -> u64 {
        let age = clock::recent().saturating_duration_since(self.born);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX >> 1)
    }

    fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    fn now(&self) -> Duration {
        self.born.elapsed()
    }

    /// Gives turns out, or has that done when the thread has let everything else go first.
    fn hand_out(self: &Arc<Self>, shares: MutexGuard<'_, Shares<Waiter>>, others_first: bool) {
        if others_first && shares.is_crowded() {
            self.crowded.store(true, Ordering::Relaxed);
            drop(shares);
            self.start_pump();
        } else {
            self.give_out(shares, None);
        }
    }

    fn start_pump(self: &Arc<Self>) {
        let more = |pumps| (pumps < self.processors).then_some(pumps + 1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.pumps.fetch_update(set, fetch, more).is_err() {
            return;
        }
        let pump = Pump(Arc::downgrade(self));
        // without a runtime nothing runs that could wait
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(pump.run());
        }
    }

    /// Gives out `first` and all other turns that there are.
    fn give_out(&self, mut shares: MutexGuard<'_, Shares<Waiter>>, first: Option<(Waiter, Grant)>) {
        let now = self.now();
        let (mut granted, mut gone) = (Vec::new(), Vec::new());
        let mut next = first.or_else(|| shares.next(now, false));
        while let Some((waiter, grant)) = next {
            if waiter.turn.is_closed() {
                shares.unused(&grant);
                gone.push(waiter);
            } else {
                granted.push((waiter, grant));
            }
            next = shares.next(now, false);
        }
        self.crowded.store(shares.is_crowded(), Ordering::Relaxed);
        drop(shares);
        // not under the lock: a turn that nobody takes comes back, and a share that nobody has leaves
        drop(gone);
        for (Waiter { share, turn }, grant) in granted {
            let _ = turn.send(Turn(Some((share, grant))));
        }
    }
}

/// See [`Gate::hand_out`].
struct Pump(Weak<Gate>);

impl Pump {
    async fn run(self) {
        loop {
            let before = burst::newcomers();
            // comes back only after the I/O driver was polled
            yield_now().await;
            // on another thread the difference says nothing, and does no harm
            if burst::newcomers().saturating_sub(before) < MANY {
                break;
            }
        }
        burst::rest();
        if let Some(gate) = self.0.upgrade() {
            drop(self);
            gate.give_out(gate.shares.lock(), None);
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        if let Some(gate) = self.0.upgrade() {
            gate.pumps.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Share {
    /// What the service's use of the processors counts for, from now on.
    pub fn set_weight(&self, weight: NonZeroU32) {
        let mut shares = self.gate.shares.lock();
        shares.set_weight(self.account, weight);
    }

    /// What the service has used.
    pub fn used(&self) -> &Seconds {
        &self.used
    }

    /// Waits until a guest may be given something to do, which has to be over by `deadline`.
    pub async fn turn(self: &Arc<Self>, deadline: Instant) -> Turn {
        self.gate.note(self.account);
        let tired = burst::is_over() && self.gate.is_mixed();
        if !tired && !self.gate.is_crowded() {
            return Turn(None);
        }
        burst::note_newcomer();
        let need = if tired {
            Need::BeginAfterOthers
        } else {
            Need::Begin
        };
        match self.ask(need) {
            Ok(turn) => turn,
            Err(turn) => Box::pin(self.receive(turn, deadline)).await,
        }
    }

    /// Waits until a guest that was interrupted may go on. What else its thread has to do goes first, in any
    /// case.
    pub(super) async fn turn_to_go_on(self: &Arc<Self>, deadline: Option<Instant>) -> Turn {
        let turn = match self.ask(Need::GoOn) {
            Ok(turn) => turn,
            Err(turn) => {
                let deadline = deadline.unwrap_or_else(|| Instant::now() + PATIENCE);
                let turn = self.receive(turn, deadline).await;
                if turn.counts() {
                    // the others have had their turn
                    return turn;
                }
                turn
            }
        };
        // not `yield_now`, which waits for the thread to come round: that may take a guest's whole turn, and no
        // other thread could go on with this meanwhile
        step_aside().await;
        burst::rest();
        turn
    }

    /// Asks for a turn: that, or where it will come.
    fn ask(self: &Arc<Self>, need: Need) -> Result<Turn, oneshot::Receiver<Turn>> {
        let (now, used) = (self.gate.now(), self.used.total());
        let mut waiting = None;
        let mut shares = self.gate.shares.lock();
        let asked = shares.ask(self.account, used, now, need, || {
            let (turn, receiver) = oneshot::channel();
            waiting = Some(receiver);
            let share = Arc::clone(self);
            Waiter { share, turn }
        });
        if let Asked::Free(grant) | Asked::Given(grant) = asked {
            shares.begun(&grant);
            return Ok(Turn(Some((Arc::clone(self), grant))));
        }
        self.gate.hand_out(shares, need != Need::Begin);
        waiting.map_or(Ok(Turn(None)), Err)
    }

    async fn receive(&self, mut turn: oneshot::Receiver<Turn>, deadline: Instant) -> Turn {
        let until = deadline.checked_sub(MARGIN).unwrap_or(deadline);
        loop {
            let look = until.min(Instant::now() + LOOK_AGAIN);
            match timeout_at(look, &mut turn).await {
                Ok(Ok(turn)) => {
                    turn.begin();
                    return turn;
                }
                Err(_) if look < until => self.gate.give_out(self.gate.shares.lock(), None),
                // it would be too late
                _ => return Turn(None),
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.gate.shares.lock().leave(self.account);
    }
}

impl Turn {
    /// None is needed.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Whether it is one that has to end.
    pub(super) fn counts(&self) -> bool {
        self.0.is_some()
    }

    fn begin(&self) {
        if let Some((share, grant)) = &self.0 {
            share.gate.shares.lock().begun(grant);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((share, grant)) = self.0.take() {
            let used = share.used.total();
            let mut shares = share.gate.shares.lock();
            shares.ended(&grant, used);
            share.gate.hand_out(shares, burst::is_over());
        }
    }
}

#[cfg(test)]
mod tests;
