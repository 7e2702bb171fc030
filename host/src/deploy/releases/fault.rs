//! A death in the middle of it, for tests: after so many changes to the file system none happens any
//! more, and the one that was under way is half done.

use std::cell::Cell;
use std::fs::File;
use std::io;

thread_local! {
    /// Changes that still happen in this thread.
    static LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
}

/// Runs `work`, which dies after so many changes. Whether it did.
pub(super) fn dying_after<T>(changes: u32, work: impl FnOnce() -> T) -> (T, bool) {
    LEFT.set(changes);
    let outcome = work();
    let died = LEFT.replace(u32::MAX) == 0;
    (outcome, died)
}

/// One change is about to happen.
pub(super) fn step() -> io::Result<()> {
    match LEFT.get() {
        u32::MAX => Ok(()),
        0 => Err(io::Error::other("it is dead")),
        left => {
            LEFT.set(left - 1);
            Ok(())
        }
    }
}

/// A file was written.
pub(super) fn torn(file: &File) -> io::Result<()> {
    step().inspect_err(|_| {
        let half = file.metadata().map_or(0, |data| data.len() / 2);
        let _ = file.set_len(half);
    })
}
