//! The command line: one file per subcommand.

mod check;
mod dev;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs WebAssembly components as services: routed, balanced, supervised, replayed when safe.
#[derive(Parser)]
#[command(name = "wharf", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the components in a directory, and follow its changes
    Serve(serve::Arguments),
    /// Say what a component asks for, and whether this host would take it
    Check(check::Arguments),
    /// Build the guests of a cargo workspace, serve them, and swap them in as they change
    Dev(dev::Arguments),
}

/// Runs the command that the process was started with. Exit codes: 0 all is well, 1 it failed,
/// 2 the arguments are wrong.
pub fn run() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Dev(arguments) => dev::run(arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("wharf: {error:#}");
            ExitCode::FAILURE
        }
    }
}
