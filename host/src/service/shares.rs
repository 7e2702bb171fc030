//! Whose turn is it, when guests want more processor time than there is?
//!
//! Start-time fair queueing (Goyal, Guo and Vin, *A hierarchical CPU scheduler for multimedia
//! operating systems*, 1996). Each service has a tag: the processor time it has used, divided by its
//! weight. The turn goes to the smallest tag, and the tag of the last that got one is the virtual
//! time. Who comes anew starts at the virtual time: nobody saves up a right to more by being idle. Who
//! comes with a tag that is not beyond it, or not by more than a [`LITTLE`], has had no more than its
//! share, and never waits. All others queue up.
//!
//! Turns are given out for a [`QUANTUM`] of each processor. A long computation is a turn each time it is
//! interrupted, so there are as many turns under way as processors; of short requests there are more,
//! as many as are likely to be done in that time. What is given out is queued by tokio, first come, first
//! served. That queue is kept short so that what comes in sees the end of it within about a quantum, and
//! is never empty while somebody waits here, so that no processor is idle.
//!
//! A service is charged for what its own instances use. One that waits for another's answer isn't
//! charged for that; the other is, whoever asked it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

/// The time for which turns are given out ahead, for each processor. Less than the time after which a
/// computation is interrupted.
pub const QUANTUM: Duration = Duration::from_millis(4);

/// By so much a service may exceed its share before it has to wait: requests that come in twos.
const LITTLE: Duration = Duration::from_millis(1);

/// How far back it matters who used how much: after so long without need of a decision all begin anew.
pub const WINDOW: Duration = Duration::from_millis(20);

/// A turn that has not begun for so long is not counted on.
const LOST: Duration = Duration::from_millis(500);

/// What a nanosecond costs a service of weight 1: large enough to be divided by other weights.
const PRICE: u128 = 1000;

/// The least that a turn is thought to take.
const SHORTEST: Duration = Duration::from_micros(1);

/// Processor time by weight.
type Tag = u128;

/// A service among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account(usize);

impl Account {
    /// A number that no other has as long as it is there.
    pub fn number(self) -> usize {
        self.0
    }
}

/// A turn under way. It has to be [`ended`](Shares::ended).
#[derive(Debug)]
pub struct Grant {
    account: Account,
    number: u64,
    guess: Duration,
}

/// What a turn is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To begin something.
    Begin,
    /// The same, on a processor that has worked for a [`QUANTUM`] and is to look first who else has
    /// come.
    BeginAfterOthers,
    /// To go on with a computation that was interrupted: all others that are ready go first.
    GoOn,
}

/// What comes of asking for a turn.
#[derive(Debug)]
pub enum Asked {
    /// It may go on at once, whatever is given out: it has had less than its share.
    Free(Grant),
    /// It may go on.
    Given(Grant),
    /// It is [`next`](Shares::next) some time.
    Waits,
}

/// The policy. `W` is who waits.
#[derive(Debug)]
pub struct Shares<W> {
    /// Given out at the most.
    budget: Duration,
    /// What all processors do in a [`WINDOW`].
    window: Duration,
    /// Given out: the sum over `turns`.
    given: Duration,
    /// The virtual time: the largest tag that a turn began with.
    time: Tag,
    /// When a turn was last asked for.
    asked: Duration,
    /// What was used in an earlier era is forgotten.
    era: u64,
    accounts: Vec<Owner<W>>,
    vacant: Vec<usize>,
    /// Those for whom somebody waits.
    queue: BTreeSet<(Tag, Account)>,
    /// What the turns that count are thought to take.
    turns: BTreeMap<u64, Duration>,
    /// When those were given that have not begun.
    unbegun: BTreeMap<u64, Duration>,
    number: u64,
}

#[derive(Debug)]
struct Owner<W> {
    weight: NonZeroU32,
    tag: Tag,
    /// All that the service had used when it was last charged.
    seen: Duration,
    /// How long one of its turns takes.
    guess: Duration,
    era: u64,
    /// Under way.
    turns: usize,
    waiting: VecDeque<(Need, W)>,
}

impl<W> Owner<W> {
    fn price(&self, time: Duration) -> Tag {
        time.as_nanos() * PRICE / Tag::from(self.weight.get())
    }
}

impl<W> Shares<W> {
    /// For so many processors, shared by nobody yet.
    pub fn new(processors: usize) -> Self {
        let processors = u32::try_from(processors.max(1)).unwrap_or(u32::MAX);
        Self {
            budget: QUANTUM.saturating_mul(processors),
            window: WINDOW.saturating_mul(processors),
            given: Duration::ZERO,
            time: 0,
            asked: Duration::ZERO,
            era: 0,
            accounts: Vec::new(),
            vacant: Vec::new(),
            queue: BTreeSet::new(),
            turns: BTreeMap::new(),
            unbegun: BTreeMap::new(),
            number: 0,
        }
    }

    /// One more service that shares the processors. What it has `used` already doesn't matter.
    pub fn join(&mut self, weight: NonZeroU32, used: Duration) -> Account {
        let owner = Owner {
            weight,
            tag: self.time,
            seen: used,
            guess: QUANTUM,
            era: self.era,
            turns: 0,
            waiting: VecDeque::new(),
        };
        if let Some(index) = self.vacant.pop() {
            self.accounts[index] = owner;
            return Account(index);
        }
        self.accounts.push(owner);
        Account(self.accounts.len() - 1)
    }

    /// A service is no more: none of its turns is under way, and nobody waits for one. Its account will
    /// be another's.
    pub fn leave(&mut self, account: Account) {
        self.vacant.push(account.0);
    }

