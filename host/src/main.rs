//! The `wharf` binary: arguments, then exit code. All else is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A request makes and drops some sixty small things, most of them wasmtime's. mimalloc takes a
/// third of the instructions for that which the C library's allocator takes. Huge pages are off: they
/// would double the memory of a host with nothing to do.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    wharf::cli::run()
}
