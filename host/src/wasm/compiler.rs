//! Compiling, with bounds.
//!
//! How much time and memory a component takes to compile can't be seen from its size: a small file can
//! be made that takes hours, or all the memory there is. So that such a file harms nobody, a server
//! compiles in a [process](process) of its own, which is this very program with another
//! [task](worker): it may use so much memory and so much time, is of low priority, and is ended when it
//! takes more. What it gives back is code as the [cache](super::cache) has it.

mod cancel;
mod exhausted;
mod process;
mod report;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub use self::cancel::{CancelGuard, Canceled, cancellation};
use self::exhausted::Known;
use self::process::Program;
use super::component::{ComponentError, check_preamble};
use super::engine::Concurrency;

pub(crate) use self::worker::run as work;

/// What compiles.
pub struct Compiler {
    kind: Kind,
    exhausted: Mutex<Known>,
}

enum Kind {
    InProcess,
    Process(Bounds),
}

/// What compiling one component may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// From the start of the process to its end.
    pub time: Duration,
    /// Memory of the process, in bytes; and as much for the code that comes out.
    pub memory: u64,
}

/// Code that this host has compiled, and that can be made runnable again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compiled {
    /// The engine that it is for.
    pub(super) concurrency: Concurrency,
    /// As wasmtime serializes it.
    pub(super) code: Vec<u8>,
}

impl Compiler {
    /// Compiles in the process that asks, without bounds: for tests, and for components that the one who
    /// asks has chosen.
    pub fn in_process() -> Self {
        Self::of(Kind::InProcess)
    }

    /// Compiles in a process of its own, which is this program as it was started, wherever its file is
    /// now.
    pub fn process(bounds: Bounds) -> Self {
        Self::of(Kind::Process(bounds))
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            exhausted: Mutex::default(),
        }
    }

    /// Compiles the component with this SHA-256. Waits for it: not for an async thread.
    ///
    /// # Errors
    ///
    /// Why there is no code, in words for the component's author or for the operator.
    pub(super) fn compile(
        &self,
        digest: &Arc<str>,
        bytes: &[u8],
        canceled: &Canceled,
    ) -> Result<Compiled, ComponentError> {
        if let Some(exhausted) = self.exhausted.lock().find(digest, Instant::now()) {
            return Err(exhausted.into());
        }
        let outcome = match &self.kind {
            Kind::InProcess => worker::compile(bytes),
            Kind::Process(bounds) => {
                // whoever compiles would say the same, and this way is shorter
                check_preamble(bytes)?;
                process::compile(&Program::this(), *bounds, bytes, canceled)
            }
        };
        if let Err(error) = &outcome {
            self.exhausted.lock().note(digest, error, Instant::now());
        }
        outcome
    }
}
