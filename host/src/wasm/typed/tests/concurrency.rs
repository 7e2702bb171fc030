//! Which calls go on at the same time.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Barrier;
use tokio::time::timeout;
use wasmtime::component::Val;
use wasmtime::{Engine, Result};

use super::super::link::Calls;
use super::peer::{Nobody, Peer, concurrent, plain};
use super::wat::{CALLER, Importer, ONE_PLACE, exporter};

const INTERFACE: &str = "test:together/t@0.1.0";

/// `run(id)` gives what `get(id)` gives; `run` is of this type, and so is `get`.
pub(super) fn relay(run: &str, get: &str) -> Vec<u8> {
    Importer {
        interface: INTERFACE,
        types: &[],
        function: "get",
        signature: &format!(r#"{get} (param "id" u32) (result u32)"#),
        lowered: "(param i32) (result i32)",
        run: &format!(r#"{run} (param "id" u32) (result u32)"#),
        libc: ONE_PLACE,
        core: r#"(func (export "run") (param i32) (result i32) (call $get (local.get 0)))"#,
    }
    .build()
}

/// The same, but that both are `async func`s of the async ABI: the guest waits for several at once.
fn async_relay() -> Vec<u8> {
    let text = format!(
        r#"(component
        (import "{INTERFACE}" (instance $imp (export "get" (func async (param "id" u32) (result u32)))))
        (core module $libc {ONE_PLACE})
        (core instance $libc (instantiate $libc))
        (core func $get (canon lower (func $imp "get") async (memory $libc "memory")))
        (core func $return (canon task.return (result u32)))
        (core func $set (canon waitable-set.new))
        (core func $join (canon waitable.join))
        (core module $m
            (import "libc" "memory" (memory 1))
            (import "host" "get" (func $get (param i32 i32) (result i32)))
            (import "host" "return" (func $return (param i32)))
            (import "host" "set" (func $set (result i32)))
            (import "host" "join" (func $join (param i32 i32)))
            (global $place (mut i32) (i32.const 64))
            (func (export "run") (param $id i32) (result i32) (local $status i32) (local $set i32) (local $at i32)
                (local.set $at (global.get $place))
                (global.set $place (i32.add (local.get $at) (i32.const 4)))
                (local.set $status (call $get (local.get $id) (local.get $at)))
                (if (i32.eq (i32.and (local.get $status) (i32.const 15)) (i32.const 2)) (then
                    (call $return (i32.load (local.get $at)))
                    (return (i32.const 0))))
                (local.set $status (i32.shr_u (local.get $status) (i32.const 4)))
                ;; where the subtask's answer will be
                (i32.store (i32.add (i32.const 2048) (i32.shl (local.get $status) (i32.const 2))) (local.get $at))
                (local.set $set (call $set))
                (call $join (local.get $status) (local.get $set))
                (i32.or (i32.shl (local.get $set) (i32.const 4)) (i32.const 2)))
            (func (export "callback") (param $event i32) (param $subtask i32) (param $status i32) (result i32)
                (if (i32.ne (local.get $status) (i32.const 2)) (then unreachable))
                (call $return (i32.load (i32.load
                    (i32.add (i32.const 2048) (i32.shl (local.get $subtask) (i32.const 2))))))
                (i32.const 0)))
        (core instance $m (instantiate $m
            (with "libc" (instance $libc))
            (with "host" (instance
                (export "get" (func $get)) (export "return" (func $return))
                (export "set" (func $set)) (export "join" (func $join))))))
        (func $run async (param "id" u32) (result u32)
            (canon lift (core func $m "run") async (callback (func $m "callback"))))
        (instance $out (export "run" (func $run)))
        (export "{CALLER}" (instance $out)))"#
    );
    wat::parse_str(text).unwrap()
}

/// Answers with the parameter plus one, but not before it has been asked twice.
struct Both(Arc<Barrier>);

impl Calls for Both {
    fn call(
        &self,
        _: &Arc<str>,
        _: &Arc<str>,
        params: Vec<Val>,
    ) -> BoxFuture<'static, Result<Vec<Val>>> {
        let both = Arc::clone(&self.0);
        Box::pin(async move {
            both.wait().await;
            let [Val::U32(id)] = params[..] else {
                panic!("{params:?}");
            };
            Ok(vec![Val::U32(id + 1)])
        })
    }
}

