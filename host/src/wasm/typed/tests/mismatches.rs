//! What one side offers against what the other wants.

use std::sync::Arc;

use wasmtime::component::{Component, Val};

use super::super::provider::Exports;
use super::super::signature::{Interface, imports};
use super::super::{Mismatch, satisfies};
use super::peer::{Nobody, Peer, concurrent, plain};
use super::wat::{CALLER, Importer, ONE_PLACE, exporter};

const USER: &str = r#"(record (field "name" string) (field "age" u32))"#;
const GET: &str = r#"(param "id" u32) (result (result $user (error string)))"#;

/// An interface with the type `user` and these functions.
fn interface(name: &str, user: &str, functions: &[(&str, &str)]) -> Interface {
    let functions = functions
        .iter()
        .map(|(name, signature)| format!(r#"(export "{name}" (func {signature}))"#))
        .collect::<Vec<_>>()
        .concat();
    let text = format!(
        r#"(component (import "{name}" (instance
            (type $user' {user}) (export "user" (type $user (eq $user'))) {functions})))"#
    );
    let component = Component::new(&concurrent(), wat::parse_str(text).unwrap()).unwrap();
    imports(&component).unwrap().remove(0)
}

fn users(version: &str, user: &str, get: &str) -> Interface {
    interface(
        &format!("wharf:accounts/users@{version}"),
        user,
        &[("get", get)],
    )
}

#[test]
fn equal_interfaces_fit_whatever_engine_they_come_from() {
    let (one, other) = (users("0.1.0", USER, GET), users("0.1.0", USER, GET));
    assert_eq!(one, other);
    assert_eq!(satisfies(&one, &other), Ok(()));
    assert_eq!(
        one.functions[0].to_string(),
        "get: func(id: u32) -> result<record { name: string, age: u32 }, string>"
    );
}

#[test]
fn a_provider_may_have_more_and_a_compatible_version() {
    let name = "wharf:accounts/users@0.1.4";
    let more = interface(name, USER, &[("get", GET), ("count", "(result u64)")]);
    assert_eq!(satisfies(&more, &users("0.1.0", USER, GET)), Ok(()));
    assert_eq!(satisfies(&more, &users("0.1.9", USER, GET)), Ok(()));
    let error = satisfies(&more, &users("0.2.0", USER, GET)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "wharf:accounts/users@0.2.0 is wanted, and wharf:accounts/users@0.1.4 is offered, which is not compatible \
         with it"
    );
    let error = satisfies(&users("0.1.0", USER, GET), &more).unwrap_err();
    assert_eq!(
        error.to_string(),
        "wharf:accounts/users@0.1.0 has no `count`; wanted is `count: func() -> u64`"
    );
}

#[test]
fn async_on_one_side_only_is_no_difference() {
    let waiting = users("0.1.0", USER, &format!("async {GET}"));
    assert_eq!(satisfies(&waiting, &users("0.1.0", USER, GET)), Ok(()));
    assert_eq!(satisfies(&users("0.1.0", USER, GET), &waiting), Ok(()));
}

