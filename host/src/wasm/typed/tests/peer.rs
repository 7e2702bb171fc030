//! What the rest of the server is to typed calls, in small: an instance whose work is one future that owns
//! the store and is driven by whoever calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Config, Engine, Result, Store, StoreLimits, StoreLimitsBuilder, bail, format_err};

use super::super::link::{self, Caller, Calls};
use super::super::provider::Exports;
use super::super::signature;
use super::serve::{Ending, Inbox, Letter, run};

/// As the engine for `wasi:http` 0.2.
pub(super) fn plain() -> Engine {
    let mut config = Config::new();
    config.concurrency_support(false);
    config.epoch_interruption(true);
    Engine::new(&config).unwrap()
}

/// As the engine for `wasi:http` 0.3.
pub(super) fn concurrent() -> Engine {
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    config.epoch_interruption(true);
    Engine::new(&config).unwrap()
}

pub(super) struct Data {
    calls: Arc<dyn Calls>,
    limits: StoreLimits,
}

impl Caller for Data {
    fn calls(&self) -> &Arc<dyn Calls> {
        &self.calls
    }
}

/// For who imports nothing.
pub(super) struct Nobody;

impl Calls for Nobody {
    fn call(
        &self,
        interface: &Arc<str>,
        function: &Arc<str>,
        _params: Vec<Val>,
    ) -> BoxFuture<'static, Result<Vec<Val>>> {
        let error = format_err!("nobody has {interface}.{function}");
        Box::pin(async move { Err(error) })
    }
}

/// What moves a guest on: whoever calls it and, if it has one, a task of its own, whose waker is then
/// the one that the guest waits with.
struct Work {
    future: Mutex<Option<BoxFuture<'static, Result<()>>>>,
    task: Mutex<Option<Waker>>,
}

/// One instance.
pub(super) struct Peer {
    exports: Exports,
    inbox: Arc<Mutex<Inbox>>,
    work: Arc<Work>,
    ended: Arc<Mutex<Option<Ending>>>,
    /// Calls that it was given.
    pub(super) calls: AtomicUsize,
}

const MEMORY: usize = 64 << 20;
/// As in the server.
pub(super) const FUEL: usize = 16 << 20;

impl Peer {
    pub(super) async fn start(engine: &Engine, wasm: &[u8], calls: Arc<dyn Calls>) -> Arc<Self> {
        Self::limited(engine, wasm, calls, MEMORY).await
    }

    pub(super) async fn limited(
        engine: &Engine,
        wasm: &[u8],
        calls: Arc<dyn Calls>,
        memory: usize,
    ) -> Arc<Self> {
        let component = Component::from_binary(engine, wasm).unwrap();
        let mut linker = Linker::<Data>::new(engine);
        link::define(&mut linker, &signature::imports(&component).unwrap()).unwrap();
        let pre = linker.instantiate_pre(&component).unwrap();
        let limits = StoreLimitsBuilder::new()
            .memory_size(memory)
            .trap_on_grow_failure(true)
            .build();
        let mut store = Store::new(engine, Data { calls, limits });
        store.limiter(|data| &mut data.limits);
        store.set_hostcall_fuel(FUEL);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = pre.instantiate_async(&mut store).await.unwrap();
        let inbox = Arc::<Mutex<Inbox>>::default();
        let ended = Arc::<Mutex<Option<Ending>>>::default();
        let work = run(store, instance, Arc::clone(&inbox), Arc::clone(&ended));
        let peer = Self {
            exports: Exports::of(&component).unwrap(),
            inbox,
            work: Arc::new(Work {
                future: Mutex::new(Some(Box::pin(work))),
                task: Mutex::default(),
            }),
            ended,
            calls: AtomicUsize::new(0),
        };
        // until it waits for letters
        std::future::poll_fn(|cx| {
            peer.work.drive(cx);
            Poll::Ready(())
        })
        .await;
        Arc::new(peer)
    }

    /// Gives it a task of its own, as in the server: whoever calls drives it until it first waits.
    pub(super) fn spawn(&self) {
        let work = Arc::clone(&self.work);
        tokio::spawn(std::future::poll_fn(move |cx| {
            *work.task.lock() = Some(cx.waker().clone());
            work.drive(cx);
            Poll::<()>::Pending
        }));
    }

    /// Calls from outside.
    pub(super) async fn ask(
        &self,
        interface: &str,
        function: &str,
        params: Vec<Val>,
    ) -> Result<Val> {
        let values = self
            .call(&interface.into(), &function.into(), params)
            .await?;
        Ok(values.into_iter().next().unwrap_or(Val::Bool(true)))
    }

    pub(super) fn has(&self, interface: &str, function: &str) -> bool {
        self.exports.find(interface, function).is_some()
    }

    /// Whether its guest has come to an end.
    pub(super) fn ended(&self) -> Option<Ending> {
        self.ended.lock().clone()
    }
}

impl Calls for Peer {
    fn call(
        &self,
        interface: &Arc<str>,
        function: &Arc<str>,
        params: Vec<Val>,
    ) -> BoxFuture<'static, Result<Vec<Val>>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let Some(target) = self.exports.find(interface, function) else {
            return Box::pin(async { bail!("no such function") });
        };
        let (reply, mut answer) = oneshot::channel();
        let letter = Letter {
            target,
            params,
            reply,
        };
        let reader = {
            let mut inbox = self.inbox.lock();
            inbox.letters.push_back(letter);
            inbox.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        let (work, ended) = (Arc::clone(&self.work), Arc::clone(&self.ended));
        let mut lent = false;
        Box::pin(std::future::poll_fn(move |cx| {
            if !std::mem::replace(&mut lent, true) || work.task.lock().is_none() {
                work.drive(cx);
            }
            match (std::pin::Pin::new(&mut answer).poll(cx), &*ended.lock()) {
                (Poll::Ready(Ok(answer)), _) => Poll::Ready(answer),
                (_, Some(ending)) => Poll::Ready(Err(format_err!("{}", ending.message))),
                (_, None) => Poll::Pending,
            }
        }))
    }
}

impl Work {
    /// Moves the work on, on the thread and the stack of whoever calls.
    fn drive(&self, cx: &mut Context<'_>) {
        let waker = self
            .task
            .lock()
            .clone()
            .unwrap_or_else(|| cx.waker().clone());
        match self.future.try_lock() {
            Some(mut future) => {
                let cx = &mut Context::from_waker(&waker);
                let over = future
                    .as_mut()
                    .is_some_and(|future| future.as_mut().poll(cx).is_ready());
                if over {
                    *future = None;
                }
            }
            None => waker.wake(),
        }
    }
}
