//! What components are built with, and that it can.

use std::env;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use super::cargo::{command, is_missing, output};
use super::say;

/// What turns a package into a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// `cargo component build`
    Component,
    /// `cargo build` for a target whose linker writes components.
    Cargo,
}

impl Tool {
    /// The best that is installed.
    ///
    /// # Errors
    ///
    /// No cargo at all.
    pub(super) async fn find(directory: &Path) -> Result<Self> {
        let mut version = command("cargo", directory);
        // cargo says that there is no such command, which is no news
        version
            .args(["component", "--version"])
            .stderr(std::process::Stdio::null());
        let found = output(version).await?.status.success();
        Ok(if found { Self::Component } else { Self::Cargo })
    }

    /// The rustc target that it needs.
    fn target(self) -> &'static str {
        match self {
            Self::Component => "wasm32-wasip1",
            Self::Cargo => "wasm32-wasip2",
        }
    }

    /// The start of a command that builds.
    pub(super) fn build(self, directory: &Path) -> Command {
        let mut cargo = command("cargo", directory);
        match self {
            Self::Component => cargo.args(["component", "build"]),
            Self::Cargo => cargo.args(["build", "--target", self.target()]),
        };
        cargo
    }

    /// Adds the target to the toolchain if it isn't there.
    ///
    /// # Errors
    ///
    /// A target that can't be added, and what to do.
    pub(super) async fn ensure_target(self, directory: &Path) -> Result<()> {
        let target = self.target();
        if has_target(target, directory).await? {
            return Ok(());
        }
        say(format_args!(
            "adding the Rust target {target}, which components are built for"
        ));
        let mut add = command("rustup", directory);
        add.args(["target", "add", target]);
        match output(add).await {
            Ok(output) if output.status.success() => Ok(()),
            Ok(_) => bail!(
                "the Rust target {target} could not be added (rustup says why above); \
                 `rustup target add {target}` has to work in {}",
                directory.display()
            ),
            Err(error) if is_missing(&error) => bail!(
                "the Rust target {target} is not installed, and neither is rustup, which could add it; install it \
                 with what your Rust came from, or install Rust from https://rustup.rs"
            ),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component => f.write_str("cargo component"),
            Self::Cargo => write!(f, "cargo for {}", self.target()),
        }
    }
}

/// Whether the standard library is there for a target. The compiler knows, wherever it came from;
/// rustup knows only of toolchains that it has installed.
async fn has_target(target: &str, directory: &Path) -> Result<bool> {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let mut ask = command(&rustc, directory);
    ask.args(["--print", "target-libdir", "--target", target]);
    let output = output(ask).await?;
    if !output.status.success() {
        bail!(
            "this Rust doesn't know the target {target}, which is in Rust 1.82 and later; `rustup update` gets one that does"
        );
    }
    let libraries =
        String::from_utf8(output.stdout).context("rustc named a directory that is not UTF-8")?;
    Ok(has_std(Path::new(libraries.trim_end())))
}

/// Whether a directory of libraries has the standard one.
pub(in crate::cli) fn has_std(directory: &Path) -> bool {
    let is_std = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libstd-");
    fs::read_dir(directory).is_ok_and(|entries| entries.flatten().any(is_std))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_there_if_its_library_is() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!has_std(&directory.path().join("missing")));
        fs::write(directory.path().join("libcore-1.rlib"), "").unwrap();
        assert!(!has_std(directory.path()));
        fs::write(directory.path().join("libstd-1.rlib"), "").unwrap();
        assert!(has_std(directory.path()));
    }

    #[tokio::test]
    async fn a_target_that_nobody_knows_is_explained() {
        let error = has_target("wasm99-unknown", Path::new("."))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("wasm99-unknown"), "{error}");
        assert!(error.contains("rustup update"), "{error}");
    }
}
