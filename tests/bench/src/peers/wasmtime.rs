//! `wasmtime serve`, with the guests that Wharf runs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Generation, Setting, guest, installed, printed};

/// What happens to an instance after its request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    /// It serves as many as one of Wharf's does, out of the pooling allocator.
    Pooled,
    /// Whatever happens without any flag: a 0.2 instance serves one request.
    Default,
}

pub(super) fn command(
    setting: Setting<'_>,
    generation: Generation,
    reuse: Reuse,
) -> Result<Command> {
    let mut command = Command::new(binary());
    command
        .arg("serve")
        .arg("--addr")
        .arg(setting.addr.to_string())
        .args(["-S", "cli=y", "-W", "component-model-async=y"]);
    if reuse == Reuse::Pooled {
        command.args(["-O", "pooling-allocator=y"]);
        command.args(["--max-instance-reuse-count", "100000"]);
    }
    command.arg(guest(setting.workload, generation)?);
    Ok(command)
}

pub(super) fn version() -> Result<String> {
    printed(Command::new(binary()).arg("--version"))
}

/// The one that was installed for this, or else the system's.
fn binary() -> PathBuf {
    let own = installed().join("bin/wasmtime");
    if own.exists() { own } else { "wasmtime".into() }
}
