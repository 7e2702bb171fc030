//! What `wharf dev` builds with.

use super::Check;
use super::facts::{Target, Toolchain};

/// The first `cargo component` whose components have the interfaces that this host runs.
const COMPONENT: [u32; 3] = [0, 21, 1];

/// Judges the toolchain. Whoever only serves needs none: without one nothing fails.
pub(super) fn checks(toolchain: &Toolchain) -> Vec<Check> {
    let Some(cargo) = &toolchain.cargo else {
        return vec![Check::warn(
            "cargo",
            "not installed",
            "only `wharf dev` needs it: https://rustup.rs says how to install Rust",
        )];
    };
    vec![
        Check::ok("cargo", version_text(cargo)),
        component(toolchain),
        target(toolchain),
    ]
}

fn component(toolchain: &Toolchain) -> Check {
    const NAME: &str = "cargo component";
    match &toolchain.component {
        None => Check::ok(
            NAME,
            "not installed, and not needed: cargo itself builds for wasm32-wasip2",
        ),
        Some(text) if version(text).is_some_and(|version| version < COMPONENT) => Check::fail(
            NAME,
            format!("{}, which is too old", version_text(text)),
            "cargo install --locked cargo-component; or cargo uninstall cargo-component, for cargo itself does",
        ),
        Some(text) => Check::ok(NAME, version_text(text)),
    }
}

fn target(toolchain: &Toolchain) -> Check {
    let name = toolchain.target_name();
    match (toolchain.target, toolchain.rustup) {
        (Target::Installed, _) => Check::ok(name, "installed"),
        (Target::Missing, true) => Check::warn(
            name,
            "not installed; `wharf dev` adds it when it builds",
            format!("rustup target add {name}"),
        ),
        (Target::Missing, false) => Check::fail(
            name,
            "not installed, and there is no rustup that could add it",
            "install it with what your Rust came from, or install Rust from https://rustup.rs",
        ),
        (Target::Unknown, _) => Check::fail(
            name,
            "this Rust doesn't know the target",
            "rustup update: Rust 1.82 and later have it",
        ),
    }
}

/// The version in what a program says about itself, `cargo 1.95.0 (f2d3ce0bd 2026-03-21)`.
fn version(text: &str) -> Option<[u32; 3]> {
    let mut parts = version_text(text).split(['.', '-', '+']).map(str::parse);
    let mut part = || parts.next()?.ok();
    Some([part()?, part()?, part()?])
}

fn version_text(text: &str) -> &str {
    let is_version =
        |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    text.split_whitespace()
        .find(is_version)
        .unwrap_or(text.trim())
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn toolchain() -> Toolchain {
        Toolchain {
            cargo: Some("cargo 1.95.0 (f2d3ce0bd 2026-03-21)".to_owned()),
            component: None,
            target: Target::Installed,
            rustup: true,
        }
    }

    fn verdicts(toolchain: &Toolchain) -> Vec<Verdict> {
        checks(toolchain)
            .iter()
            .map(|check| check.verdict)
            .collect()
    }

    #[test]
    fn a_machine_that_only_serves_needs_no_cargo() {
        let none = Toolchain {
            cargo: None,
            ..toolchain()
        };
        assert_eq!(verdicts(&none), [Verdict::Warn]);
    }

    #[test]
    fn either_way_to_build_is_enough() {
        assert_eq!(verdicts(&toolchain()), [Verdict::Ok; 3]);
        for (version, verdict) in [
            ("cargo-component-component 0.21.1", Verdict::Ok),
            ("cargo-component 1.0.0-rc.1 (abc)", Verdict::Ok),
            (
                "cargo-component-component 0.21.0 (abc 2025-01-01)",
                Verdict::Fail,
            ),
            ("cargo-component-component 0.9.12", Verdict::Fail),
            ("of some kind", Verdict::Ok),
        ] {
            let found = Toolchain {
                component: Some(version.to_owned()),
                ..toolchain()
            };
            assert_eq!(verdicts(&found)[1], verdict, "{version}");
        }
    }

    #[test]
    fn the_target_is_that_of_the_tool_that_builds() {
        let name = |component: Option<&str>| {
            let component = component.map(ToOwned::to_owned);
            checks(&Toolchain {
                component,
                ..toolchain()
            })[2]
                .name
                .clone()
        };
        assert_eq!(name(None), "wasm32-wasip2");
        assert_eq!(name(Some("0.21.1")), "wasm32-wasip1");
    }

    #[test]
    fn a_target_that_can_be_added_is_no_failure() {
        for (target, rustup, verdict) in [
            (Target::Missing, true, Verdict::Warn),
            (Target::Missing, false, Verdict::Fail),
            (Target::Unknown, true, Verdict::Fail),
        ] {
            let found = Toolchain {
                target,
                rustup,
                ..toolchain()
            };
            assert_eq!(verdicts(&found)[2], verdict, "{target:?} {rustup}");
        }
    }
}
