//! What can't be called from another sandbox, and how that is said.

use wasmtime::component::Component;

use super::super::signature::{exports, imports};
use super::peer::{concurrent, plain};

fn component(text: &str) -> Component {
    Component::new(&concurrent(), wat::parse_str(text).unwrap()).unwrap()
}

/// The message for an import of one function that gets `$t`.
fn import(types: &str, ty: &str) -> String {
    let text = format!(
        r#"(component (import "test:a/files@0.1.0" (instance {types} (export "open" (func (param "x" {ty}))))))"#
    );
    imports(&component(&text)).unwrap_err().to_string()
}

const WHY: &str = "calls between services pass plain values only, and no handles, streams, futures or error contexts";

#[test]
fn handles_streams_and_futures_are_refused_by_interface_and_function() {
    let file = r#"(export "file" (type $file (sub resource)))"#;
    let cases = [
        (file, "(own $file)", "the handle `own<file>`"),
        (
            file,
            "(list (tuple u8 (borrow $file)))",
            "the handle `borrow<file>`",
        ),
        ("", "(stream u8)", "a `stream`"),
        ("", "(option (future string))", "a `future`"),
    ];
    for (types, ty, what) in cases {
        assert_eq!(
            import(types, ty),
            format!("the function `open` of test:a/files@0.1.0 passes {what}; {WHY}")
        );
    }
}

#[test]
fn a_resource_that_no_function_passes_is_refused_as_well() {
    let text = r#"(component (import "test:a/files@0.1.0" (instance
        (export "file" (type (sub resource))) (export "count" (func (result u32))))))"#;
    assert_eq!(
        imports(&component(text)).unwrap_err().to_string(),
        format!("test:a/files@0.1.0 defines the resource `file`; {WHY}")
    );
}

#[test]
fn what_is_exported_is_refused_for_the_same_reasons() {
    let text = r#"(component
        (type $file' (resource (rep i32)))
        (export $file "file" (type $file'))
        (core module $m (func (export "open") (result i32) i32.const 1))
        (core instance $m (instantiate $m))
        (func $open (result (own $file)) (canon lift (core func $m "open")))
        (instance $out (export "open" (func $open)))
        (export "test:a/files@0.1.0" (instance $out)))"#;
    let message = exports(&component(text)).unwrap_err().to_string();
    assert!(
        message.starts_with("the function `open` of test:a/files@0.1.0 passes the handle `own<"),
        "{message}"
    );
}

#[test]
fn a_type_that_fills_the_memory_when_it_is_written_out_is_refused() {
    let twice = |n| format!("(type $t{} (tuple $t{n} $t{n}))", n + 1);
    let types: Vec<_> = (0..15).map(twice).collect();
    let types = types.concat();
    let message = import(&format!("(type $t0 (tuple u8 u8)) {types}"), "(list $t15)");
    assert!(
        message.contains("passes a type of more than 10000 parts"),
        "{message}"
    );
}

#[test]
fn what_is_the_hosts_or_nobodys_is_left_to_the_hosts_linker() {
    let text = r#"(component
        (import "wasi:keyvalue/store@0.2.0" (instance
            (export "bucket" (type $b (sub resource))) (export "open" (func (result (own $b))))))
        (import "wasi:unheard/of@9.0.0" (instance (export "f" (func))))
        (import "test:a/types@0.1.0" (instance (type $t (enum "a")) (export "t" (type (eq $t)))))
        (import "bare" (func))
        (import "name" (instance (export "f" (func))))
        (import "test:b/c" (instance (export "f" (func)))))"#;
    let names: Vec<_> = imports(&component(text))
        .unwrap()
        .into_iter()
        .map(|i| i.name)
        .collect();
    assert_eq!(names, ["test:b/c".into()]);
}

#[test]
fn an_async_function_is_none_of_a_plain_engine() {
    let text = r#"(component (import "test:a/b@0.1.0" (instance (export "f" (func async)))))"#;
    assert!(imports(&component(text)).unwrap()[0].functions[0].is_async);
    let error = Component::new(&plain(), wat::parse_str(text).unwrap()).unwrap_err();
    assert!(format!("{error:#}").contains("async"), "{error:#}");
}
