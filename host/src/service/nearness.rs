//! Which instances a thread had better use: what an instance has in memory would else go from one processor's
//! cache to the other's with each request.

use std::time::Duration;

/// How long a thread stays with an instance: dozens of requests when there are many, and one or two if there is
/// but one at a time.
pub const STAY: Duration = Duration::from_micros(200);

/// In whose cache an instance's memory is likely to be. What is better comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// In that of the thread that asks.
    Near,
    /// In nobody's.
    Anywhere,
    /// In another thread's.
    Away,
}

/// Which thread stays with an instance, and since when.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stay(Option<(usize, Duration)>);

impl Stay {
    /// A thread uses the instance.
    pub fn used(&mut self, thread: usize, now: Duration) {
        if self.nearness(thread, now) != Nearness::Near {
            self.0 = Some((thread, now));
        }
    }

    /// How near it is to a thread.
    pub fn nearness(&self, thread: usize, now: Duration) -> Nearness {
        match self.0 {
            Some((one, since)) if now.saturating_sub(since) < STAY => {
                if one == thread {
                    Nearness::Near
                } else {
                    Nearness::Away
                }
            }
            _ => Nearness::Anywhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_for_a_moment_and_is_left_alone_meanwhile() {
        let mut stay = Stay::default();
        let start = Duration::from_secs(7);
        let nearness =
            |stay: &Stay, after| [1, 2].map(|thread| stay.nearness(thread, start + after));
        assert_eq!(nearness(&stay, Duration::ZERO), [Nearness::Anywhere; 2]);
        stay.used(1, start);
        stay.used(1, start + STAY / 2);
        let there = [Nearness::Near, Nearness::Away];
        assert_eq!(nearness(&stay, STAY.mul_f32(0.99)), there);
        assert_eq!(
            nearness(&stay, STAY),
            [Nearness::Anywhere; 2],
            "however often it was used"
        );
        stay.used(2, start + STAY / 2);
        assert_eq!(nearness(&stay, STAY), [Nearness::Away, Nearness::Near]);
    }
}
