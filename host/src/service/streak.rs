//! Whose turn it is.
//!
//! An instance that has just served a request has its memory in the caches of the processor that did
//! it. So each thread goes on with the same instance for a few jobs before the turn goes on to the
//! next: close to what is fastest, and yet none gets all the work.

use crate::telemetry::shards::{places, this_thread};

/// Jobs that one thread begins its search with at the same instance.
const LENGTH: u32 = 8;

/// The turns of all threads. Those of one pool are behind its lock.
pub(super) struct Streaks {
    next: usize,
    of_threads: Vec<Streak>,
}

#[derive(Clone, Copy, Default)]
struct Streak {
    at: usize,
    left: u32,
}

impl Default for Streaks {
    fn default() -> Self {
        Self {
            next: 0,
            of_threads: vec![Streak::default(); places()],
        }
    }
}

impl Streaks {
    /// The index where this thread looks first for one of `count` instances.
    pub(super) fn turn(&mut self, count: usize) -> usize {
        let threads = self.of_threads.len();
        let streak = &mut self.of_threads[this_thread() % threads];
        if streak.left == 0 {
            *streak = Streak {
                at: self.next,
                left: LENGTH,
            };
            self.next = self.next.wrapping_add(1);
        }
        streak.left -= 1;
        streak.at % count.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instance_has_its_streak_in_turn() {
        let mut streaks = Streaks::default();
        for round in 0..3 {
            for instance in 0..4 {
                for _ in 0..LENGTH {
                    assert_eq!(streaks.turn(4), instance, "round {round}");
                }
            }
        }
    }
}
