//! `net/http`, built with whatever Go there is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use wharf_tests::build::root;

use super::{Setting, installed, printed};

pub(super) fn command(setting: Setting<'_>) -> Result<Command> {
    command_at(setting.addr)
}

/// What serves all workloads at one address.
pub(crate) fn command_at(addr: SocketAddr) -> Result<Command> {
    let peer = installed().join("go-peer");
    printed(
        Command::new(go())
            .current_dir(root().join("tests/bench/peers/go"))
            .args(["build", "-o"])
            .arg(&peer)
            .arg("."),
    )?;
    let mut command = Command::new(peer);
    command.arg(addr.to_string());
    Ok(command)
}

pub(super) fn version() -> Result<String> {
    printed(Command::new(go()).arg("version"))
}

/// The current one that was installed for this, or else the system's.
fn go() -> PathBuf {
    let own = installed().join("python/bin/go");
    if own.exists() { own } else { "go".into() }
}