/// Whether two calls of one guest overlap.
async fn overlap(engine: &Engine, wasm: &[u8]) -> bool {
    let both = Arc::new(Both(Arc::new(Barrier::new(2))));
    let guest = Peer::start(engine, wasm, both).await;
    let ask = async |id| guest.ask(CALLER, "run", vec![Val::U32(id)]).await.unwrap();
    let answers = async { tokio::join!(ask(1), ask(2)) };
    match timeout(Duration::from_millis(300), answers).await {
        Ok(answers) => {
            assert_eq!(answers, (Val::U32(2), Val::U32(3)));
            true
        }
        Err(_) => false,
    }
}

#[tokio::test]
async fn only_async_functions_of_an_async_guest_overlap() {
    let (one, many) = (plain(), concurrent());
    assert!(!overlap(&one, &relay("", "")).await);
    assert!(!overlap(&many, &relay("", "")).await);
    // a synchronous lowering holds the guest, though not its store
    assert!(!overlap(&many, &relay("async", "")).await);
    assert!(!overlap(&many, &relay("async", "async")).await);
    assert!(overlap(&many, &async_relay()).await);
}

#[tokio::test]
async fn async_and_plain_functions_serve_one_another() {
    let (one, many) = (plain(), concurrent());
    let plus_one = |kind: &str| {
        let core = format!(
            r#"{ONE_PLACE} (func (export "get") (param i32) (result i32)
                (i32.add (local.get 0) (i32.const 1)))"#
        );
        exporter(
            INTERFACE,
            &[],
            &[("get", &format!(r#"{kind} (param "id" u32) (result u32)"#))],
            &core,
        )
    };
    for (far, kind) in [(&one, ""), (&many, ""), (&many, "async")] {
        for (near, wasm) in [
            (&one, relay("", "")),
            (&many, relay("", "")),
            (&many, relay("async", "async")),
            (&many, async_relay()),
        ] {
            let far = Peer::start(far, &plus_one(kind), Arc::new(Nobody)).await;
            let near = Peer::start(near, &wasm, far).await;
            for id in 0..3 {
                let answer = near.ask(CALLER, "run", vec![Val::U32(id)]).await.unwrap();
                assert_eq!(answer, Val::U32(id + 1));
            }
        }
    }
}

#[tokio::test]
async fn a_guest_whose_call_waits_may_be_called_by_another_if_it_is_async() {
    // A asks B, which asks A again: that is for whoever brings the calls to forbid or to limit
    struct Back(std::sync::OnceLock<Arc<Peer>>);
    impl Calls for Back {
        fn call(
            &self,
            _: &Arc<str>,
            _: &Arc<str>,
            params: Vec<Val>,
        ) -> BoxFuture<'static, Result<Vec<Val>>> {
            let [Val::U32(id)] = params[..] else {
                panic!("{params:?}");
            };
            match (id, self.0.get()) {
                (1.., Some(peer)) => {
                    peer.call(&CALLER.into(), &"run".into(), vec![Val::U32(id - 1)])
                }
                _ => Box::pin(async { Ok(vec![Val::U32(77)]) }),
            }
        }
    }
    let back = Arc::new(Back(std::sync::OnceLock::new()));
    let guest = Peer::start(&concurrent(), &async_relay(), back.clone()).await;
    assert!(back.0.set(guest.clone()).is_ok());
    let answer = timeout(
        Duration::from_secs(5),
        guest.ask(CALLER, "run", vec![Val::U32(3)]),
    )
    .await;
    assert_eq!(answer.unwrap().unwrap(), Val::U32(77));
}
