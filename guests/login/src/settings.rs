//! What the operator can set.

use std::num::NonZeroU32;

use accounts_core::settings::{Settings, SettingsError};
use accounts_core::throttle::Policy;

const DAY: u32 = 24 * 60 * 60;
const MAX_FAILURES: NonZeroU32 = NonZeroU32::new(5).unwrap();
const WINDOW: NonZeroU32 = NonZeroU32::new(300).unwrap();

/// The service's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoginSettings {
    /// How long a token is valid, in seconds.
    pub(crate) token_ttl: u32,
    /// When a name has to wait.
    pub(crate) throttle: Policy,
}

impl LoginSettings {
    /// Reads the settings `token_ttl_seconds`, `max_failures` and `failure_window_seconds`.
    pub(crate) fn read(settings: &impl Settings) -> Result<Self, SettingsError> {
        let token_ttl = settings.number("token_ttl_seconds", 1..=365 * DAY, 3600)?;
        let max_failures = settings.number("max_failures", 1..=1000, MAX_FAILURES)?;
        let window = settings.number("failure_window_seconds", 1..=DAY, WINDOW)?;
        Ok(Self {
            token_ttl,
            throttle: Policy {
                max_failures,
                window,
            },
        })
    }
}
