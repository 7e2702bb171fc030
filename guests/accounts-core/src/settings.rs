//! Settings: strings from the operator, read into numbers that cannot be wrong.

use std::ops::RangeInclusive;
use std::str::FromStr;

use thiserror::Error;

/// Where settings come from.
pub trait Settings {
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
pub enum SettingsError {
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
}
