//! Which versions of an interface go together.
//!
//! The same rule as that of wasmtime's linker: versions are compatible if their first number that isn't
//! zero, major or minor, is the same. `1.0.0` goes with `1.7.2`, `0.1.0` with `0.1.9`, in either
//! direction; `0.0.1` and anything with a pre-release go with nothing but themselves, and so does an
//! interface without a version. Build metadata doesn't count.

/// An interface's name and its version, if it has one.
pub(super) fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once('@') {
        Some((base, version)) => (base, Some(version)),
        None => (name, None),
    }
}

/// Whether a service that exports `one` may serve another that imports `other`, as far as the names
/// tell.
pub fn compatible(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    match (track(one), track(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// The numbers of an interface's version, to be compared with those of a compatible one.
pub(super) fn numbers(name: &str) -> [u64; 3] {
    let numbers = split(name).1.and_then(|version| version.split('+').next());
    let mut parsed = numbers
        .unwrap_or_default()
        .split('.')
        .map(|number| number.parse().unwrap_or(0));
    std::array::from_fn(|_| parsed.next().unwrap_or(0))
}

/// What the names of all compatible versions of an interface begin with.
pub(super) fn track(name: &str) -> Option<&str> {
    let (base, version) = split(name);
    let numbers = version?.split('+').next().unwrap_or_default();
    if numbers.contains('-') {
        return None;
    }
    let mut ends = numbers
        .char_indices()
        .filter(|(_, c)| *c == '.')
        .map(|(at, _)| at);
    let (major_end, minor_end) = (ends.next()?, ends.next()?);
    let end = if &numbers[..major_end] != "0" {
        major_end
    } else if &numbers[major_end + 1..minor_end] != "0" {
        minor_end
    } else {
        return None;
    };
    Some(&name[..base.len() + 1 + end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_is_what_the_linker_of_wasmtime_takes_for_one() {
        // the table in the tests of wasmtime-environ's `alternate_lookup_key`
        let table = [
            ("x", None),
            ("x:y/z", None),
            ("x:y/z@1.0.0", Some("x:y/z@1")),
            ("x:y/z@1.1.0", Some("x:y/z@1")),
            ("x:y/z@1.1.2", Some("x:y/z@1")),
            ("x:y/z@2.1.2", Some("x:y/z@2")),
            ("x:y/z@2.1.2+abc", Some("x:y/z@2")),
            ("x:y/z@0.1.2", Some("x:y/z@0.1")),
            ("x:y/z@0.1.3", Some("x:y/z@0.1")),
            ("x:y/z@0.2.3", Some("x:y/z@0.2")),
            ("x:y/z@0.2.3+abc-def.1", Some("x:y/z@0.2")),
            ("x:y/z@0.0.1", None),
            ("x:y/z@0.0.1-pre", None),
            ("x:y/z@0.1.0-pre", None),
            ("x:y/z@1.0.0-pre.1", None),
        ];
        for (name, expected) in table {
            assert_eq!(track(name), expected, "{name}");
        }
    }

    #[test]
    fn versions_go_together_in_both_directions() {
        for (one, other) in [
            ("a:b/c@0.1.0", "a:b/c@0.1.9"),
            ("a:b/c@1.0.0", "a:b/c@1.7.2"),
            ("a:b/c@0.0.1", "a:b/c@0.0.1"),
            ("a:b/c@0.1.0-rc.1", "a:b/c@0.1.0-rc.1"),
            ("a:b/c", "a:b/c"),
        ] {
            assert!(
                compatible(one, other) && compatible(other, one),
                "{one} {other}"
            );
        }
        for (one, other) in [
            ("a:b/c@0.1.0", "a:b/c@0.2.0"),
            ("a:b/c@1.0.0", "a:b/c@2.0.0"),
            ("a:b/c@1.0.0", "a:b/c@10.0.0"),
            ("a:b/c@0.0.1", "a:b/c@0.0.2"),
            ("a:b/c@0.1.0", "a:b/c@0.1.0-rc.1"),
            ("a:b/c@0.1.0", "a:b/c"),
            ("a:b/c@0.1.0", "a:b/d@0.1.0"),
        ] {
            assert!(
                !compatible(one, other) && !compatible(other, one),
                "{one} {other}"
            );
        }
    }
}
