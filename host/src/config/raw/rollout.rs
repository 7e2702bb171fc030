//! `[rollout]` as it is written.

use std::time::Duration;

use http::HeaderName;
use serde::Deserialize;

use super::section::{LONGEST, Section};
use super::units::{Count, Span};
use crate::config::{ConfigError, Key, Rollout, Share};

/// A shorter comparison compares nothing.
const SHORTEST: Duration = Duration::from_secs(1);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRollout {
    canary: Option<String>,
    #[serde(rename = "for")]
    lasts: Option<Span>,
    max_failures: Option<Count>,
    by: Option<String>,
}

impl RawRollout {
    /// `None` if the section isn't there.
    pub(super) fn check(self, at: Section<'_>) -> Result<Option<Rollout>, ConfigError> {
        let Some(canary) = &self.canary else {
            return self.without_canary(at);
        };
        Ok(Some(Rollout {
            canary: share(at, canary)?,
            lasts: at.duration("for", self.lasts, Rollout::LASTS, SHORTEST..=LONGEST)?,
            max_failures: self
                .max_failures
                .map(|written| at.whole("max_failures", Some(written), 0, 0..=1_000_000_000))
                .transpose()?,
            by: self.by.map_or(Ok(Key::default()), |by| key(at, &by))?,
        }))
    }

    fn without_canary(self, at: Section<'_>) -> Result<Option<Rollout>, ConfigError> {
        if self.lasts.is_none() && self.max_failures.is_none() && self.by.is_none() {
            return Ok(None);
        }
        Err(at.refuse(
            "canary",
            "is missing; allowed: a share of the requests such as \"10%\"",
        ))
    }
}

/// Reads `"10%"`, `"0.5 %"`.
fn share(at: Section<'_>, text: &str) -> Result<Share, ConfigError> {
    let number = text.strip_suffix('%').map(str::trim_end);
    let (whole, fraction) = match number {
        Some(number) => number.split_once('.').unwrap_or((number, "")),
        None => ("", ""),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let hundredths = (number.is_some_and(|number| !number.ends_with('.'))
        && (1..=2).contains(&whole.len())
        && fraction.len() <= 2
        && digits(whole)
        && digits(fraction))
    .then(|| format!("{whole}{fraction:0<2}").parse().ok())
    .flatten();
    hundredths.and_then(Share::new).ok_or_else(|| {
        let problem = format!(
            "{text:?} is no share; allowed: more than 0% and less than 100%, such as \"10%\" or \"0.5%\""
        );
        at.refuse("canary", problem)
    })
}

/// Reads `"address"`, `"request"`, `"header NAME"`.
fn key(at: Section<'_>, text: &str) -> Result<Key, ConfigError> {
    let header = text.strip_prefix("header ").map(str::trim_start);
    match (text, header) {
        ("address", _) => Ok(Key::Address),
        ("request", _) => Ok(Key::Request),
        (_, Some(name)) if let Ok(name) = HeaderName::try_from(name) => Ok(Key::Header(name)),
        _ => Err(at.refuse(
            "by",
            format!(
                "{text:?} is not a part of a request; allowed: \"address\" (the client's), \"request\" (each \
                 is drawn by lot), or \"header NAME\" such as \"header x-user-id\""
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn at() -> Section<'static> {
        Section::new(Path::new("login.toml"), "rollout")
    }

    #[test]
    fn shares_are_read_to_the_hundredth_of_a_percent() {
        for (text, hundredths) in [
            ("10%", 1000),
            ("10 %", 1000),
            ("0.5%", 50),
            ("99.99%", 9999),
            ("0.01%", 1),
        ] {
            assert_eq!(
                share(at(), text).unwrap().hundredths(),
                hundredths,
                "{text}"
            );
        }
        for text in [
            "", "%", "10", "0%", "0.00%", "100%", "-1%", "1.%", ".5%", "1.234%", "ten%",
        ] {
            let error = share(at(), text).unwrap_err().to_string();
            assert!(error.contains("rollout.canary"), "{error}");
        }
    }

    #[test]
    fn a_key_is_an_address_a_header_field_or_the_request() {
        assert_eq!(key(at(), "address").unwrap(), Key::Address);
        assert_eq!(key(at(), "request").unwrap(), Key::Request);
        let header = HeaderName::from_static("x-user");
        assert_eq!(key(at(), "header X-User").unwrap(), Key::Header(header));
        for text in ["", "header", "header ", "header a b", "cookie"] {
            assert!(key(at(), text).is_err(), "{text}");
        }
    }

    #[test]
    fn without_a_share_there_is_no_canary_and_nothing_to_say_about_it() {
        assert_eq!(RawRollout::default().check(at()).unwrap(), None);
        let raw = RawRollout {
            by: Some("request".into()),
            ..RawRollout::default()
        };
        assert!(
            raw.check(at())
                .unwrap_err()
                .to_string()
                .contains("rollout.canary: is missing")
        );
    }
}
