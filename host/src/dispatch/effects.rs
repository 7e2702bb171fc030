//! What a try did that the world outside its instance can see.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// The effects of one try. Its answer is not among them: the dispatcher has that, and once it passes
/// anything of it on there is no other try.
///
/// A try of a job that another service asked for is part of that one's try: what it does, its caller
/// did. A try that is [over](Self::close) may be run again, and then nothing that is left of it may
/// have an effect any more.
#[derive(Debug, Default)]
pub struct Effects {
    seen: AtomicU8,
    /// Of the tries that this one is part of.
    callers: Vec<Arc<Effects>>,
}

/// One kind of visible effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Effect {
    /// A write to a key-value bucket was asked for.
    Write = 1,
    /// A request to the network was sent.
    Outbound = 2,
}

/// Beside the effects: there must be no more.
const CLOSED: u8 = 128;

/// An effect is not allowed any more: the try, or one that it is part of, was given up, and may be
/// running again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request that this is part of was given up, and may be running again")]
pub struct Superseded;

impl Effects {
    /// Those of a try that is part of others.
    pub fn part_of(callers: Vec<Arc<Effects>>) -> Self {
        Self {
            seen: AtomicU8::new(0),
            callers,
        }
    }

    /// Records an effect. Call it before the effect happens.
    ///
    /// # Errors
    ///
    /// The effect must not happen.
    pub fn record(&self, effect: Effect) -> Result<(), Superseded> {
        // the outermost first: once that has it, nobody runs it again
        for caller in &self.callers {
            caller.record(effect)?;
        }
        let before = self.seen.fetch_or(effect as u8, Ordering::AcqRel);
        if before & CLOSED == 0 {
            Ok(())
        } else {
            Err(Superseded)
        }
    }

    /// The try is over. Whether nothing has become visible, which is final.
    pub fn close(&self) -> bool {
        self.seen.fetch_or(CLOSED, Ordering::AcqRel) & !CLOSED == 0
    }

    /// Whether nothing has become visible so far.
    pub fn none(&self) -> bool {
        self.seen.load(Ordering::Acquire) & !CLOSED == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_effect_once_recorded_stays() {
        let effects = Effects::default();
        assert!(effects.none());
        effects.record(Effect::Write).unwrap();
        effects.record(Effect::Outbound).unwrap();
        assert!(!effects.none());
        assert!(!effects.close());
    }

    #[test]
    fn a_try_that_was_given_up_has_no_effect_any_more() {
        let effects = Effects::default();
        assert!(effects.close());
        assert_eq!(effects.record(Effect::Write), Err(Superseded));
    }

    proptest! {
        /// Tries call one another in a tree, record effects and are closed in any order: whoever was
        /// told at its closing that nothing had happened is right for ever.
        #[test]
        fn nothing_happens_in_a_call_whose_caller_was_told_that_nothing_did(
            parents in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
            steps in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..40),
        ) {
            let mut tree: Vec<(Arc<Effects>, Vec<usize>)> = vec![(Arc::default(), vec![0])];
            for parent in parents {
                let (above, mut path) = tree[parent.index(tree.len())].clone();
                path.push(tree.len());
                tree.push((Arc::new(Effects::part_of(vec![above])), path));
            }
            let mut clean = vec![false; tree.len()];
            for (which, closes) in steps {
                let which = which.index(tree.len());
                let (effects, path) = &tree[which];
                if closes {
                    clean[which] |= effects.close();
                } else if effects.record(Effect::Write).is_ok() {
                    prop_assert!(path.iter().all(|above| !clean[*above]));
                }
            }
        }
    }
}
