//! What one call costs. Not a test: run with `--ignored`, and `CALLS=n` to choose how many.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Engine, Result, Store};

use super::super::link::Calls;
use super::super::provider::{self, Exports};
use super::peer::{Nobody, Peer, concurrent, plain};
use super::wat::{CALLER, Importer, ONE_PLACE, Types, exporter};

const USERS: &str = "wharf:accounts/users@0.1.0";
const TYPES: Types<'_> = &[(
    "user",
    r#"(record (field "name" string) (field "age" u32))"#,
)];
const GET: &str = r#"(param "id" u32) (result (result $user (error string)))"#;

/// `get(0)` is an error, anything else Ada of that age.
fn users() -> Vec<u8> {
    let core = format!(
        r#"{ONE_PLACE}
        (data (i32.const 64) "Ada Lovelace") (data (i32.const 80) "no such user")
        (func (export "ping"))
        (func (export "get") (param $id i32) (result i32)
            (i32.store8 (i32.const 16) (i32.eqz (local.get $id)))
            (i32.store (i32.const 20) (select (i32.const 64) (i32.const 80) (local.get $id)))
            (i32.store (i32.const 24) (i32.const 12))
            (i32.store (i32.const 28) (local.get $id))
            (i32.const 16))"#
    );
    exporter(USERS, TYPES, &[("get", GET), ("ping", "")], &core)
}

/// `run(n)` calls `get` n times.
fn asker() -> Vec<u8> {
    Importer {
        interface: USERS,
        types: TYPES,
        function: "get",
        signature: GET,
        lowered: "(param i32 i32)",
        run: r#"(param "times" u32) (result u32)"#,
        libc: ONE_PLACE,
        core: r#"(func (export "run") (param $n i32) (result i32) (local $sum i32)
            (loop $more
                (call $get (local.get $n) (i32.const 16))
                (local.set $sum (i32.add (local.get $sum) (i32.load (i32.const 28))))
                (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (local.get $sum))"#,
    }
    .build()
}

/// Has the answer at once: what is left is the caller's side.
struct Here;

impl Calls for Here {
    fn call(
        &self,
        _: &Arc<str>,
        _: &Arc<str>,
        params: Vec<Val>,
    ) -> BoxFuture<'static, Result<Vec<Val>>> {
        let name = Val::String("Ada Lovelace".into());
        let age = params.into_iter().next().unwrap();
        let user = Val::Record(vec![("name".into(), name), ("age".into(), age)]);
        let found = vec![Val::Result(Ok(Some(Box::new(user))))];
        Box::pin(std::future::ready(Ok(found)))
    }
}

