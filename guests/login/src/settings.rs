//! What the operator can set: strings, read into numbers that cannot be wrong.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;

use accounts_core::problem::Problem;
use thiserror::Error;

use crate::throttle::Policy;

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

/// Where settings come from.
pub(crate) trait Settings {
    /// The value of `key`; `None` if the operator has not set it.
    fn get(&self, key: &str) -> Result<Option<String>, SettingsError>;

    /// The whole number under `key`, or `default` if it is not set.
    fn number<N>(
        &self,
        key: &'static str,
        allowed: RangeInclusive<u32>,
        default: N,
    ) -> Result<N, SettingsError>
    where
        N: TryFrom<u32>,
    {
        let Some(value) = self.get(key)? else {
            return Ok(default);
        };
        let number = u32::from_str(&value)
            .ok()
            .filter(|number| allowed.contains(number));
        let number = number.and_then(|number| N::try_from(number).ok());
        number.ok_or(SettingsError::NotANumber {
            key,
            value,
            least: *allowed.start(),
            most: *allowed.end(),
        })
    }
}

/// Why a setting is not to be had.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    /// It is not a number, or too small, or too large.
    #[error(
        "`{key}` under `grants.config` of the service's manifest is {value:?}; \
         it must be a whole number from {least} to {most}"
    )]
    NotANumber {
        /// The setting.
        key: &'static str,
        /// What the operator wrote.
        value: String,
        /// The least number allowed.
        least: u32,
        /// The greatest number allowed.
        most: u32,
    },
    /// The host failed to look.
    #[error("the settings can't be read: {0}")]
    Host(String),
}

impl From<SettingsError> for Problem {
    fn from(error: SettingsError) -> Self {
        Self::internal(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU64;

    struct One(Option<&'static str>);

    impl Settings for One {
        fn get(&self, _key: &str) -> Result<Option<String>, SettingsError> {
            Ok(self.0.map(str::to_owned))
        }
    }

    fn ttl(value: Option<&'static str>) -> Result<u64, String> {
        One(value)
            .number("ttl", 1..=100, NonZeroU64::MAX.get())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_number_is_read_and_a_missing_one_has_its_default() {
        assert_eq!(ttl(Some("7")), Ok(7));
        assert_eq!(ttl(None), Ok(u64::MAX));
    }

    #[test]
    fn what_is_no_number_in_range_is_refused_with_what_is_allowed() {
        for value in ["0", "101", "-1", "1h", "", " 7", "99999999999"] {
            let refused = ttl(Some(value)).unwrap_err();
            assert!(
                refused.contains("`ttl`") && refused.contains("from 1 to 100"),
                "{refused}"
            );
            assert!(refused.contains(&format!("{value:?}")), "{refused}");
        }
    }

    #[test]
    fn a_failure_of_the_host_is_no_missing_setting() {
        struct Broken;
        impl Settings for Broken {
            fn get(&self, _key: &str) -> Result<Option<String>, SettingsError> {
                Err(SettingsError::Host("out of order".to_owned()))
            }
        }
        let refused = LoginSettings::read(&Broken).unwrap_err();
        assert!(refused.to_string().contains("out of order"), "{refused}");
    }
}
