//! One instance: the task that owns a store.
//!
//! It instantiates the component, says that it is ready, runs attempts from its inbox, and ends with
//! an [`Exit`]. Under `isolation = "request"` it makes a new guest in a new store after each of
//! them. What differs between the generations of `wasi:http` is in
//! [`proxy2`](super::proxy2) and [`proxy3`](super::proxy3).

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, timeout};
use wasmtime::{Engine, Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi_http::handler::Proxy;

use super::active::Active;
use super::component::Component;
use super::engine::{Concurrency, Sandbox};
use super::guest::Guest;
use super::limits::MemoryExceeded;
use super::state::{Blueprint, Reach, State};
use super::typed::{CallFailed, Links};
use super::watch::{ClientsGone, DeadlinePassed, Watch};
use super::{proxy2, proxy3};
use crate::config::{Isolation, Log, Manifest};
use crate::dispatch::AttemptError;
use crate::service::drive::step_aside;
use crate::service::exit::{Exit, ExitReason, InstanceId};
use crate::service::launch::{Ended, Launch, Seat};
use crate::service::lease::Lease;
use crate::service::mailbox::Inbox;
use crate::service::{ReleaseInfo, short};
use crate::telemetry::logbook::Pages;

/// Bytes that one host call may copy out of a guest: lists and strings of arguments.
const MAX_HOST_CALL_BYTES: usize = 16 << 20;

/// Guest frames kept of a backtrace.
const MAX_FRAMES: usize = 32;

/// Tells those who wait for an instance how it ended, also if its task is dropped.
struct Obituary {
    active: Active,
    reason: ExitReason,
    computing: bool,
}

impl Drop for Obituary {
    fn drop(&mut self) {
        self.active.bury(self.reason, self.computing);
    }
}

/// Runs instances of one release.
pub struct Launcher(Arc<Maker>);

/// What the instances of one release are made with.
struct Maker {
    /// Moves the epoch.
    _sandbox: Arc<Sandbox>,
    component: Component,
    blueprint: Arc<Blueprint>,
    concurrency: NonZeroUsize,
    isolation: Isolation,
    start: Duration,
}

impl Launcher {
    /// Instances of `component`, as `manifest` wants them.
    pub fn new(
        sandbox: Arc<Sandbox>,
        component: Component,
        release: &ReleaseInfo,
        manifest: &Manifest,
        manifest_file: &str,
        log: (&Log, Pages),
        reach: Reach,
    ) -> Self {
        let isolation = manifest.isolation;
        let default = component.default_concurrency();
        let concurrency = match isolation {
            Isolation::Instance if default > NonZeroUsize::MIN => {
                manifest.instances.concurrency.unwrap_or(default)
            }
            _ => NonZeroUsize::MIN,
        };
        let blueprint = Blueprint {
            service: release.service.to_string().into(),
            release: short(&release.digest).into(),
            pages: log.1,
            manifest_file: manifest_file.into(),
            grants: Arc::new(manifest.grants.clone()),
            network: reach.network.partition(),
            reach,
            links: Links::default(),
            memory: manifest.limits.memory,
            log: log.0.clone(),
        };
        Self(Arc::new(Maker {
            _sandbox: sandbox,
            component,
            blueprint: Arc::new(blueprint),
            concurrency,
            isolation,
            start: manifest.limits.start,
        }))
    }

    /// Which services have what the component imports; to be set when its release goes live.
    pub fn links(&self) -> &Links {
        &self.0.blueprint.links
    }
}

impl Launch for Launcher {
    fn concurrency(&self) -> NonZeroUsize {
        self.0.concurrency
    }

    fn run(&self, seat: Seat) -> BoxFuture<'static, Ended> {
        Box::pin(run(Arc::clone(&self.0), seat))
    }
}

impl Maker {
    /// A store for a new guest in the instance `id`.
    fn store(&self, id: InstanceId, watch: &Watch) -> Store<State> {
        watch.active.begin();
        let vitals = Arc::clone(&watch.vitals);
        let meter = Arc::clone(&watch.meter);
        let data = State::new(&self.blueprint, id, vitals, watch.active.clone(), meter);
        new_store(self.component.engine(), data)
    }

