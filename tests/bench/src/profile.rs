//! Whose instructions they are that callgrind counted: the floor under a request, part by part.

use std::collections::HashMap;

use anyhow::{Result, ensure};

/// A part of a server, as the names of its functions tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The guest's own code, with the adapters between it and its imports: code without a name.
    Guest,
    /// wasmtime and its implementations of the WASI interfaces.
    Wasmtime,
    /// The allocator.
    Memory,
    /// hyper, tokio and what they stand on.
    Http,
    /// Wharf.
    Wharf,
    /// The C library and the small crates that everybody shares.
    Shared,
}

impl Part {
    pub(crate) const ALL: [Self; 6] = [
        Self::Wharf,
        Self::Http,
        Self::Wasmtime,
        Self::Guest,
        Self::Memory,
        Self::Shared,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Wasmtime => "wasmtime",
            Self::Memory => "allocator",
            Self::Http => "hyper, tokio",
            Self::Wharf => "Wharf",
            Self::Shared => "libc, shared crates",
        }
    }

    /// By the first crate that a name mentions: a closure of Wharf's inside tokio counts as tokio's,
    /// and a poll of wasmtime's that takes a type of Wharf's as wasmtime's.
    fn of(function: &str) -> Self {
        const CRATES: [(&str, Part); 12] = [
            ("wasmtime", Part::Wasmtime),
            ("cranelift", Part::Wasmtime),
            ("wharf", Part::Wharf),
            ("native_peer", Part::Wharf),
            ("floor_peer", Part::Wharf),
            ("hyper", Part::Http),
            ("httparse", Part::Http),
            ("http::", Part::Http),
            ("h2::", Part::Http),
            ("tokio", Part::Http),
            ("mio::", Part::Http),
            ("jemalloc", Part::Memory),
        ];
        if function.starts_with("0x") {
            return Self::Guest;
        }
        let allocates = |prefix| function.starts_with(prefix);
        if [
            "_rjem_", "arena_", "tcache_", "malloc", "free", "calloc", "realloc", "_int_", "__rust",
        ]
        .into_iter()
        .any(allocates)
        {
            return Self::Memory;
        }
        let first = CRATES
            .iter()
            .filter_map(|(name, part)| Some((function.find(name)?, *part)))
            .min_by_key(|(at, _)| *at);
        first.map_or(Self::Shared, |(_, part)| part)
    }
}

/// Instructions by part.
#[derive(Default)]
pub(crate) struct Profile(HashMap<&'static str, u64>);

impl Profile {
    /// Reads a dump of callgrind's (its format is in the manual of valgrind, 6.3).
    pub(crate) fn read(dump: &str) -> Result<Self> {
        let mut profile = Self::default();
        let (mut names, mut current, mut of_callee) = (HashMap::new(), Part::Shared, false);
        for line in dump.lines() {
            if let Some(function) = line.strip_prefix("fn=") {
                current = Part::of(resolve(&mut names, function));
            } else if let Some(function) = line.strip_prefix("cfn=") {
                resolve(&mut names, function);
            } else if line.starts_with("calls=") {
                of_callee = true;
            } else if line
                .starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first))
                && !std::mem::take(&mut of_callee)
                && let Some(cost) = line.split(' ').nth(1)
            {
                *profile.0.entry(current.title()).or_default() += cost.parse::<u64>()?;
            }
        }
        ensure!(profile.total() > 0, "callgrind counted nothing");
        Ok(profile)
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(crate) fn part(&self, part: Part) -> u64 {
        self.0.get(part.title()).copied().unwrap_or_default()
    }
}

/// A name stands in full where it comes first, and later by its number alone.
fn resolve<'a>(names: &'a mut HashMap<String, String>, text: &str) -> &'a str {
    let (number, name) = text.split_once(' ').unwrap_or((text, ""));
    let entry = names.entry(number.to_owned()).or_default();
    if !name.is_empty() {
        name.clone_into(entry);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_of_callees_count_once() {
        let dump = "fn=(1) wharf::serve\n10 5\ncfn=(2) tokio::poll\ncalls=1 20\n+3 70\n* 2\n\n\
                    fn=(2)\n20 60\ncfn=(3) 0x0000000005f9b6e0\ncalls=2 1\n+1 10\n\nfn=(3)\n1 10\n";
        let profile = Profile::read(dump).unwrap();
        assert_eq!(profile.part(Part::Wharf), 7);
        assert_eq!(profile.part(Part::Http), 60);
        assert_eq!(profile.part(Part::Guest), 10);
        assert_eq!(profile.total(), 77);
    }

    #[test]
    fn a_function_belongs_to_the_crate_named_first() {
        for (name, part) in [
            ("<tokio::Sleep as core::Future>::poll", Part::Http),
            ("wasmtime::Store<wharf::State>::call", Part::Wasmtime),
            ("_rjem_sdallocx", Part::Memory),
            ("core::ptr::drop_in_place<wharf::Job>", Part::Wharf),
            ("__memcpy_avx_unaligned_erms", Part::Shared),
        ] {
            assert_eq!(Part::of(name), part, "{name}");
        }
    }
}
