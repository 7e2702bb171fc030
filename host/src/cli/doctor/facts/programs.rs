//! Asks cargo and rustc.

use std::env;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::{Target, Toolchain};
use crate::cli::dev::toolchain::has_std;

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is installed.
pub(super) async fn toolchain() -> Toolchain {
    let mut toolchain = Toolchain {
        cargo: said("cargo", &["--version"]).await,
        component: said("cargo", &["component", "--version"]).await,
        target: Target::Unknown,
        rustup: said("rustup", &["--version"]).await.is_some(),
    };
    toolchain.target = target(toolchain.target_name()).await;
    toolchain
}

/// Whether the standard library is there. The compiler knows, wherever it came from; rustup knows only
/// of toolchains that it has installed.
async fn target(name: &str) -> Target {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    match said(&rustc, &["--print", "target-libdir", "--target", name]).await {
        Some(directory) if has_std(Path::new(&directory)) => Target::Installed,
        Some(_) => Target::Missing,
        None => Target::Unknown,
    }
}

/// What a program prints; `None` if it isn't there or fails.
async fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Output { status, stdout, .. } = timeout(PATIENCE, output).await.ok()?.ok()?;
    let text = String::from_utf8(stdout).ok()?;
    status.success().then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_is_missing_or_fails_says_nothing() {
        assert_eq!(said("echo", &["1.2.3 "]).await.as_deref(), Some("1.2.3"));
        assert_eq!(said("false", &[]).await, None);
        assert_eq!(said("no-such-program", &[]).await, None);
    }
}
