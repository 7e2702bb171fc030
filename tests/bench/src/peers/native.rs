//! hyper without anything around it: this package's own `native-peer`.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;

use super::{Setting, locked, own};

pub(super) fn command(setting: Setting<'_>) -> Result<Command> {
    command_at(setting.addr)
}

/// The same, with an event loop for each processor.
pub(super) fn in_loops(setting: Setting<'_>) -> Result<Command> {
    let mut command = command(setting)?;
    command.env("EVENT_LOOPS", "1");
    Ok(command)
}

/// What serves all workloads at one address.
pub(crate) fn command_at(addr: SocketAddr) -> Result<Command> {
    let mut command = Command::new(own("native-peer")?);
    command.arg(addr.to_string());
    Ok(command)
}

pub(super) fn version() -> Result<String> {
    Ok(format!("hyper {}", locked("hyper")?))
}
