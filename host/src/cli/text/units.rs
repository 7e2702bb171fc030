//! Numbers as people read them, none wider than six columns.

/// How long something takes: `812µs`, `3.1ms`, `120ms`, `1.2s`, `3m12s`.
pub(in crate::cli) fn latency(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".to_owned();
    }
    // the bounds are where rounding would write the next unit's first number
    for (factor, below, unit) in [(1e6, 999.5e-6, "µs"), (1e3, 0.9995, "ms"), (1.0, 99.5, "s")] {
        if seconds < below {
            return digits(seconds * factor, unit);
        }
    }
    age(seconds)
}

/// How long ago, or how old: `12s`, `3m12s`, `2h05m`, `12h`, `3d`.
pub(in crate::cli) fn age(seconds: f64) -> String {
    let whole = whole(seconds);
    let (minutes, hours, days) = (whole / 60, whole / 3600, whole / 86_400);
    match whole {
        0..100 => format!("{whole}s"),
        100..600 => format!("{minutes}m{:02}s", whole % 60),
        600..6000 => format!("{minutes}m"),
        6000..36_000 => format!("{hours}h{:02}m", minutes % 60),
        36_000..172_800 => format!("{hours}h"),
        172_800..864_000 => format!("{days}d{:02}h", hours % 24),
        _ => format!("{days}d"),
    }
}

/// A size in bytes: `812 B`, `1.2 MiB`.
pub(in crate::cli) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = as_float(bytes);
    for unit in [" KiB", " MiB", " GiB"] {
        amount /= 1024.0;
        if amount < 999.5 {
            return digits(amount, unit);
        }
    }
    digits(amount / 1024.0, " TiB")
}

/// So many a second: `0`, `0.5`, `120`, `1.2k`, `12k`.
pub(in crate::cli) fn rate(per_second: f64) -> String {
    match per_second {
        n if !n.is_finite() || n <= 0.0 => "0".to_owned(),
        n if n < 999.5 => digits(n, ""),
        n if n < 999_500.0 => digits(n / 1e3, "k"),
        n if n < 999.5e6 => digits(n / 1e6, "M"),
        n => digits(n / 1e9, "G"),
    }
}

/// How many: exact up to five digits, then as a rate.
pub(in crate::cli) fn count(number: u64) -> String {
    if number < 100_000 {
        number.to_string()
    } else {
        rate(as_float(number))
    }
}

/// The beginning of a digest, enough to tell releases apart and to name one.
pub(in crate::cli) fn short(digest: &str) -> String {
    digest
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(8)
        .collect()
}

/// One decimal below ten, none above; and none where it would be zero.
fn digits(amount: f64, unit: &str) -> String {
    let decimals = usize::from(amount < 9.95);
    let text = format!("{amount:.decimals$}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    format!("{text}{unit}")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates, and what isn't a number becomes zero"
)]
fn whole(seconds: f64) -> u64 {
    seconds.max(0.0) as u64
}

#[expect(clippy::cast_precision_loss, reason = "two digits of it are shown")]
fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::width_of;
    use super::*;

    #[test]
    fn latencies_have_the_unit_that_fits() {
        for (seconds, text) in [
            (0.0, "0µs"),
            (0.000_812, "812µs"),
            (0.000_999_7, "1ms"),
            (0.0031, "3.1ms"),
            (0.00996, "10ms"),
            (0.120, "120ms"),
            (0.9996, "1s"),
            (1.25, "1.2s"),
            (75.0, "75s"),
            (192.0, "3m12s"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(latency(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn ages_have_two_units_while_they_matter() {
        for (seconds, text) in [
            (-3.0, "0s"),
            (12.9, "12s"),
            (192.0, "3m12s"),
            (605.0, "10m"),
            (7500.0, "2h05m"),
            (86_400.0, "24h"),
            (200_000.0, "2d07h"),
            (1e6, "11d"),
        ] {
            assert_eq!(age(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn sizes_rates_and_counts_are_short() {
        assert_eq!(size(812), "812 B");
        assert_eq!(size(1_310_720), "1.2 MiB");
        assert_eq!(size(1_047_552), "1 MiB");
        assert_eq!(rate(0.0), "0");
        assert_eq!(rate(0.52), "0.5");
        assert_eq!(rate(120.0), "120");
        assert_eq!(rate(1234.0), "1.2k");
        assert_eq!(rate(999_900.0), "1M");
        assert_eq!(count(99_999), "99999");
        assert_eq!(count(1_234_567), "1.2M");
        assert_eq!(short("ab12cd34ef56\x1b"), "ab12cd34");
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_its_column(number in 0_u64..1_000_000_000_000, float in 0.0..1e9) {
            prop_assert!(width_of(&latency(float / 1e6)) <= 6);
            prop_assert!(width_of(&age(float)) <= 6, "{}", age(float));
            prop_assert!(width_of(&rate(float)) <= 6);
            prop_assert!(width_of(&count(number)) <= 6);
            prop_assert!(width_of(&size(number)) <= 7);
        }
    }
}
