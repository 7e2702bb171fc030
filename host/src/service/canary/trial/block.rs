//! The requests that are judged together.
//!
//! A block is so long that the canary is in it a few times: of a shorter one little could be said,
//! and a longer one would say it late. Its length is fixed when it begins, by how the requests were
//! dealt out so far and never by how they ended; on that the test depends.

use super::Arm;

/// Requests in the shortest block, and in the first.
const SHORTEST: u64 = 32;

/// Requests in the longest, which is that of a very small share.
const LONGEST: u64 = 2048;

/// How many of them the canary should have.
const CANARY: u64 = 8;

/// Two arms, and in each those that failed (or were slow) and those that didn't.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// Requests of the canary.
    pub canary: u32,
    /// Requests of both.
    pub all: u32,
    /// Failures of the canary.
    pub canary_failed: u32,
    /// Failures of both.
    pub all_failed: u32,
}

impl Table {
    fn note(&mut self, arm: Arm, failed: bool) {
        let canary = u32::from(arm == Arm::Canary);
        self.canary += canary;
        self.all += 1;
        self.canary_failed += canary * u32::from(failed);
        self.all_failed += u32::from(failed);
    }
}

/// A block that isn't complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Requests by whether they failed.
    pub failed: Table,
    /// Answers by whether they were slow.
    pub slow: Table,
    left: u64,
}

impl Block {
    pub(super) fn first() -> Self {
        Self::after(0, 0)
    }

    /// The block that follows on so many requests. It is never longer than all before it together.
    pub(super) fn after(canary: u64, running: u64) -> Self {
        let seen = canary.saturating_add(running);
        let wanted = seen.saturating_add(1).saturating_mul(CANARY) / canary.saturating_add(1);
        Self {
            failed: Table::default(),
            slow: Table::default(),
            left: seen.min(wanted).clamp(SHORTEST, LONGEST),
        }
    }

    /// Requests until it is complete.
    #[cfg(test)]
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// `slow` is `None` for what is not compared. `true` when the block is complete.
    pub(super) fn note(&mut self, arm: Arm, failed: bool, slow: Option<bool>) -> bool {
        self.failed.note(arm, failed);
        if let Some(slow) = slow {
            self.slow.note(arm, slow);
        }
        self.left = self.left.saturating_sub(1);
        self.left == 0
    }
}
