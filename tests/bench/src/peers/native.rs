//! hyper without anything around it: this package's own `native-peer`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use wharf_tests::build::{binary, root};

use super::Setting;

pub(super) fn command(setting: Setting<'_>) -> Command {
    command_at(setting.addr)
}

/// What serves all workloads at one address.
pub(crate) fn command_at(addr: SocketAddr) -> Command {
    let mut command = Command::new(built());
    command.arg(addr.to_string());
    command
}

pub(super) fn version() -> Result<String> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock"))?;
    let mut lines = lock.lines();
    lines.find(|line| *line == "name = \"hyper\"");
    let version = lines.next().and_then(|line| line.split('"').nth(1));
    Ok(format!("hyper {}", version.context("no hyper is locked")?))
}

fn built() -> &'static Path {
    static BUILT: OnceLock<std::path::PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| binary("wharf-bench", "native-peer"))
}
