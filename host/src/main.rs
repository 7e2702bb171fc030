//! The `wharf` binary: arguments, then exit code. All else is in the library.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// A request makes and drops some sixty small things, most of them wasmtime's, often on one thread and then on
/// another.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // They would double the memory of a host with nothing to do, where the system gives them unasked. Where it
    // refuses to leave them out, all goes on as well.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    wharf::cli::run()
}
