//! Guests that wait in the middle of a call that began on their caller's stack, and go on elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Notify;
use wasmtime::component::Val;
use wasmtime::{Engine, Result};

use super::super::link::Calls;
use super::concurrency::relay;
use super::peer::{Nobody, Peer, concurrent, plain};
use super::values::Through;
use super::wat::{CALLER, Importer, ONE_PLACE, exporter};

const INTERFACE: &str = "test:threads/t@0.1.0";

/// `get(n)` gives n + 1, after a while that it takes to count.
fn slow() -> Vec<u8> {
    let core = format!(
        r#"{ONE_PLACE} (func (export "get") (param $n i32) (result i32) (local $i i32)
            (loop $more
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $i) (i32.const 400000))))
            (i32.add (local.get $n) (i32.const 1)))"#
    );
    exporter(
        INTERFACE,
        &[],
        &[("get", r#"(param "n" u32) (result u32)"#)],
        &core,
    )
}

/// `run(n)` asks `get` with what `get` gave, beginning with 0, n times.
fn chain() -> Vec<u8> {
    Importer {
        interface: INTERFACE,
        types: &[],
        function: "get",
        signature: r#"(param "n" u32) (result u32)"#,
        lowered: "(param i32) (result i32)",
        run: r#"(param "n" u32) (result u32)"#,
        libc: ONE_PLACE,
        core: r#"(func (export "run") (param $n i32) (result i32) (local $last i32)
            (loop $more
                (local.set $last (call $get (local.get $last)))
                (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (local.get $last))"#,
    }
    .build()
}

/// Moves the epochs, so that guests stop in the middle of what they do.
struct Ticker(Arc<AtomicBool>);

impl Ticker {
    fn start(engines: Vec<Engine>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_micros(50));
                engines.iter().for_each(Engine::increment_epoch);
            }
        });
        Self(stop)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_guest_that_stops_in_the_middle_goes_on_in_its_own_task() {
    let engines = vec![plain(), concurrent()];
    let _ticker = Ticker::start(engines.clone());
    let mut providers = Vec::new();
    for engine in &engines {
        let provider = Peer::start(engine, &slow(), Arc::new(Nobody)).await;
        provider.spawn();
        providers.push(provider);
    }
    let mut callers = Vec::new();
    for n in 0..12 {
        let engine = &engines[n % 2];
        let near = Peer::start(engine, &chain(), providers[n / 2 % 2].clone()).await;
        near.spawn();
        callers.push(tokio::spawn(async move {
            for _ in 0..5 {
                let last = near.ask(CALLER, "run", vec![Val::U32(10)]).await.unwrap();
                assert_eq!(last, Val::U32(10));
            }
        }));
    }
    for caller in callers {
        tokio::time::timeout(Duration::from_mins(1), caller)
            .await
            .unwrap()
            .unwrap();
    }
}

/// Answers when it is told to.
struct Later(Arc<Notify>);

impl Calls for Later {
    fn call(
        &self,
        _: &Arc<str>,
        _: &Arc<str>,
        params: Vec<Val>,
    ) -> BoxFuture<'static, Result<Vec<Val>>> {
        let told = Arc::clone(&self.0);
        Box::pin(async move {
            told.notified().await;
            Ok(params)
        })
    }
}

#[tokio::test]
async fn a_provider_goes_on_when_its_caller_goes_away() {
    let engines = [plain(), concurrent()];
    for (importer, exporter) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let told = Arc::new(Notify::new());
        let last = Later(Arc::clone(&told));
        // its `run` is what the other imports as `get`
        let provider = Peer::start(&engines[exporter], &relay("", ""), Arc::new(last)).await;
        let near = |provider| async {
            let renamed = Arc::new(Through(provider));
            Peer::start(&engines[importer], &relay("", ""), renamed).await
        };
        let gone = near(provider.clone()).await;
        let ask = gone.ask(CALLER, "run", vec![Val::U32(7)]);
        tokio::time::timeout(Duration::from_millis(20), ask)
            .await
            .unwrap_err();
        drop(gone);
        provider.spawn();
        told.notify_one();
        let next = near(provider.clone()).await;
        let ask = tokio::spawn(async move { next.ask(CALLER, "run", vec![Val::U32(7)]).await });
        tokio::task::yield_now().await;
        told.notify_one();
        let answer = tokio::time::timeout(Duration::from_secs(5), ask)
            .await
            .unwrap();
        assert_eq!(
            answer.unwrap().unwrap(),
            Val::U32(7),
            "{importer} {exporter}"
        );
    }
}

/// Begins an event loop of its own, as a new guest of the engine with concurrency would.
struct Fresh(Engine);

impl Calls for Fresh {
    fn call(
        &self,
        _: &Arc<str>,
        _: &Arc<str>,
        params: Vec<Val>,
    ) -> BoxFuture<'static, Result<Vec<Val>>> {
        let mut store = wasmtime::Store::new(&self.0, ());
        Box::pin(async move {
            store.run_concurrent(async |_| ()).await?;
            Ok(params)
        })
    }
}

/// wasmtime panics if `run_concurrent` is first polled within that of another store, where an
/// `async func`'s host future is polled: a guest must have begun its loop before others drive it.
#[tokio::test]
async fn an_event_loop_does_not_begin_within_another() {
    let engine = concurrent();
    for (kind, panics) in [("", false), ("async", true)] {
        let near = Peer::start(&engine, &relay(kind, kind), Arc::new(Fresh(engine.clone()))).await;
        let ask = tokio::spawn(async move { near.ask(CALLER, "run", vec![Val::U32(7)]).await });
        let panicked = ask.await.is_err_and(|error| error.is_panic());
        assert_eq!(panicked, panics, "{kind}");
    }
}
