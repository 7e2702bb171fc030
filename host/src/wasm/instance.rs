//! One instance: the task that owns a store.
//!
//! It instantiates the component, says that it is ready, runs attempts from its mailbox, and ends
//! with an [`Exit`]. What differs between the generations of `wasi:http` is in
//! [`proxy2`](super::proxy2) and [`proxy3`](super::proxy3).

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use wasmtime::{Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi_http::handler::{Proxy, ProxyPre};

use super::active::Active;
use super::component::Component;
use super::engine::Sandbox;
use super::limits::MemoryExceeded;
use super::state::{Blueprint, State};
use super::{proxy2, proxy3};
use crate::config::{Log, Manifest, ServiceName};
use crate::dispatch::{Attempt, AttemptError};
use crate::keyvalue::Store as KeyValueStore;
use crate::service::exit::{Exit, ExitReason};
use crate::service::launch::{Ended, Launch, Seat};
use crate::service::lease::Vitals;

/// Bytes that one host call may copy out of a guest: lists and strings of arguments.
const MAX_HOST_CALL_BYTES: usize = 16 << 20;

/// Guest frames kept of a backtrace.
const MAX_FRAMES: usize = 32;

/// A request's deadline passed while the guest was running. Ends the instance.
#[derive(Debug, thiserror::Error)]
#[error("a request's deadline passed while the guest was working on it")]
pub(super) struct DeadlinePassed;

/// The clients of everything that the instance was working on have gone. Ends the instance.
#[derive(Debug, thiserror::Error)]
#[error("its clients went away and the guest went on for {LINGER:?}")]
pub(super) struct ClientsGone;

/// How long a guest may go on with requests whose clients have gone. Long enough to finish what is
/// nearly done, short enough that nobody can fill a pool by hanging up.
const LINGER: Duration = Duration::from_secs(2);

/// What the task around a store watches while guest code has the store.
pub(super) struct Watch {
    /// The requests being worked on.
    pub active: Active,
    vitals: Arc<Vitals>,
}

impl Watch {
    /// Waits until the clients of all requests in the instance have been gone for [`LINGER`].
    pub(super) async fn abandoned(&self) -> ClientsGone {
        loop {
            self.vitals.abandoned.notified().await;
            while self.active.is_abandoned() {
                sleep(LINGER).await;
                if self.active.is_abandoned() {
                    return ClientsGone;
                }
            }
        }
    }
}

/// Tells those who wait for an instance how it ended, also if its task is dropped.
struct Obituary {
    active: Active,
    reason: ExitReason,
}

impl Drop for Obituary {
    fn drop(&mut self) {
        self.active.bury(self.reason);
    }
}

/// Runs instances of one release.
pub struct Launcher {
    sandbox: Arc<Sandbox>,
    component: Component,
    blueprint: Arc<Blueprint>,
    concurrency: NonZeroUsize,
    start: Duration,
}

impl Launcher {
    /// Instances of `component`, as `manifest` wants them.
    pub fn new(
        sandbox: Arc<Sandbox>,
        component: Component,
        service: &ServiceName,
        manifest: &Manifest,
        manifest_file: &str,
        log: &Log,
        keyvalue: Arc<dyn KeyValueStore>,
    ) -> Self {
        let concurrency = match component.generation {
            super::Generation::Two => NonZeroUsize::MIN,
            three @ super::Generation::Three => manifest
                .instances
                .concurrency
                .unwrap_or_else(|| three.default_concurrency()),
        };
        let blueprint = Blueprint {
            service: service.to_string().into(),
            manifest_file: manifest_file.into(),
            grants: Arc::new(manifest.grants.clone()),
            keyvalue,
            memory: manifest.limits.memory,
            log: log.clone(),
        };
        Self {
            sandbox,
            component,
            blueprint: Arc::new(blueprint),
            concurrency,
            start: manifest.limits.start,
        }
    }
}

impl Launch for Launcher {
    fn concurrency(&self) -> NonZeroUsize {
        self.concurrency
    }

    fn run(&self, seat: Seat) -> BoxFuture<'static, Ended> {
        let active = Active::default();
        let data = State::new(
            &self.blueprint,
            seat.id,
            Arc::clone(&seat.vitals),
            active.clone(),
        );
        let store = new_store(&self.sandbox, data);
        let pre = Arc::clone(&self.component.pre);
        Box::pin(run(store, pre, seat, active, self.concurrency, self.start))
    }
}

