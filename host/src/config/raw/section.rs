//! From what is written in a section to what the program may rely on.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::units::{Count, Limit, OrOff, Size, Span, show_duration, show_size};
use crate::config::ConfigError;

/// The longest duration that can be asked for. Whatever is longer is a mistake, and the sum of
/// any few of them and the present can't overflow.
pub(super) const LONGEST: Duration = Duration::from_hours(24);
/// The shortest duration that can be written, where none at all makes no sense.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);

/// One section of one file: turns written values into checked ones, and knows where a refused
/// one stands.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    file: &'a Path,
    /// Empty for the top level.
    name: &'static str,
}

/// A number type that a [`Count`] or a [`Size`] can become.
pub(super) trait Whole: Sized {
    /// `None` if the type can't hold the number.
    fn from_u64(number: u64) -> Option<Self>;
}

macro_rules! whole {
    ($($plain:ty => $nonzero:ty),*) => {$(
        impl Whole for $plain {
            fn from_u64(number: u64) -> Option<Self> {
                number.try_into().ok()
            }
        }
        impl Whole for $nonzero {
            fn from_u64(number: u64) -> Option<Self> {
                <$plain>::from_u64(number).and_then(Self::new)
            }
        }
    )*};
}
whole!(u32 => NonZeroU32, u64 => NonZeroU64, usize => NonZeroUsize);

impl<'a> Section<'a> {
    pub(super) fn new(file: &'a Path, name: &'static str) -> Self {
        Self { file, name }
    }

    /// Refuses the value of `key`, because of `problem`.
    pub(super) fn refuse(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        let key = match self.name {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        };
        ConfigError::Value {
            file: self.file.to_owned(),
            key,
            problem: problem.into(),
        }
    }

    /// A whole number within `allowed`, or the `default`.
    pub(super) fn whole<T: Whole>(
        &self,
        key: &str,
        written: Option<Count>,
        default: T,
        allowed: RangeInclusive<u64>,
    ) -> Result<T, ConfigError> {
        match written {
            None => Ok(default),
            Some(Count(number)) => convert(number, &allowed)
                .ok_or_else(|| self.refuse(key, out_of_range(number, &allowed))),
        }
    }

    /// Like [`whole`](Self::whole); `None` stands for unlimited.
    pub(super) fn whole_or_unlimited<T: Whole>(
        &self,
        key: &str,
        written: Option<Limit<Count>>,
        default: Option<T>,
        allowed: RangeInclusive<u64>,
    ) -> Result<Option<T>, ConfigError> {
        match written {
            None => Ok(default),
            Some(Limit::Unlimited) => Ok(None),
            Some(Limit::At(Count(number))) => {
                convert(number, &allowed).map(Some).ok_or_else(|| {
                    self.refuse(key, out_of_range(number, &allowed) + ", or \"unlimited\"")
                })
            }
        }
    }

    /// A number of bytes within `allowed`, or the `default`.
    pub(super) fn size<T: Whole>(
        &self,
        key: &str,
        written: Option<Size>,
        default: T,
        allowed: RangeInclusive<u64>,
    ) -> Result<T, ConfigError> {
        match written {
            None => Ok(default),
            Some(Size(bytes)) => convert(bytes, &allowed)
                .ok_or_else(|| self.refuse(key, wrong_size(bytes, &allowed))),
        }
    }

    /// Like [`size`](Self::size); `None` stands for off.
    pub(super) fn size_or_off(
        &self,
        key: &str,
        written: Option<OrOff<Size>>,
        default: Option<u64>,
        allowed: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ConfigError> {
        match written {
            None => Ok(default),
            Some(OrOff::Off) => Ok(None),
            Some(OrOff::At(Size(bytes))) => convert(bytes, &allowed)
                .map(Some)
                .ok_or_else(|| self.refuse(key, wrong_size(bytes, &allowed) + ", or \"off\"")),
        }
    }

    /// A duration within `allowed`, or the `default`.
    pub(super) fn duration(
        &self,
        key: &str,
        written: Option<Span>,
        default: Duration,
        allowed: RangeInclusive<Duration>,
    ) -> Result<Duration, ConfigError> {
        match written {
            None => Ok(default),
            Some(Span(duration)) if allowed.contains(&duration) => Ok(duration),
            Some(Span(duration)) => Err(self.refuse(
                key,
                format!(
                    "{} is out of range; allowed: {} to {}",
                    show_duration(duration),
                    show_duration(*allowed.start()),
                    show_duration(*allowed.end())
                ),
            )),
        }
    }
}

fn convert<T: Whole>(number: u64, allowed: &RangeInclusive<u64>) -> Option<T> {
    if allowed.contains(&number) {
        T::from_u64(number)
    } else {
        None
    }
}

fn out_of_range(number: u64, allowed: &RangeInclusive<u64>) -> String {
    format!(
        "{number} is out of range; allowed: a whole number from {} to {}",
        allowed.start(),
        allowed.end()
    )
}

fn wrong_size(bytes: u64, allowed: &RangeInclusive<u64>) -> String {
    format!(
        "{} is out of range; allowed: {} to {}",
        show_size(bytes),
        show_size(*allowed.start()),
        show_size(*allowed.end())
    )
}
