//! The command line: one file per subcommand.

mod api;
mod check;
mod client;
mod compile;
mod completions;
mod control;
mod dashboard;
mod deploy;
mod dev;
mod doctor;
mod events;
mod exits;
mod logs;
mod new;
mod operator;
mod output;
mod releases;
mod serve;
mod status;
#[cfg(test)]
mod testing;
mod text;
mod top;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// Runs WebAssembly components as services: routed, balanced, supervised, replayed when safe.
#[derive(Parser)]
#[command(
    name = "wharf",
    version,
    max_term_width = 100,
    after_help = "Exit code: 0 done, 1 it failed or was refused, 2 wrong arguments, 3 no host.\n\
    `wharf COMMAND --help` has examples."
)]
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
    #[command(flatten)]
    Operator(operator::Command),
    /// Check what the machine lacks for building and serving, and say the fix
    Doctor(doctor::Arguments),
    /// Print what makes the Tab key complete commands and options
    Completions(completions::Arguments),
    /// Make a directory with a service to begin with
    New(new::Arguments),
    /// Compile a component for the server that has started this
    #[command(hide = true)]
    Compile(compile::Arguments),
}

/// Runs the command that the process was started with. Exit codes: 0 all is well, 1 it failed or was
/// refused, 2 the arguments are wrong, 3 no host was reached.
pub fn run() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Dev(arguments) => dev::run(arguments),
        Command::Operator(command) => operator::run(&command),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Completions(arguments) => Ok(completions::run(&arguments, Arguments::command())),
        Command::New(arguments) => new::run(&arguments),
        Command::Compile(arguments) => compile::run(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("wharf: {error:#}");
            ExitCode::FAILURE
        }
    }
}
