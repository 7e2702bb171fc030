//! The `wharf` binary: arguments, then exit code. All else is in the library.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// A request makes and drops some sixty small things, most of them wasmtime's, often on one thread and then on
/// another.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // Where the system gives huge pages unasked, they would double the memory of a host with nothing to do. It
    // goes on with them where they can't be refused.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    wharf::cli::run()
}
