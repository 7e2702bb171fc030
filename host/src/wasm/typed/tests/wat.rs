//! Components in text.

/// Names and definitions of types, each of which may name those before it.
pub(super) type Types<'a> = &'a [(&'a str, &'a str)];

/// A core module with memory and an allocator that never frees.
pub(super) fn libc(pages: u32) -> String {
    format!(
        r#"
        (memory (export "memory") {pages})
        (global $next (mut i32) (i32.const 4096))
        (func $realloc (export "realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32)
            (result i32) (local $at i32) (local $short i32)
            (local.set $at (i32.and
                (i32.sub (i32.add (global.get $next) (local.get $align)) (i32.const 1))
                (i32.sub (i32.const 0) (local.get $align))))
            (global.set $next (i32.add (local.get $at) (local.get $size)))
            (local.set $short (i32.sub
                (i32.shr_u (i32.add (global.get $next) (i32.const 65535)) (i32.const 16)) (memory.size)))
            (if (i32.gt_s (local.get $short) (i32.const 0)) (then
                (if (i32.eq (memory.grow (local.get $short)) (i32.const -1)) (then unreachable))))
            (local.get $at))
        "#
    )
}

/// Always the same place: nothing that lies there is needed when the next thing comes.
pub(super) const ONE_PLACE: &str = r#"
    (memory (export "memory") 1)
    (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096)
"#;

/// A component that exports `interface`, with functions (names and component-level signatures) that
/// a core module has under the same names. `core` includes memory and allocator.
pub(super) fn exporter(
    interface: &str,
    types: Types<'_>,
    functions: &[(&str, &str)],
    core: &str,
) -> Vec<u8> {
    let types = types
        .iter()
        .map(|(name, definition)| {
            format!("(type ${name}' {definition}) (export ${name} \"{name}\" (type ${name}'))\n")
        })
        .collect::<Vec<_>>()
        .concat();
    let lifted = functions
        .iter()
        .map(|(name, signature)| {
            format!(
                "(func ${name} {signature} (canon lift (core func $m \"{name}\") (memory $m \"memory\")
                    (realloc (func $m \"realloc\"))))\n"
            )
        })
        .collect::<Vec<_>>()
.concat();
    let exports = functions
        .iter()
        .map(|(name, _)| format!("(export \"{name}\" (func ${name}))"))
        .collect::<Vec<_>>()
        .concat();
    let text = format!(
        "(component {types}
            (core module $m {core})
            (core instance $m (instantiate $m))
            {lifted}
            (instance $out {exports})
            (export \"{interface}\" (instance $out)))"
    );
    wat::parse_str(text).unwrap()
}

/// The interface that an importer exports.
pub(super) const CALLER: &str = "test:caller/run@1.0.0";

/// A component that imports `function` of `interface`, and exports `run` of [`CALLER`]. `core` has `run`
/// and gets `host.<function>` as a core function of the type `lowered`, and `libc`'s memory and realloc.
pub(super) struct Importer<'a> {
    pub(super) interface: &'a str,
    pub(super) types: Types<'a>,
    pub(super) function: &'a str,
    pub(super) signature: &'a str,
    pub(super) lowered: &'a str,
    pub(super) run: &'a str,
    pub(super) libc: &'a str,
    pub(super) core: &'a str,
}

impl Importer<'_> {
    pub(super) fn build(&self) -> Vec<u8> {
        let Self {
            interface,
            types,
            function,
            signature,
            lowered,
            run,
            libc,
            core,
        } = self;
        let imported = types
            .iter()
            .map(|(name, definition)| {
                format!("(type ${name}' {definition}) (export \"{name}\" (type ${name} (eq ${name}')))\n")
            })
            .collect::<Vec<_>>()
.concat();
        let aliases = types
            .iter()
            .map(|(name, _)| format!("(alias export $imp \"{name}\" (type ${name}))\n"))
            .collect::<Vec<_>>()
            .concat();
        let text = format!(
            "(component
                (import \"{interface}\" (instance $imp {imported} (export \"{function}\" (func {signature}))))
                {aliases}
                (core module $libc {libc})
                (core instance $libc (instantiate $libc))
                (core func $f (canon lower (func $imp \"{function}\") (memory $libc \"memory\")
                    (realloc (func $libc \"realloc\"))))
                (core module $m
                    (import \"host\" \"{function}\" (func ${function} {lowered}))
                    (import \"libc\" \"memory\" (memory 1))
                    (import \"libc\" \"realloc\" (func $realloc (param i32 i32 i32 i32) (result i32)))
                    {core})
                (core instance $m (instantiate $m
                    (with \"host\" (instance (export \"{function}\" (func $f))))
                    (with \"libc\" (instance $libc))))
                (func $run {run} (canon lift (core func $m \"run\") (memory $libc \"memory\")
                    (realloc (func $libc \"realloc\"))))
                (instance $out (export \"run\" (func $run)))
                (export \"{CALLER}\" (instance $out)))"
        );
        wat::parse_str(text).unwrap()
    }
}

/// Gives back what it gets: a type of more than 16 flat values goes by pointer, in and out.
pub(super) fn echo(interface: &str, types: Types<'_>, ty: &str) -> Vec<u8> {
    let core = format!(
        "{} (func (export \"echo\") (param i32) (result i32) local.get 0)",
        libc(1)
    );
    exporter(
        interface,
        types,
        &[("echo", &format!("(param \"x\" {ty}) (result {ty})"))],
        &core,
    )
}

/// Has another give back what it gets, and gives that back.
pub(super) fn relay(interface: &str, types: Types<'_>, ty: &str) -> Vec<u8> {
    let signature = format!("(param \"x\" {ty}) (result {ty})");
    Importer {
        interface,
        types,
        function: "echo",
        signature: &signature,
        lowered: "(param i32 i32)",
        run: &signature,
        libc: &libc(1),
        core: r#"(func (export "run") (param i32) (result i32) (local $place i32)
            (local.set $place (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 4096)))
            (call $echo (local.get 0) (local.get $place))
            (local.get $place))"#,
    }
    .build()
}
