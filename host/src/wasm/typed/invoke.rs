//! A call on its way from one service to another, and one try of it as an instance gets it.

use std::any::Any;
use std::sync::Arc;

use http::HeaderValue;
use tokio::sync::oneshot;
use tokio::time::Instant;
use wasmtime::component::Val;

use crate::dispatch::{AttemptError, Caller, Line, Message, Noted, RequestId, Work};
use crate::service::drive::Hold;
use crate::service::errand::{Awaited, Errand};
use crate::service::exit::Death;
use crate::service::lane::Lane;
use crate::service::lease::Lease;
use crate::telemetry::otlp::Trace;

/// Which function is called, and with what.
#[derive(Clone)]
pub(in crate::wasm) struct Invocation {
    /// The interface, as the caller imports it.
    pub(in crate::wasm) interface: Arc<str>,
    /// The function.
    pub(in crate::wasm) function: Arc<str>,
    /// The parameters. Shared by all tries: there is nothing in them that a guest could use up.
    pub(in crate::wasm) params: Arc<[Val]>,
}

/// Where the results go.
pub(in crate::wasm) type Results = oneshot::Sender<Result<Vec<Val>, AttemptError>>;

/// A call, as it stays with its caller across all tries.
pub(super) struct Call {
    pub(super) invocation: Invocation,
    pub(super) caller: Caller,
    pub(super) deadline: Instant,
    pub(super) noted: Noted,
}

/// One try.
pub(in crate::wasm) struct Invoke {
    pub(in crate::wasm) invocation: Invocation,
    pub(in crate::wasm) results: Results,
    /// The trace that it is part of, and so are the calls that the function makes.
    pub(in crate::wasm) trace: [Option<HeaderValue>; 2],
}

impl Invoke {
    /// What was sent as a message; `None` if that was something else.
    pub(in crate::wasm) fn open(message: Box<dyn Message>) -> Option<Self> {
        let message: Box<dyn Any> = message;
        message.downcast().ok().map(|invoke| *invoke)
    }
}

impl Message for Invoke {
    fn fail(self: Box<Self>, error: AttemptError) {
        // the caller may have gone
        let _ = self.results.send(Err(error));
    }

    fn is_unwanted(&self) -> bool {
        self.results.is_closed()
    }
}

impl Errand for Call {
    type Outcome = Vec<Val>;
    type Answer = Vec<Val>;

    fn id(&self) -> &RequestId {
        &self.caller.id
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn lane(&self) -> Lane {
        self.caller.lane
    }

    fn caller(&self) -> Option<&Caller> {
        Some(&self.caller)
    }

    fn line(&self) -> Line {
        Line::call(&self.invocation.interface, &self.invocation.function)
    }

    fn work(&self, trace: Option<&Trace>) -> (Work, Awaited<Vec<Val>>) {
        let (results, awaited) = oneshot::channel();
        let invoke = Invoke {
            invocation: self.invocation.clone(),
            results,
            trace: trace.map_or_else(|| self.caller.trace.clone(), Trace::headers),
        };
        (Work::Call(Box::new(invoke)), awaited)
    }

    async fn finish(
        &self,
        values: Vec<Val>,
        lease: Arc<Lease>,
        _: Option<Hold<'_>>,
    ) -> Result<Vec<Val>, Death> {
        lease.note_answer(false);
        lease.mark_served();
        Ok(values)
    }

    fn noted(&self) -> Option<&Noted> {
        Some(&self.noted)
    }

    /// Nobody says of a function whether it is.
    fn is_idempotent(&self) -> bool {
        false
    }

    fn is_replayable(&self) -> bool {
        true
    }
}