#[test]
fn what_differs_is_told_by_its_place() {
    let cases = [
        (
            r#"(record (field "full-name" string) (field "age" u32))"#,
            GET,
            "the result (ok), field `full-name` against `name`",
        ),
        (
            r#"(record (field "name" string) (field "age" u64))"#,
            GET,
            "the result (ok), field `age`",
        ),
        (
            r#"(record (field "age" u32) (field "name" string))"#,
            GET,
            "the result (ok), field `age` against `name`",
        ),
        (
            r#"(record (field "name" string) (field "age" u32) (field "mail" string))"#,
            GET,
            "the result (ok), field `mail`, which only one of them has",
        ),
        (
            USER,
            r#"(param "number" u32) (result (result $user (error string)))"#,
            "a parameter's name, `number` against `id`",
        ),
        (
            USER,
            r#"(param "id" string) (result (result $user (error string)))"#,
            "the parameter `id`",
        ),
        (
            USER,
            r#"(param "id" u32) (param "x" u8) (result (result $user (error string)))"#,
            "the number of its parameters",
        ),
        (
            USER,
            r#"(param "id" u32) (result (result $user))"#,
            "the result",
        ),
        (
            USER,
            r#"(param "id" u32) (result (option $user))"#,
            "the result",
        ),
    ];
    let offered = users("0.1.0", USER, GET);
    for (user, get, place) in cases {
        let wanted = users("0.1.0", user, get);
        let error = satisfies(&offered, &wanted).unwrap_err();
        let expected = format!(
            "`get` of wharf:accounts/users@0.1.0 differs in {place}: wanted is `{}`, offered is `{}`",
            wanted.functions[0], offered.functions[0]
        );
        assert_eq!(error.to_string(), expected);
        assert!(matches!(
            satisfies(&wanted, &offered),
            Err(Mismatch::Signature { .. })
        ));
    }
    // no place to point at
    let error = satisfies(&offered, &users("0.1.0", USER, r#"(param "id" u32)"#)).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("`get` of wharf:accounts/users@0.1.0 differs: wanted"),
        "{error}"
    );
}

#[test]
fn cases_and_flags_count_by_name_and_number() {
    let offered = users("0.1.0", r#"(variant (case "a") (case "b" u8))"#, GET);
    for (user, place) in [
        (
            r#"(variant (case "a") (case "b" u8) (case "c"))"#,
            "case `c`, which only one of them has",
        ),
        (
            r#"(variant (case "a") (case "x" u8))"#,
            "case `x` against `b`",
        ),
        (r#"(variant (case "a") (case "b"))"#, "case `b`"),
    ] {
        let error = satisfies(&offered, &users("0.1.0", user, GET)).unwrap_err();
        assert!(error.to_string().contains(place), "{error}");
    }
    for (one, other, place) in [
        (
            r#"(enum "a" "b")"#,
            r#"(enum "a" "b" "c")"#,
            "case `c`, which only one of them has",
        ),
        (
            r#"(flags "a" "b")"#,
            r#"(flags "a" "c")"#,
            "flag `c` against `b`",
        ),
    ] {
        let error = satisfies(&users("0.1.0", one, GET), &users("0.1.0", other, GET)).unwrap_err();
        assert!(error.to_string().contains(place), "{error}");
    }
}

/// Exports `name` with `get: func() -> u32`, which gives `answer`.
fn answering(name: &str, answer: u32) -> Vec<u8> {
    let core = format!(r#"{ONE_PLACE} (func (export "get") (result i32) i32.const {answer})"#);
    exporter(name, &[], &[("get", "(result u32)")], &core)
}

#[test]
fn exports_tell_whom_they_serve() {
    let component = Component::new(&plain(), answering("test:a/b@0.1.3", 1)).unwrap();
    let exports = Exports::of(&component).unwrap();
    let wanted = |name: &str, signature| interface(name, USER, &[("get", signature)]);
    let get = "(result u32)";
    assert_eq!(exports.serves(&wanted("test:a/b@0.1.9", get)), Some(Ok(())));
    assert_eq!(exports.serves(&wanted("test:a/c@0.1.3", get)), None);
    let wrong = exports.serves(&wanted("test:a/b@0.2.0", get));
    assert!(matches!(wrong, Some(Err(Mismatch::Version { .. }))));
    let wrong = exports.serves(&wanted("test:a/b@0.1.0", "(result u8)"));
    assert!(matches!(wrong, Some(Err(Mismatch::Signature { .. }))));
    assert!(exports.find("test:a/b@0.1.0", "get").is_some());
    assert!(exports.find("test:a/b@0.1.0", "set").is_none());
    assert!(exports.find("test:a/b@1.1.0", "get").is_none());
}

#[tokio::test]
async fn a_call_goes_to_a_compatible_version() {
    let near = Importer {
        interface: "test:a/b@0.1.0",
        types: &[],
        function: "get",
        signature: "(result u32)",
        lowered: "(result i32)",
        run: "(result u32)",
        libc: ONE_PLACE,
        core: r#"(func (export "run") (result i32) call $get)"#,
    };
    let far = Peer::start(&plain(), &answering("test:a/b@0.1.7", 42), Arc::new(Nobody)).await;
    let near = Peer::start(&plain(), &near.build(), far).await;
    assert_eq!(near.ask(CALLER, "run", vec![]).await.unwrap(), Val::U32(42));
}
