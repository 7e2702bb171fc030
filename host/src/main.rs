//! The `wharf` binary: arguments, then exit code. All else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    wharf::cli::run()
}
