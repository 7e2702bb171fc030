//! Durations, sizes and whole numbers, as an operator writes them.
//!
//! Each type decodes one kind of value and refuses every other with a message that says what is
//! allowed. Whether a value makes sense where it stands is decided later, by
//! [`Section`](super::section::Section).

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, Visitor, value};

const DURATION: &str = r#"a duration such as "250ms", "30s", "5m", "1h""#;
const SIZE: &str =
    r#"a size such as "64KiB", "128MiB", "1GiB", "10MB", or a whole number of bytes"#;
const WHOLE: &str = "a whole number such as 100";

/// Units of time in milliseconds, the largest first.
const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Units of size in bytes, those in which sizes are shown before those that are only read; the
/// largest first.
const SIZE_UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("kB", 1000),
];

/// A duration, written with its unit: `"250ms"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

/// A number of bytes, written with its unit, `"64KiB"`, or as a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// A whole number that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count(pub(super) u64);

/// A limit that may be lifted by writing `"unlimited"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit<T> {
    /// No more than this.
    At(T),
    /// As much as there is.
    Unlimited,
}

/// A size of something that may be turned off by writing `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OrOff<T> {
    /// So much.
    At(T),
    /// Not at all.
    Off,
}

/// Reads `"250ms"`. The error says what is wrong and what is allowed.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    parse(text, &TIME_UNITS, "a duration", "time", DURATION).map(Duration::from_millis)
}

/// Reads `"64KiB"` as a number of bytes. The error says what is wrong and what is allowed.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    parse(text, &SIZE_UNITS, "a size", "size", SIZE)
}

/// Writes a duration in the largest unit that shows it as a whole number.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match TIME_UNITS
        .iter()
        .find(|(_, unit)| millis.is_multiple_of(*unit))
    {
        Some((name, unit)) if millis > 0 => format!("\"{}{name}\"", millis / unit),
        _ => format!("\"{millis}ms\""),
    }
}

/// Writes a number of bytes in the largest binary unit that shows it as a whole number.
pub(crate) fn show_size(bytes: u64) -> String {
    match SIZE_UNITS
        .iter()
        .find(|(_, unit)| bytes.is_multiple_of(*unit))
    {
        Some((name, unit)) if bytes > 0 => format!("\"{}{name}\"", bytes / unit),
        _ => format!("\"{bytes}B\""),
    }
}

fn parse(
    text: &str,
    units: &[(&str, u64)],
    what: &str,
    measure: &str,
    allowed: &str,
) -> Result<u64, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return Err(format!("{text:?} is not {what}; allowed: {allowed}"));
    }
    if unit.is_empty() {
        return Err(format!("{text:?} has no unit; allowed: {allowed}"));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(format!(
            "{text:?}: {unit:?} is not a unit of {measure}; allowed: {allowed}"
        ));
    };
    let number: Option<u64> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(*factor))
        .ok_or_else(|| format!("{text:?} is too large; allowed: {allowed}"))
}

fn whole<E: de::Error>(number: i64, allowed: &str) -> Result<u64, E> {
    u64::try_from(number)
        .map_err(|_| E::custom(format_args!("{number} is negative; allowed: {allowed}")))
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpanVisitor;

        impl Visitor<'_> for SpanVisitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(DURATION)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                parse_duration(text).map(Span).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Span, E> {
                Err(E::custom(format_args!(
                    "{number} has no unit; allowed: {DURATION}"
                )))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Span, E> {
                Err(E::custom(format_args!(
                    "{number} has no unit; allowed: {DURATION}"
                )))
            }
        }

        deserializer.deserialize_any(SpanVisitor)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;

        impl Visitor<'_> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SIZE)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                parse_size(text).map(Size).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Size, E> {
                whole(number, SIZE).map(Size)
            }
        }

        deserializer.deserialize_any(SizeVisitor)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;

        impl Visitor<'_> for CountVisitor {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(WHOLE)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count, E> {
                whole(number, WHOLE).map(Count)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Count, E> {
                let hint = if text.parse::<u64>().is_ok() {
                    ", without quotes"
                } else {
                    ""
                };
                Err(E::custom(format_args!(
                    "{text:?} is not a number; allowed: {WHOLE}{hint}"
                )))
            }
        }

        deserializer.deserialize_any(CountVisitor)
    }
}

/// Decodes what is either a value or one word in its place.
struct WordOr<T> {
    word: &'static str,
    value: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> WordOr<T> {
    /// The value, or `None` for the word.
    fn decode<D: Deserializer<'de>>(
        word: &'static str,
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_any(Self {
            word,
            value: PhantomData,
        })
    }

    fn value<E: de::Error>(
        &self,
        written: impl Deserializer<'de, Error = value::Error>,
    ) -> Result<Option<T>, E> {
        T::deserialize(written)
            .map(Some)
            .map_err(|error| E::custom(format_args!("{error}, or {:?}", self.word)))
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for WordOr<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a limit, or {:?}", self.word)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if text == self.word {
            Ok(None)
        } else {
            self.value(text.into_deserializer())
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        self.value(number.into_deserializer())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Limit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = WordOr::decode("unlimited", deserializer)?;
        Ok(written.map_or(Self::Unlimited, Self::At))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrOff<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = WordOr::decode("off", deserializer)?;
        Ok(written.map_or(Self::Off, Self::At))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
        }
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        for (text, bytes) in [
            ("64KiB", 65_536),
            ("128MiB", 134_217_728),
            ("1GiB", 1_073_741_824),
            ("10MB", 10_000_000),
            ("3kB", 3000),
            ("7B", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes));
        }
    }

    #[test]
    fn a_wrong_unit_is_named() {
        let error = |text| parse_duration(text).unwrap_err();
        assert!(error("30").starts_with(r#""30" has no unit; allowed: a duration such as "#));
        assert!(error("30 s").starts_with(r#""30 s": " s" is not a unit of time; "#));
        assert!(error("1.5s").starts_with(r#""1.5s": ".5s" is not a unit of time; "#));
        assert!(error("soon").starts_with(r#""soon" is not a duration; "#));
        assert!(error("").starts_with(r#""" is not a duration; "#));
        assert!(error("-1s").starts_with(r#""-1s" is not a duration; "#));
        assert!(error("99999999999999999999h").contains("is too large"));
        assert!(error("18446744073709551615h").contains("is too large"));
        assert!(
            parse_size("64K")
                .unwrap_err()
                .contains(r#""K" is not a unit of size"#)
        );
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis: u32, bytes: u64) {
            let duration = Duration::from_millis(u64::from(millis));
            let shown = show_duration(duration);
            prop_assert_eq!(parse_duration(shown.trim_matches('"')), Ok(duration));
            let shown = show_size(bytes);
            prop_assert_eq!(parse_size(shown.trim_matches('"')), Ok(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
        }
    }
}