fn times() -> u32 {
    std::env::var("CALLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(100_000)
}

fn report(what: &str, times: u32, start: Instant) {
    println!(
        "{what:44} {:8.0} ns",
        start.elapsed().as_secs_f64() * 1e9 / f64::from(times)
    );
}

/// The same without a mailbox, or anything else but wasmtime.
async fn bare(what: &str, engine: &Engine, function: &str, params: &[Val]) {
    let component = Component::from_binary(engine, &users()).unwrap();
    let mut store = Store::new(engine, ());
    store.set_epoch_deadline(1 << 40);
    let linker = Linker::new(engine);
    let instance = linker
        .instantiate_async(&mut store, &component)
        .await
        .unwrap();
    let target = Exports::of(&component)
        .unwrap()
        .find(USERS, function)
        .unwrap();
    let start = Instant::now();
    for _ in 0..times() {
        provider::call(&mut store, &instance, target, params)
            .await
            .unwrap();
    }
    report(what, times(), start);
}

async fn find(what: &str) {
    let component = Component::from_binary(&plain(), &users()).unwrap();
    let exports = Exports::of(&component).unwrap();
    for version in ["wharf:accounts/users@0.1.0", "wharf:accounts/users@0.1.1"] {
        let start = Instant::now();
        for _ in 0..times() {
            black_box(exports.find(black_box(version), black_box("get")));
        }
        report(&format!("{what} {version}"), times(), start);
    }
    tokio::task::yield_now().await;
}

async fn import(what: &str, engine: &Engine, calls: Arc<dyn Calls>) {
    let near = Peer::start(engine, &asker(), calls).await;
    near.ask(CALLER, "run", vec![Val::U32(1000)]).await.unwrap();
    let start = Instant::now();
    near.ask(CALLER, "run", vec![Val::U32(times())])
        .await
        .unwrap();
    report(what, times(), start);
}

async fn export(what: &str, engine: &Engine, function: &str, params: &[Val]) {
    let far = Peer::start(engine, &users(), Arc::new(Nobody)).await;
    let (interface, function) = (USERS.into(), function.into());
    let start = Instant::now();
    for _ in 0..times() {
        far.call(&interface, &function, params.to_vec())
            .await
            .unwrap();
    }
    report(what, times(), start);
}

#[tokio::test]
#[ignore = "a measurement"]
async fn what_a_call_costs() {
    let (one, many) = (plain(), concurrent());
    let only = std::env::var("ONLY").unwrap_or_default();
    let chosen = |name: &str| only.is_empty() || only == name;
    if chosen("import") {
        import("import side, no concurrency", &one, Arc::new(Here)).await;
    }
    if chosen("import concurrent") {
        import("import side, concurrency", &many, Arc::new(Here)).await;
    }
    if chosen("find") {
        find("find").await;
    }
    if chosen("bare") {
        bare("bare call_async, ping", &one, "ping", &[]).await;
    }
    if chosen("bare get") {
        bare("bare call_async, get", &one, "get", &[Val::U32(7)]).await;
    }
    if chosen("export") {
        export("export side, ping, no concurrency", &one, "ping", &[]).await;
        export(
            "export side, get, no concurrency",
            &one,
            "get",
            &[Val::U32(7)],
        )
        .await;
        export("export side, ping, concurrency", &many, "ping", &[]).await;
        export(
            "export side, get, concurrency",
            &many,
            "get",
            &[Val::U32(7)],
        )
        .await;
    }
    if chosen("large") {
        for (what, ty, n) in [
            ("a string of 1 MiB", "string", 1 << 20),
            ("a list of 300 000 bytes", "(list u8)", 300_000),
        ] {
            let start = Instant::now();
            for _ in 0..20 {
                super::limits::length(ty, 1, n, 64 << 20).await.0.unwrap();
            }
            let made = start.elapsed();
            let start = Instant::now();
            for _ in 0..20 {
                super::limits::length(ty, 1, 1, 64 << 20).await.0.unwrap();
            }
            let each = made.saturating_sub(start.elapsed()) / 20;
            println!("{what:44} {:8} us", each.as_micros());
        }
    }
    for (near, far, name) in [
        (&one, &one, "plain to plain"),
        (&one, &many, "plain to concurrent"),
        (&many, &one, "concurrent to plain"),
        (&many, &many, "concurrent to concurrent"),
    ] {
        if chosen(name) {
            let far = Peer::start(far, &users(), Arc::new(Nobody)).await;
            import(name, near, far).await;
        }
    }
}

#[tokio::test]
async fn get_gives_what_it_should() {
    for engine in [plain(), concurrent()] {
        let far = Peer::start(&engine, &users(), Arc::new(Nobody)).await;
        let wrong = far.ask(USERS, "get", vec![Val::U32(0)]).await.unwrap();
        let text = Val::String("no such user".into());
        assert_eq!(wrong, Val::Result(Err(Some(Box::new(text)))));
        let near = Peer::start(&engine, &asker(), far).await;
        let sum = near.ask(CALLER, "run", vec![Val::U32(4)]).await.unwrap();
        assert_eq!(sum, Val::U32(4 + 3 + 2 + 1));
    }
}
