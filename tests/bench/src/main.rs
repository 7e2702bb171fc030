//! What Wharf costs, beside native servers and other hosts of components, on this machine.
//!
//! `load` puts the servers of [`peers`] under the same load in turn, round after round, so that
//! whatever else the machine does meets them all. What counts most is CPU time per request: on few
//! cores the load generator competes with the server, and requests a second tell about both.
//! `costs` measures what has no peer: start-up, swaps, memory per instance, a thousand services.
//! `instructions` counts them, where timing is too noisy to see a regression. `train` measures nothing: it
//! shows a build what to be fast at.

mod chart;
mod client;
mod contest;
mod costs;
mod hops;
mod instructions;
mod load;
mod machine;
mod options;
mod peers;
mod proc;
mod process;
mod profile;
mod report;
mod scaling;
mod streaming;
mod table;
mod train;
mod workload;
mod wrk;

use anyhow::Result;
use clap::Parser as _;

use crate::options::{Command, Options};

fn main() -> Result<()> {
    let options = Options::parse();
    process::raise_file_limit()?;
    match options.command {
        Command::Load => load::run(&options),
        Command::Costs => costs::run(&options),
        Command::All => {
            load::run(&options)?;
            costs::run(&options)
        }
        Command::Instructions => instructions::run(),
        Command::Train => train::run(&options),
    }
}