    /// Makes a guest in `store`.
    ///
    /// # Errors
    ///
    /// Why it doesn't start.
    async fn instantiate(&self, store: &mut Store<State>) -> Result<Guest, Exit> {
        let start = self.start;
        match timeout(start, self.component.pre.instantiate(store)).await {
            Ok(Ok(guest)) => Ok(guest),
            Ok(Err(error)) => Err(Exit {
                reason: ExitReason::Start,
                ..describe(&error, Vec::new())
            }),
            Err(_) => Err(Exit::plain(
                ExitReason::Start,
                format!("the component was not instantiated within limits.start = {start:?}"),
            )),
        }
    }

    async fn serve(
        &self,
        store: &mut Store<State>,
        guest: &Guest,
        inbox: &mut Inbox,
        watch: &Watch,
    ) -> wasmtime::Result<Served> {
        let once = self.isolation == Isolation::Request;
        let active = &watch.active;
        let several = match &guest.handler {
            Some(Proxy::P2(_)) => false,
            Some(Proxy::P3(_)) => true,
            None => self.component.pre.concurrency == Concurrency::On,
        };
        if several {
            let concurrency = self.concurrency;
            let work = proxy3::serve(store, guest, inbox, active, concurrency, once);
            watch.over(work).await
        } else {
            let work = proxy2::serve(store, guest, inbox, active, once);
            watch.over(work).await
        }
    }
}

/// How a guest came to its end in good order.
pub(super) enum Served {
    /// There will be no more attempts.
    All,
    /// It was for one request only, which is over; the next one needs another guest. The place in
    /// the instance is held until that is there.
    One(Arc<Lease>),
}

fn new_store(engine: &Engine, data: State) -> Store<State> {
    let mut store = Store::new(engine, data);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(MAX_HOST_CALL_BYTES);
    store.set_epoch_deadline(1);
    // The deadline is looked at here and not by a timer, because a spinning guest may hold the
    // thread that drives timers. Between looks, the guest lets tokio run what else is there, and the
    // guests of services that have had less than their share.
    store.epoch_deadline_callback(|context| {
        let State { active, meter, .. } = context.data();
        let must_end = active.must_end();
        match must_end {
            Some(deadline) if deadline <= Instant::now() => {
                Err(DeadlinePassed { computing: true }.into())
            }
            // the tick is the engine's, not the guest's, which may have begun just before it
            _ if active.just_began() => Ok(UpdateDeadline::Continue(1)),
            _ => Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(Arc::clone(meter).interrupted(must_end)),
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

async fn run(maker: Arc<Maker>, seat: Seat) -> Ended {
    let Seat {
        id,
        mut inbox,
        vitals,
        meter,
        ready,
    } = seat;
    let active = Active::default();
    let watch = Watch {
        active,
        vitals,
        meter,
    };
    let (mut ready, mut place) = (Some(ready), None);
    loop {
        let obituary = Obituary {
            active: watch.active.clone(),
            reason: ExitReason::Killed,
            computing: false,
        };
        // also if this task is aborted
        let mut remains = Remains {
            obituary,
            store: maker.store(id, &watch),
        };
        let store = &mut remains.store;
        let guest = match maker.instantiate(store).await {
            Ok(guest) => guest,
            Err(exit) => return Ended::quietly(exit),
        };
        if let Some(ready) = ready.take() {
            // nobody may be listening any more; then the inbox has ended, too
            let _ = ready.send(());
        }
        // whoever comes next finds a fresh guest
        drop(place.take());
        let exit = match maker.serve(store, &guest, &mut inbox, &watch).await {
            Ok(Served::One(lease)) => {
                place = Some(lease);
                // the answer goes first, and its body to the end: what it has not given when the store
                // is dropped would be missing without a word
                step_aside().await;
                watch.active.over().await;
                continue;
            }
            Ok(Served::All) => Exit::plain(ExitReason::Retired, "it was retired"),
            Err(error) => {
                let late = error.downcast_ref::<DeadlinePassed>();
                remains.obituary.computing = late.is_none_or(|late| late.computing);
                describe(&error, watch.active.lines())
            }
        };
        let blameless = watch.active.blameless();
        remains.obituary.reason = exit.reason;
        give_back(&mut inbox);
        return Ended {
            exit,
            blameless,
            remains: Box::new(remains),
        };
    }
}

/// Attempts that were not started go back to their dispatchers.
fn give_back(inbox: &mut Inbox) {
    for attempt in inbox.close() {
        attempt.work.fail(AttemptError::NotStarted);
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
    } else if let Some(failed) = error.downcast_ref::<CallFailed>() {
        if failed.unavailable {
            ExitReason::Unavailable
        } else {
            ExitReason::Call
        }
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
