//! How many requests may share an instance after one of them brought it down?
//!
//! An instance that runs several requests at once takes all of them along when it traps, and nobody
//! can say which of them was the cause. So after such a trap the release runs one request per
//! instance: the next to trap is the culprit, and dies alone. Concurrency is earned back by success:
//! it doubles after a number of requests in a row that were served without a trap, and that number
//! grows with each trap that comes before all of it was earned back. Down at once and up by doubling is
//! what TCP does after a time-out (slow start; Jacobson, *Congestion avoidance and control*, 1988).

use std::num::NonZeroUsize;

/// Requests served in a row that earn the first doubling after a first trap.
pub const FIRST: u64 = 100;

/// The most that are ever asked for one doubling.
pub const MOST: u64 = 100_000;

/// The memory of the policy for one release.
#[derive(Clone, Copy, Debug)]
pub struct Downshift {
    full: NonZeroUsize,
    now: NonZeroUsize,
    /// Requests served since the last change.
    served: u64,
    /// What the next doubling costs.
    price: u64,
}

impl Downshift {
    /// Full concurrency; `full` is how many requests an instance may hold at the most.
    pub fn new(full: NonZeroUsize) -> Self {
        Self {
            full,
            now: full,
            served: 0,
            price: FIRST,
        }
    }

    /// Requests that an instance may hold now. One that holds more already keeps them.
    pub fn capacity(&self) -> NonZeroUsize {
        self.now
    }

    /// An instance died of a trap, or of memory, while it held so many requests, the one that may
    /// have been the cause included. `true` if the capacity changed.
    pub fn trapped(&mut self, held: usize) -> bool {
        self.served = 0;
        // one that was alone took nobody along: it says nothing against sharing, but it is no time
        // to try it either
        if held < 2 || self.full.get() == 1 {
            return false;
        }
        // those that held more than one when it was forbidden die of the same old sharing
        let before = std::mem::replace(&mut self.now, NonZeroUsize::MIN);
        if before.get() == 1 {
            return false;
        }
        if before < self.full {
            self.price = self.price.saturating_mul(4).min(MOST);
        }
        true
    }

    /// A request was served in full. `true` if the capacity changed.
    pub fn served(&mut self) -> bool {
        if self.now == self.full {
            // it lasted: what was is forgiven, bit by bit
            if self.price > FIRST {
                self.served += 1;
                if self.served >= self.price.saturating_mul(10) {
                    self.served = 0;
                    self.price = (self.price / 4).max(FIRST);
                }
            }
            return false;
        }
        self.served += 1;
        if self.served < self.price {
            return false;
        }
        self.served = 0;
        self.now = self.now.saturating_add(self.now.get()).min(self.full);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(full: usize) -> Downshift {
        Downshift::new(NonZeroUsize::new(full).unwrap())
    }

    /// Requests served until the concurrency is back.
    fn climb(shift: &mut Downshift) -> u64 {
        let changes = |shift: &mut Downshift| (1..1_000_000).find(|_| shift.served()).unwrap();
        let mut all = 0;
        while shift.now < shift.full {
            all += changes(shift);
        }
        all
    }

    #[test]
    fn down_at_once_and_up_by_doubling() {
        let mut shift = of(12);
        assert!(shift.trapped(12));
        let mut steps = vec![shift.capacity().get()];
        for _ in 0..4 * FIRST {
            if shift.served() {
                steps.push(shift.capacity().get());
            }
        }
        assert_eq!(steps, [1, 2, 4, 8, 12]);
    }

    #[test]
    fn a_trap_on_the_way_up_makes_the_way_longer_and_long_peace_shorter() {
        let mut shift = of(16);
        shift.trapped(3);
        assert_eq!(climb(&mut shift), 4 * FIRST);
        shift.trapped(3);
        assert_eq!(climb(&mut shift), 4 * FIRST);
        shift.trapped(3);
        for _ in 0..FIRST {
            shift.served();
        }
        shift.trapped(2);
        assert_eq!(climb(&mut shift), 16 * FIRST);
        for _ in 0..40 * FIRST {
            assert!(!shift.served());
        }
        shift.trapped(2);
        assert_eq!(climb(&mut shift), 4 * FIRST);
    }

    #[test]
    fn a_trap_of_one_that_was_alone_changes_nothing_but_begins_the_count_anew() {
        let mut shift = of(16);
        assert!(!shift.trapped(1));
        assert_eq!(shift.capacity().get(), 16);
        shift.trapped(16);
        assert!(!shift.trapped(16), "those that were full already");
        for _ in 1..FIRST {
            shift.served();
        }
        shift.trapped(1);
        assert!(!shift.served());
        assert_eq!(climb(&mut shift), 4 * FIRST - 1);
        assert!(!of(1).trapped(1));
    }

    proptest! {
        #[test]
        fn between_one_and_full_and_never_up_without_the_price(
            full in 1usize..40, events in prop::collection::vec((0usize..5, 1u32..300), 0..60)
        ) {
            let mut shift = of(full);
            let mut served = 0;
            for (held, times) in events {
                if held > 0 {
                    shift.trapped(held);
                    served = 0;
                    prop_assert!(held < 2 || shift.capacity().get() == 1);
                    continue;
                }
                for _ in 0..times {
                    let before = shift.capacity();
                    served += 1;
                    if shift.served() {
                        prop_assert!(served >= FIRST && shift.capacity() > before);
                        served = 0;
                    }
                    prop_assert!((1..=full).contains(&shift.capacity().get()));
                    prop_assert!(shift.capacity().get() <= 2 * before.get());
                }
            }
        }
    }
}
