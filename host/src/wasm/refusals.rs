//! Which refusals were logged already.

use std::collections::HashSet;

/// Things one instance was refused, each to be logged once: a guest that asks for the same thing
/// with every request would bury every other line.
#[derive(Default)]
pub(super) struct Refusals(HashSet<String>);

impl Refusals {
    /// More different things than this are not logged.
    const MOST: usize = 32;

    /// Whether `what` is refused for the first time.
    pub(super) fn first(&mut self, what: &str) -> bool {
        self.0.len() < Self::MOST && self.0.insert(what.to_owned())
    }
}
