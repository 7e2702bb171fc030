//! The last things that happened, for who asks and for who follows.
//!
//! A [`Feed`] is one ring with a number for each entry. A follower is no more than the number that it
//! wants next: it reads from the ring what came since, and waits for more. So there is no second
//! buffer that could run full, the backlog joins what comes live without gap or repeat, and whoever
//! writes waits for nobody. A follower that is so slow that the ring has gone on is told how many
//! entries it missed.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::{Stream, stream};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Entries that are looked at under the lock at once, so that a reader never holds a writer up.
const AT_ONCE: usize = 128;

/// What a feed keeps at most; the oldest entries go first. The latest is kept in any case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Entries.
    pub(super) entries: usize,
    /// Bytes of all entries together.
    pub(super) bytes: usize,
}

/// What can be in a feed.
pub(super) trait Entry: Send + Sync + 'static {
    /// The bytes that it takes, about.
    fn bytes(&self) -> usize;
}

/// Where a follower begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// With the last entries that are kept, as many as this.
    Last(usize),
    /// With what came after the entry of this number.
    After(u64),
}

/// What a follower gets.
#[derive(Debug)]
pub(super) enum Next<T> {
    /// An entry.
    Entry(Arc<T>),
    /// Entries are not kept any more that the follower had not got: so many, whatever it looks for,
    /// up to the one of this number.
    Missed {
        /// How many.
        count: u64,
        /// The last of them.
        last: u64,
    },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Feed<T> {
    ring: Mutex<Ring<T>>,
    /// Told when there is another entry, or when it is closed.
    news: Notify,
}

#[derive(Debug)]
struct Ring<T> {
    bounds: Bounds,
    entries: VecDeque<Arc<T>>,
    bytes: usize,
    /// The number of the latest entry; the first one is 1.
    latest: u64,
    closed: bool,
}

/// What a follower found in the ring.
enum Found<T> {
    Next(Next<T>),
    Nothing,
    Closed,
}

/// What one follower keeps: what it has read and not given out, and what it has read up to.
struct Follower<T, F> {
    feed: Arc<Feed<T>>,
    read: VecDeque<Arc<T>>,
    upto: u64,
    wanted: F,
}

impl<T: Entry> Feed<T> {
    /// An empty feed.
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            ring: Mutex::new(Ring {
                bounds,
                entries: VecDeque::new(),
                bytes: 0,
                latest: 0,
                closed: false,
            }),
            news: Notify::new(),
        })
    }

    /// Adds an entry, which is made with its number, and returns it.
    pub(super) fn push(&self, make: impl FnOnce(u64) -> T) -> Arc<T> {
        let entry = self.ring.lock().push(make);
        self.news.notify_waiters();
        entry
    }

    /// The last entries that are `wanted`, at most `count`, oldest first.
    pub(super) fn last(&self, count: usize, wanted: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let ring = self.ring.lock();
        let newest = ring.entries.iter().rev().filter(|entry| wanted(entry));
        let mut last: Vec<_> = newest.take(count).cloned().collect();
        last.reverse();
        last
    }

    /// Ends all followers once they have got what is there.
    pub(super) fn close(&self) {
        self.ring.lock().closed = true;
        self.news.notify_waiters();
    }

    /// The entries that are `wanted`, from `start` on, as they come. Where that is, is settled now and
    /// not when the stream is first polled.
    pub(super) fn follow<F>(
        self: &Arc<Self>,
        start: Start,
        wanted: F,
    ) -> impl Stream<Item = Next<T>> + Send + use<T, F>
    where
        F: Fn(&T) -> bool + Send + 'static,
    {
        let follower = Follower {
            upto: self.ring.lock().position(start, &wanted),
            feed: Arc::clone(self),
            read: VecDeque::new(),
            wanted,
        };
        stream::unfold(follower, async |mut follower| {
            follower.next().await.map(|next| (next, follower))
        })
    }
}

impl<T: Entry> Ring<T> {
    fn push(&mut self, make: impl FnOnce(u64) -> T) -> Arc<T> {
        self.latest += 1;
        let entry = Arc::new(make(self.latest));
        self.bytes += entry.bytes();
        self.entries.push_back(Arc::clone(&entry));
        while self.is_over_full()
            && let Some(oldest) = self.entries.pop_front()
        {
            self.bytes -= oldest.bytes();
        }
        entry
    }

    fn is_over_full(&self) -> bool {
        let over = self.entries.len() > self.bounds.entries || self.bytes > self.bounds.bytes;
        over && self.entries.len() > 1
    }

    /// The number before that of the oldest entry.
    fn forgotten(&self) -> u64 {
        self.latest - self.entries.len() as u64
    }

    /// What a follower that starts there has read already.
    fn position(&self, start: Start, wanted: impl Fn(&T) -> bool) -> u64 {
        match start {
            // a number that is yet to come is none of this feed
            Start::After(number) => number.min(self.latest),
            Start::Last(0) => self.latest,
            Start::Last(count) => {
                let newest = (1..=self.latest).rev().zip(self.entries.iter().rev());
                let mut wanted = newest.filter(|(_, entry)| wanted(entry));
                let first = wanted.nth(count - 1);
                first.map_or_else(|| self.forgotten(), |(number, _)| number - 1)
            }
        }
    }
}

impl<T: Entry, F: Fn(&T) -> bool> Follower<T, F> {
    /// What comes next; `None` once the feed is closed.
    async fn next(&mut self) -> Option<Next<T>> {
        let feed = Arc::clone(&self.feed);
        loop {
            // before the look: what comes in between is not missed
            let news = feed.news.notified();
            match self.look() {
                Found::Next(next) => return Some(next),
                Found::Closed => return None,
                Found::Nothing => news.await,
            }
        }
    }

    fn look(&mut self) -> Found<T> {
        loop {
            if let Some(entry) = self.read.pop_front() {
                return Found::Next(Next::Entry(entry));
            }
            let ring = self.feed.ring.lock();
            let forgotten = ring.forgotten();
            if self.upto < forgotten {
                let count = forgotten - self.upto;
                self.upto = forgotten;
                let last = forgotten;
                return Found::Next(Next::Missed { count, last });
            }
            if self.upto == ring.latest {
                return if ring.closed {
                    Found::Closed
                } else {
                    Found::Nothing
                };
            }
            let kept = ring.entries.len();
            let skipped = usize::try_from(self.upto - forgotten).unwrap_or(kept);
            let entries = ring.entries.range(skipped..kept).take(AT_ONCE);
            self.upto += entries.len() as u64;
            let wanted = entries.filter(|entry| (self.wanted)(entry));
            self.read.extend(wanted.cloned());
        }
    }
}

#[cfg(test)]
mod tests;
