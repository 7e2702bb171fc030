//! Large values, and what one side can do to the other.

use std::sync::Arc;

use wasmtime::component::Val;

use super::peer::{FUEL, Nobody, Peer, concurrent, plain};
use super::wat::{CALLER, Importer, exporter, libc};

const INTERFACE: &str = "test:limits/l@0.1.0";

/// `make(n)` gives a list of n zero elements of `ty`, each of `size` bytes.
fn maker(ty: &str, size: u32) -> Vec<u8> {
    let core = format!(
        r#"{} (func (export "make") (param $n i32) (result i32)
            (i32.store (i32.const 16) (call $realloc (i32.const 0) (i32.const 0) (i32.const 8)
                (i32.mul (local.get $n) (i32.const {size}))))
            (i32.store (i32.const 20) (local.get $n))
            (i32.const 16))"#,
        libc(1)
    );
    exporter(
        INTERFACE,
        &[],
        &[("make", &format!(r#"(param "n" u32) (result {ty})"#))],
        &core,
    )
}

/// `run(n)` has a list made, and gives its length.
fn taker(ty: &str) -> Vec<u8> {
    Importer {
        interface: INTERFACE,
        types: &[],
        function: "make",
        signature: &format!(r#"(param "n" u32) (result {ty})"#),
        lowered: "(param i32 i32)",
        run: r#"(param "n" u32) (result u32)"#,
        libc: &libc(1),
        core: r#"(func (export "run") (param i32) (result i32)
            (call $make (local.get 0) (i32.const 16)) (i32.load (i32.const 20)))"#,
    }
    .build()
}

pub(super) async fn length(
    ty: &str,
    size: u32,
    n: u32,
    memory: usize,
) -> (Result<Val, String>, Arc<Peer>) {
    let provider = Peer::start(&plain(), &maker(ty, size), Arc::new(Nobody)).await;
    let near = Peer::limited(&concurrent(), &taker(ty), provider.clone(), memory).await;
    let length = near.ask(CALLER, "run", vec![Val::U32(n)]).await;
    (length.map_err(|error| error.to_string()), provider)
}

const PLENTY: usize = 64 << 20;
const MIB: u32 = 1 << 20;

#[tokio::test]
async fn strings_pass_up_to_the_fuel_of_a_host_call() {
    let (length_of_one, _) = length("string", 1, MIB, PLENTY).await;
    assert_eq!(length_of_one, Ok(Val::U32(MIB)));
    let (length_of_sixteen, provider) = length("string", 1, 16 * MIB + 1, PLENTY).await;
    assert!(
        length_of_sixteen
            .unwrap_err()
            .contains("too much data is being copied")
    );
    assert!(provider.ended().is_some());
}

#[tokio::test]
async fn a_list_costs_the_size_of_a_value_for_each_element() {
    let most = u32::try_from(FUEL / size_of::<Val>()).unwrap();
    let (fits, _) = length("(list u8)", 1, most, PLENTY).await;
    assert_eq!(fits, Ok(Val::U32(most)));
    let (fits_not, provider) = length("(list u8)", 1, most + 1, PLENTY).await;
    assert!(
        fits_not
            .unwrap_err()
            .contains("too much data is being copied")
    );
    assert!(provider.ended().is_some());
    println!("{} bytes a value, {most} elements", size_of::<Val>());
}

#[tokio::test]
async fn a_result_that_the_caller_has_no_room_for_ends_the_caller_alone() {
    let (result, provider) = length("string", 1, 4 * MIB, 2 << 20).await;
    let error = result.unwrap_err();
    assert!(
        error.contains("forcing trap when growing memory"),
        "{error}"
    );
    assert_eq!(provider.ended(), None);
}

#[tokio::test]
async fn values_as_deep_as_a_type_may_be_pass() {
    // 100 is as deep as a type may be, and the list and the function count
    let mut ty = "u8".to_owned();
    for _ in 0..90 {
        ty = format!("(option {ty})");
    }
    let ty = format!("(list {ty})");
    let (length, _) = length(&ty, 91, 10, PLENTY).await;
    assert_eq!(length, Ok(Val::U32(10)));
}
