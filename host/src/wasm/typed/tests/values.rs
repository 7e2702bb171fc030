//! Values of all types, from one guest to another and back, on either engine.

use std::sync::Arc;

use wasmtime::component::Val;

use super::peer::{Nobody, Peer, concurrent, plain};
use super::wat::{CALLER, Types, echo, relay};

const INTERFACE: &str = "test:values/echo@0.1.0";

/// As large as it is so that it goes by pointer.
const TYPES: Types<'_> = &[
    (
        "person",
        r#"(record (field "name" string) (field "age" u32))"#,
    ),
    (
        "shape",
        r#"(variant (case "dot") (case "circle" f64) (case "named" $person))"#,
    ),
    ("colour", r#"(enum "red" "green" "blue")"#),
    ("rights", r#"(flags "read" "write" "delete")"#),
    (
        "everything",
        r#"(record
            (field "a" bool) (field "b" s8) (field "c" u8) (field "d" s16) (field "e" u16) (field "f" s32)
            (field "g" u32) (field "h" s64) (field "i" u64) (field "j" f32) (field "k" f64) (field "l" char)
            (field "text" string) (field "bytes" (list u8)) (field "texts" (list string))
            (field "people" (list $person)) (field "maybe" (option string)) (field "nothing" (option string))
            (field "nested" (option (option u8))) (field "pair" (tuple u8 string))
            (field "shape" $shape) (field "shapes" (list $shape)) (field "colour" $colour)
            (field "rights" $rights) (field "fine" (result u32 (error string)))
            (field "wrong" (result u32 (error string))) (field "bare" (result)))"#,
    ),
];

fn text(text: &str) -> Val {
    Val::String(text.into())
}

#[expect(clippy::unnecessary_wraps, reason = "that is what it is for")]
fn some(value: Val) -> Option<Box<Val>> {
    Some(Box::new(value))
}

fn record(fields: Vec<(&str, Val)>) -> Val {
    Val::Record(
        fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

fn person(name: &str, age: u32) -> Val {
    record(vec![("name", text(name)), ("age", Val::U32(age))])
}

fn everything() -> Val {
    let shape = |name: &str, payload| Val::Variant(name.to_owned(), payload);
    record(vec![
        ("a", Val::Bool(true)),
        ("b", Val::S8(-8)),
        ("c", Val::U8(200)),
        ("d", Val::S16(-30_000)),
        ("e", Val::U16(60_000)),
        ("f", Val::S32(i32::MIN)),
        ("g", Val::U32(u32::MAX)),
        ("h", Val::S64(i64::MIN)),
        ("i", Val::U64(u64::MAX)),
        ("j", Val::Float32(1.5)),
        ("k", Val::Float64(-0.25)),
        ("l", Val::Char('ß')),
        ("text", text("Grüße, 世界")),
        ("bytes", Val::List((0..=255).map(Val::U8).collect())),
        (
            "texts",
            Val::List(vec![text("one"), text(""), text("three")]),
        ),
        (
            "people",
            Val::List(vec![person("Ada", 36), person("Grace", 85)]),
        ),
        ("maybe", Val::Option(some(text("here")))),
        ("nothing", Val::Option(None)),
        ("nested", Val::Option(some(Val::Option(None)))),
        ("pair", Val::Tuple(vec![Val::U8(1), text("two")])),
        ("shape", shape("named", some(person("Alan", 41)))),
        (
            "shapes",
            Val::List(vec![
                shape("dot", None),
                shape("circle", some(Val::Float64(2.0))),
            ]),
        ),
        ("colour", Val::Enum("blue".into())),
        ("rights", Val::Flags(vec!["read".into(), "delete".into()])),
        ("fine", Val::Result(Ok(some(Val::U32(7))))),
        ("wrong", Val::Result(Err(some(text("no such thing"))))),
        ("bare", Val::Result(Err(None))),
    ])
}

#[tokio::test]
async fn all_types_pass_both_ways_between_any_two_engines() {
    let engines = [plain(), concurrent()];
    for (importer, exporter) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let far = echo(INTERFACE, TYPES, "$everything");
        let far = Peer::start(&engines[exporter], &far, Arc::new(Nobody)).await;
        let near = relay(INTERFACE, TYPES, "$everything");
        let near = Peer::start(&engines[importer], &near, far.clone()).await;
        for _ in 0..3 {
            let back = near.ask(CALLER, "run", vec![everything()]).await.unwrap();
            assert_eq!(back, everything(), "{importer} {exporter}");
        }
        assert_eq!(far.calls.load(std::sync::atomic::Ordering::Relaxed), 3);
    }
}

#[tokio::test]
async fn calls_go_on_through_several_guests() {
    let engines = [plain(), concurrent()];
    let mut next = Peer::start(
        &engines[0],
        &echo(INTERFACE, TYPES, "$everything"),
        Arc::new(Nobody),
    )
    .await;
    for hop in 1..6 {
        let wasm = relay(INTERFACE, TYPES, "$everything");
        let through = Peer::start(&engines[hop % 2], &wasm, Arc::new(Through(next))).await;
        next = through;
    }
    let back = next.ask(CALLER, "run", vec![everything()]).await.unwrap();
    assert_eq!(back, everything());
}

/// Calls `run` of whoever is next, or `echo` of the last.
pub(super) struct Through(pub(super) Arc<Peer>);

impl super::super::link::Calls for Through {
    fn call(
        &self,
        interface: &Arc<str>,
        function: &Arc<str>,
        params: Vec<Val>,
    ) -> futures::future::BoxFuture<'static, wasmtime::Result<Vec<Val>>> {
        if self.0.has(CALLER, "run") {
            self.0.call(&CALLER.into(), &"run".into(), params)
        } else {
            self.0.call(interface, function, params)
        }
    }
}