fn new_store(sandbox: &Sandbox, data: State) -> Store<State> {
    let mut store = Store::new(&sandbox.engine, data);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(MAX_HOST_CALL_BYTES);
    store.set_epoch_deadline(1);
    // The deadline is looked at here and not by a timer, because a spinning guest may hold the
    // thread that drives timers. Between looks, the guest lets tokio run what else is there:
    // `yield_now` comes back only after the I/O driver was polled.
    store.epoch_deadline_callback(|context| {
        let now = Instant::now();
        match context.data().active.first_deadline() {
            Some(deadline) if deadline <= now => Err(DeadlinePassed.into()),
            _ => Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(tokio::task::yield_now()),
            )),
        }
    });
    store
}

/// What is left of an instance. The fields are dropped in this order: first those who wait are
/// told, then the store goes, so that nobody takes half an answer for a whole one.
struct Remains {
    obituary: Obituary,
    store: Store<State>,
}

async fn run(
    store: Store<State>,
    pre: Arc<ProxyPre<State>>,
    seat: Seat,
    active: Active,
    concurrency: NonZeroUsize,
    start: Duration,
) -> Ended {
    let Seat {
        mut mailbox,
        ready,
        vitals,
        ..
    } = seat;
    let obituary = Obituary {
        active: active.clone(),
        reason: ExitReason::Killed,
    };
    // also if this task is aborted
    let mut remains = Remains { obituary, store };
    let store = &mut remains.store;
    let proxy = match timeout(start, pre.instantiate_async(&mut *store)).await {
        Ok(Ok(proxy)) => proxy,
        Ok(Err(error)) => {
            return Ended::quietly(Exit {
                reason: ExitReason::Start,
                ..describe(&error, Vec::new())
            });
        }
        Err(_) => {
            let message =
                format!("the component was not instantiated within limits.start = {start:?}");
            return Ended::quietly(Exit::plain(ExitReason::Start, message));
        }
    };
    let watch = Watch { active, vitals };
    // nobody may be listening any more; then the mailbox is closed, too
    let _ = ready.send(());
    let outcome = match &proxy {
        Proxy::P2(guest) => proxy2::serve(store, guest, &mut mailbox, &watch).await,
        Proxy::P3(guest) => proxy3::serve(store, guest, &mut mailbox, &watch, concurrency).await,
    };
    let exit = match outcome {
        Ok(()) => Exit::plain(ExitReason::Retired, "it was retired"),
        Err(error) => describe(&error, watch.active.lines()),
    };
    let blameless = watch.active.blameless();
    remains.obituary.reason = exit.reason;
    give_back(&mut mailbox);
    Ended {
        exit,
        blameless,
        remains: Box::new(remains),
    }
}

/// Attempts that were not started go back to their dispatchers.
fn give_back(mailbox: &mut mpsc::UnboundedReceiver<Attempt>) {
    mailbox.close();
    while let Ok(attempt) = mailbox.try_recv() {
        let _ = attempt.reply.send(Err(AttemptError::NotStarted));
    }
}

/// Why a guest ended, for the operator.
fn describe(error: &wasmtime::Error, requests: Vec<String>) -> Exit {
    let reason = if error.is::<DeadlinePassed>() {
        ExitReason::Deadline
    } else if error.is::<ClientsGone>() {
        ExitReason::Abandoned
    } else if error.is::<MemoryExceeded>() {
        ExitReason::Memory
    } else {
        ExitReason::Trap
    };
    let frames = error
        .downcast_ref::<WasmBacktrace>()
        .map(WasmBacktrace::frames)
        .unwrap_or_default();
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        Some(name) => demangle(name),
        None => format!("<function {}>", frame.func_index()),
    };
    let message = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    Exit {
        reason,
        message,
        backtrace: frames.iter().take(MAX_FRAMES).map(name).collect(),
        requests,
    }
}

/// Rust's mangled names as people write them.
fn demangle(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
