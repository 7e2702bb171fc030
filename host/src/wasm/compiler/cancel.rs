//! Giving up what a thread is waiting for.
//!
//! The thread waits for a process, in one system call; so what it is to be told has to be something that
//! such a call can wait for as well. It is a pipe's end.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};

/// Cancels when it is dropped.
pub struct CancelGuard(#[expect(dead_code, reason = "that it is open says all")] PipeWriter);

/// Sees whether its guard was dropped.
pub struct Canceled(PipeReader);

/// A guard, and what sees when it is gone.
///
/// # Errors
///
/// No file descriptors are left.
pub fn cancellation() -> io::Result<(CancelGuard, Canceled)> {
    let (seen, held) = io::pipe()?;
    Ok((CancelGuard(held), Canceled(seen)))
}

impl AsFd for Canceled {
    /// Hangs up when the guard is dropped.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
