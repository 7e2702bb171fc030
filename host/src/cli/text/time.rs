//! Points in time, in UTC, as the host's own log has them.

use std::time::{Duration, UNIX_EPOCH};

use super::paint::{QUIET, paint};

/// The last second that RFC 3339 can name, 9999-12-31.
const LATEST: f64 = 253_402_300_799.0;

/// RFC 3339 with milliseconds: `2026-11-26T18:55:03.123Z`. Seconds since 1970.
pub(in crate::cli) fn stamp(at: f64) -> String {
    let seconds = if at.is_finite() {
        at.clamp(0.0, LATEST)
    } else {
        0.0
    };
    // to the nearest millisecond: a float is not quite what was written
    let time = Duration::try_from_secs_f64(seconds + 0.000_5).unwrap_or_default();
    humantime::format_rfc3339_millis(UNIX_EPOCH + time).to_string()
}

/// The times at the beginnings of lines. A person sees the time of day, and the date once where it
/// changes; whatever else reads gets the whole of it in every line.
pub(in crate::cli) struct Stamps {
    /// The date that the reader has in mind; `None` where every line says it.
    date: Option<String>,
}

impl Stamps {
    /// For a person at a terminal, or for a program. `now` is in seconds since 1970.
    pub(in crate::cli) fn new(for_a_person: bool, now: f64) -> Self {
        Self {
            date: for_a_person.then(|| stamp(now)[..10].to_owned()),
        }
    }

    /// The beginning of a line about something that happened then, with the line of the date before
    /// it if that has changed.
    pub(in crate::cli) fn next(&mut self, at: f64) -> String {
        let stamp = stamp(at);
        let Some(known) = &mut self.date else {
            return stamp;
        };
        let (date, time) = stamp.split_at(10);
        let time = paint(QUIET, &time[1..]);
        if known == date {
            return time;
        }
        date.clone_into(known);
        format!("{}\n{time}", paint(QUIET, &format!("— {date} —")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_in_the_log() {
        assert_eq!(stamp(1_764_180_000.123), "2025-11-26T18:00:00.123Z");
        assert_eq!(stamp(0.0), "1970-01-01T00:00:00.000Z");
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(stamp(wrong).starts_with("1970"), "{wrong}");
        }
        assert!(stamp(1e300).starts_with("9999"));
    }

    #[test]
    fn a_person_is_told_the_date_where_it_changes() {
        let mut stamps = Stamps::new(true, 1_764_180_000.0);
        let plain = |text: String| anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            plain(stamps.next(1_764_093_600.0)),
            "— 2025-11-25 —\n18:00:00.000Z"
        );
        assert_eq!(plain(stamps.next(1_764_093_601.0)), "18:00:01.000Z");
        assert_eq!(
            plain(stamps.next(1_764_180_000.0)),
            "— 2025-11-26 —\n18:00:00.000Z"
        );
    }

    #[test]
    fn a_program_is_told_everything_every_time() {
        let mut stamps = Stamps::new(false, 1_764_180_000.0);
        assert_eq!(stamps.next(1_764_093_600.0), "2025-11-25T18:00:00.000Z");
    }
}