    /// What a service uses from now on is charged by another weight.
    pub fn set_weight(&mut self, account: Account, weight: NonZeroU32) {
        self.owner(account).weight = weight;
    }

    /// Asks for a turn. `used` is all that the service has used so far. `waiter` makes who is
    /// to be told, if it has to wait.
    pub fn ask(
        &mut self,
        account: Account,
        used: Duration,
        now: Duration,
        need: Need,
        waiter: impl FnOnce() -> W,
    ) -> Asked {
        if self.queue.is_empty() && now.saturating_sub(self.asked) > WINDOW {
            self.era += 1;
        }
        self.asked = self.asked.max(now);
        self.settle(account, used);
        let time = self.time;
        let owner = self.owner(account);
        if owner.waiting.is_empty() {
            let tag = owner.tag;
            if tag <= time + owner.price(LITTLE) {
                return Asked::Free(self.begin(account, need));
            }
            if self.queue.is_empty() && self.given < self.budget && need == Need::Begin {
                return Asked::Given(self.give(account, need, now));
            }
            self.queue.insert((tag, account));
        }
        self.owner(account).waiting.push_back((need, waiter()));
        Asked::Waits
    }

    /// Who of those who wait has the next turn; `None` if enough is given out, or nobody waits. To be
    /// asked after everything that may have changed that, and when a processor is about to be `idle`:
    /// then whatever was given out is not what it can do.
    pub fn next(&mut self, now: Duration, idle: bool) -> Option<(W, Grant)> {
        self.expire(now);
        if self.given >= self.budget && !idle {
            return None;
        }
        let (_, account) = self.queue.pop_first()?;
        let (need, waiter) = self.owner(account).waiting.pop_front()?;
        let grant = self.give(account, need, now);
        let owner = self.owner(account);
        if !owner.waiting.is_empty() {
            let tag = owner.tag;
            self.queue.insert((tag, account));
        }
        Some((waiter, grant))
    }

    /// A turn has begun: it runs.
    pub fn begun(&mut self, grant: &Grant) {
        self.unbegun.remove(&grant.number);
    }

    /// A turn is over. `used` is all that the service has used so far.
    pub fn ended(&mut self, grant: &Grant, used: Duration) {
        let took = self.settle(grant.account, used);
        let owner = self.owner(grant.account);
        owner.guess = ((owner.guess * 7 + took) / 8).clamp(SHORTEST, QUANTUM);
        self.unused(grant);
    }

    /// A turn was given to somebody who has gone.
    pub fn unused(&mut self, grant: &Grant) {
        self.unbegun.remove(&grant.number);
        self.uncount(grant.number);
        let guess = grant.guess;
        // charged when it was given; what was really used is charged as well
        self.change(grant.account, |owner| {
            owner.turns = owner.turns.saturating_sub(1);
            owner.tag = owner.tag.saturating_sub(owner.price(guess));
        });
    }

    /// Whether somebody waits.
    pub fn is_crowded(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Charges what a service has used since it was last looked at, and tells how much that was.
    fn settle(&mut self, account: Account, used: Duration) -> Duration {
        let (era, time, most) = (self.era, self.time, self.window);
        let mut took = Duration::ZERO;
        self.change(account, |owner| {
            took = used.saturating_sub(owner.seen);
            owner.seen = used;
            if owner.era == era {
                // what it used when nobody looked was no loss to others, or not for long
                owner.tag += owner.price(took.min(most));
            } else {
                owner.era = era;
                owner.tag = time;
            }
        });
        took
    }

    /// Changes a tag, and the service's place in the queue with it.
    fn change(&mut self, account: Account, change: impl FnOnce(&mut Owner<W>)) {
        let owner = self.owner(account);
        let before = owner.tag;
        change(owner);
        let after = owner.tag;
        if after != before && self.queue.remove(&(before, account)) {
            self.queue.insert((after, account));
        }
    }

    /// A turn of somebody who waits, or would have to.
    fn give(&mut self, account: Account, need: Need, now: Duration) -> Grant {
        self.time = self.time.max(self.owner(account).tag);
        let grant = self.begin(account, need);
        self.unbegun.insert(grant.number, now);
        grant
    }

    /// A turn, charged ahead by what it is thought to take.
    fn begin(&mut self, account: Account, need: Need) -> Grant {
        self.number += 1;
        let (number, time) = (self.number, self.time);
        let owner = self.owner(account);
        let guess = owner.guess;
        // one that goes on is still owed what it lost to others, within a window
        let owed = match owner.turns {
            0 => 0,
            _ => owner.price(WINDOW),
        };
        owner.turns += 1;
        owner.tag = owner.tag.max(time.saturating_sub(owed)) + owner.price(guess);
        // a computation has its processor until it is interrupted again, though that may be soon
        let part = match need {
            Need::Begin | Need::BeginAfterOthers => guess,
            Need::GoOn => QUANTUM,
        };
        self.given += part;
        self.turns.insert(number, part);
        Grant {
            account,
            number,
            guess,
        }
    }

    fn owner(&mut self, account: Account) -> &mut Owner<W> {
        &mut self.accounts[account.0]
    }

    /// Who has not begun for so long can't, for whatever reason, and keeps a processor from others.
    fn expire(&mut self, now: Duration) {
        while let Some(first) = self.unbegun.first_entry()
            && now.saturating_sub(*first.get()) > LOST
        {
            let (number, _) = first.remove_entry();
            self.uncount(number);
        }
    }

    fn uncount(&mut self, number: u64) {
        if let Some(guess) = self.turns.remove(&number) {
            self.given = self.given.saturating_sub(guess);
        }
    }
}

#[cfg(test)]
mod tests;
