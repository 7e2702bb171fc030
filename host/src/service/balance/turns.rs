//! Where the search for an instance starts, which decides among equals.
//!
//! The turn goes round, so that all instances stay warm and none collects all the work. But what a
//! processor's caches hold of an instance is worth a tenth of a short request's time, so a thread stays
//! with one for a [run](RUN) of jobs while they follow one another [closely](CLOSE).

use std::num::NonZeroUsize;
use std::time::Duration;

/// Jobs in a row that a thread's favourite instance gets before the turn goes on.
const RUN: u32 = 32;

/// Jobs of a thread that begin no further apart follow one another closely. Who asks slowly finds nothing
/// in the caches, whichever instance it is.
const CLOSE: Duration = Duration::from_micros(500);

/// See the module.
#[derive(Debug)]
pub struct Turns {
    /// Where who has no favourite starts.
    next: usize,
    favourites: Vec<Favourite>,
}

/// The instance that one thread stays with.
#[derive(Clone, Copy, Debug, Default)]
struct Favourite {
    index: usize,
    /// Jobs that it still gets.
    left: u32,
    /// When it got the last one.
    last: Duration,
}

impl Favourite {
    fn counts(&self, now: Duration) -> bool {
        self.left > 0 && now.saturating_sub(self.last) <= CLOSE
    }
}

impl Turns {
    /// For so many threads; it is none the worse for having fewer or more.
    pub fn of(threads: NonZeroUsize) -> Self {
        Self {
            next: 0,
            favourites: vec![Favourite::default(); threads.get()],
        }
    }

    /// Where `thread` starts its search.
    pub fn start(&self, thread: usize, now: Duration) -> usize {
        let favourite = self.favourites[thread % self.favourites.len()];
        if favourite.counts(now) {
            favourite.index
        } else {
            self.next
        }
    }

    /// `thread` gave a job to the instance with this index.
    pub fn took(&mut self, thread: usize, index: usize, now: Duration) {
        let count = self.favourites.len();
        let favourite = &mut self.favourites[thread % count];
        if favourite.index == index && favourite.counts(now) {
            favourite.left -= 1;
        } else {
            self.next = index + 1;
            favourite.index = index;
            favourite.left = RUN - 1;
        }
        favourite.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Turns {
        Turns::of(NonZeroUsize::MIN.saturating_add(1))
    }

    /// Which of four idle instances get so many jobs of one thread, so far apart.
    fn given(jobs: usize, apart: Duration) -> Vec<usize> {
        let mut turns = two();
        let mut now = Duration::ZERO;
        let mut give = || {
            now += apart;
            let index = turns.start(7, now) % 4;
            turns.took(7, index, now);
            index
        };
        (0..jobs).map(|_| give()).collect()
    }

    #[test]
    fn who_asks_slowly_goes_round() {
        assert_eq!(given(6, Duration::from_millis(1)), [0, 1, 2, 3, 0, 1]);
    }

    #[test]
    fn who_asks_fast_stays_for_a_run_and_none_gets_more_than_its_share() {
        let run = RUN as usize;
        let given = given(run * 8, Duration::from_micros(20));
        assert!(given[..run].iter().all(|&index| index == 0));
        assert!(given[run..2 * run].iter().all(|&index| index == 1));
        for index in 0..4 {
            let share = given.iter().filter(|&&given| given == index).count();
            assert_eq!(share, 2 * run);
        }
    }

    #[test]
    fn threads_have_favourites_of_their_own() {
        let (mut turns, now) = (two(), Duration::ZERO);
        turns.took(0, 0, now);
        turns.took(1, 1, now);
        assert_eq!((turns.start(0, now), turns.start(1, now)), (0, 1));
    }
}
