//! A provider that traps, and its caller.

use std::sync::Arc;

use wasmtime::component::Val;

use super::peer::{Nobody, Peer, concurrent, plain};
use super::serve::Ending;
use super::wat::{CALLER, Importer, ONE_PLACE, exporter};

const INTERFACE: &str = "test:traps/t@0.1.0";

/// `go(n)` traps if n is 0, gives back what makes no sense if it is 1, and 5 otherwise.
fn far() -> Vec<u8> {
    let core = format!(
        r#"{ONE_PLACE} (func (export "go") (param $n i32) (result i32)
            (if (i32.eqz (local.get $n)) (then unreachable))
            (i32.store (i32.const 16) (i32.const 64))
            (i32.store (i32.const 20) (select (i32.const 0x7fffffff) (i32.const 5) (i32.eq (local.get $n) (i32.const 1))))
            (i32.const 16))"#
    );
    exporter(
        INTERFACE,
        &[],
        &[("go", r#"(param "n" u32) (result (list u8))"#)],
        &core,
    )
}

fn near() -> Vec<u8> {
    Importer {
        interface: INTERFACE,
        types: &[],
        function: "go",
        signature: r#"(param "n" u32) (result (list u8))"#,
        lowered: "(param i32 i32)",
        run: r#"(param "n" u32) (result u32)"#,
        libc: ONE_PLACE,
        core: r#"(func (export "run") (param i32) (result i32)
            (call $go (local.get 0) (i32.const 16)) (i32.load (i32.const 20)))"#,
    }
    .build()
}

#[tokio::test]
async fn a_trap_of_the_provider_is_the_end_of_both_and_of_nobody_else() {
    let engines = [plain(), concurrent()];
    for (importer, exporter) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for (n, reason) in [
            (0, "wasm trap: wasm `unreachable` instruction executed"),
            (1, "list pointer/length out of bounds of memory"),
        ] {
            let provider = Peer::start(&engines[exporter], &far(), Arc::new(Nobody)).await;
            let one = Peer::start(&engines[importer], &near(), provider.clone()).await;
            let bystander = Peer::start(&engines[importer], &near(), provider.clone()).await;
            assert_eq!(
                one.ask(CALLER, "run", vec![Val::U32(9)]).await.unwrap(),
                Val::U32(5)
            );
            let error = one.ask(CALLER, "run", vec![Val::U32(n)]).await.unwrap_err();
            // not a trap of the caller's own
            let expected = format!("the call of `go` of {INTERFACE} failed: {reason}");
            assert_eq!(error.to_string(), expected, "{importer} {exporter}");
            let ending = Ending {
                trap: false,
                message: expected,
            };
            assert_eq!(one.ended(), Some(ending));
            let ending = Ending {
                trap: n == 0,
                message: reason.into(),
            };
            assert_eq!(provider.ended(), Some(ending));
            assert_eq!(bystander.ended(), None);
            let late = bystander.ask(CALLER, "run", vec![Val::U32(9)]).await;
            assert!(late.is_err());
        }
    }
}
