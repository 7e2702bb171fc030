//! `wharf compile`: what a server starts for itself, and nobody else.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::wasm::{Bounds, compile_for_another};

/// What `compile` takes: the bounds that it is to set itself.
#[derive(Args)]
pub(super) struct Arguments {
    /// How long it may take
    #[arg(long, value_name = "MILLISECONDS")]
    time_ms: u64,
    /// The memory that it may take
    #[arg(long, value_name = "BYTES")]
    memory: u64,
    /// The process that waits for it
    #[arg(long, value_name = "PID")]
    parent: u32,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let bounds = Bounds {
        time: Duration::from_millis(arguments.time_ms),
        memory: arguments.memory,
    };
    compile_for_another(bounds, arguments.parent)?;
    Ok(ExitCode::SUCCESS)
}
