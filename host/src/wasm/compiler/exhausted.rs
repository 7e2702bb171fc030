//! Components that took more than they may.
//!
//! The same file may be there under many names, or be laid in again and again. Trying it each time would
//! keep the others waiting each time, for as long as a component may take.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::wasm::component::ComponentError;

/// How long it is known. The machine may have been busy, and it deserves another try.
const KNOWN: Duration = Duration::from_mins(10);

/// What there was not enough of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exhausted {
    /// All of the time that it may take.
    Time(Duration),
    /// All of the memory, in bytes.
    Memory(u64),
}

/// See the module.
#[derive(Default)]
pub(super) struct Known(HashMap<Arc<str>, (Instant, Exhausted)>);

impl Exhausted {
    /// What a refusal says of it; `None` if it was refused for something else.
    fn of(error: &ComponentError) -> Option<Self> {
        match *error {
            ComponentError::TooLong { allowed } => Some(Self::Time(allowed)),
            ComponentError::TooMuchMemory { allowed } => Some(Self::Memory(allowed)),
            _ => None,
        }
    }
}

impl From<Exhausted> for ComponentError {
    fn from(exhausted: Exhausted) -> Self {
        match exhausted {
            Exhausted::Time(allowed) => Self::TooLong { allowed },
            Exhausted::Memory(allowed) => Self::TooMuchMemory { allowed },
        }
    }
}

impl Known {
    /// What is known of the component with this digest.
    pub(super) fn find(&mut self, digest: &str, now: Instant) -> Option<Exhausted> {
        self.0
            .retain(|_, (since, _)| now.saturating_duration_since(*since) < KNOWN);
        self.0.get(digest).map(|(_, exhausted)| *exhausted)
    }

    /// Notes why a component was refused, if it is one of these reasons.
    pub(super) fn note(&mut self, digest: &Arc<str>, error: &ComponentError, now: Instant) {
        if let Some(exhausted) = Exhausted::of(error) {
            self.0.insert(Arc::clone(digest), (now, exhausted));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_too_much_is_known_for_a_while() {
        let (mut known, start) = (Known::default(), Instant::now());
        let [bomb, other]: [Arc<str>; 2] = ["bomb".into(), "other".into()];
        known.note(&bomb, &Exhausted::Memory(1).into(), start);
        known.note(&other, &ComponentError::CoreModule, start);
        let just_before = start + KNOWN.saturating_sub(Duration::from_nanos(1));
        assert_eq!(known.find("bomb", just_before), Some(Exhausted::Memory(1)));
        assert_eq!(known.find("other", just_before), None);
        assert_eq!(known.find("bomb", start + KNOWN), None);
        assert!(known.0.is_empty(), "nothing is kept for ever");
    }

    #[test]
    fn it_is_told_in_the_same_words_again() {
        for exhausted in [Exhausted::Time(KNOWN), Exhausted::Memory(1 << 30)] {
            assert_eq!(Exhausted::of(&exhausted.into()), Some(exhausted));
        }
    }
}
