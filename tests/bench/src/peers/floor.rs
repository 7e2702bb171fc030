//! hyper and wasmtime without anything around them: this package's own `floor-peer`.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;

use super::wharf::Isolation;
use super::{Generation, Setting, guest, locked, own};
use crate::workload::Workload;

/// One for each connection.
const INSTANCES: u32 = 1000;

pub(super) fn command(
    setting: Setting<'_>,
    generation: Generation,
    isolation: Isolation,
) -> Result<Command> {
    command_at(
        setting.addr,
        setting.workload,
        generation,
        isolation,
        INSTANCES,
    )
}

/// What serves one workload at one address, to so many connections at most.
pub(crate) fn command_at(
    addr: SocketAddr,
    workload: Workload,
    generation: Generation,
    isolation: Isolation,
    connections: u32,
) -> Result<Command> {
    let mut command = Command::new(own("floor-peer")?);
    command
        .arg(addr.to_string())
        .arg(guest(workload, generation)?)
        .arg(match generation {
            Generation::P2 => "0.2",
            Generation::P3 => "0.3",
        })
        .arg(match isolation {
            Isolation::Instance => "reused",
            Isolation::Request => "fresh",
        })
        .arg(connections.to_string());
    Ok(command)
}

pub(super) fn version() -> Result<String> {
    Ok(format!("wasmtime {}", locked("wasmtime")?))
}
