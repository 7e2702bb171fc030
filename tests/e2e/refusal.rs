//! A bad file changes nothing that is served, and says why in the log and in the API.

use wharf_tests::{Wharf, test_guest, wait_until};

/// A server with `hello`, answering "one".
async fn hello() -> Wharf {
    Wharf::with("hello", test_guest("hello-one")).await
}

fn good() -> Vec<u8> {
    std::fs::read(test_guest("hello-two")).expect("it was built")
}

/// Asserts that what was just laid into the directory is refused for a reason that names all of
/// `words`, that nothing else changes, and that the next good file is taken.
async fn refused(wharf: &Wharf, words: &[&str]) {
    let why = wharf.wait_refused("hello").await;
    for word in words {
        assert!(
            why.contains(word),
            "the reason should speak of {word:?}: {why}"
        );
    }
    assert_eq!(
        wharf.get("/hello").await.text(),
        "one\n",
        "what was served is served"
    );
    assert_eq!(wharf.state("hello").await, "ready");
    let digest =
        wharf_tests::wharf::digest(&std::fs::read(test_guest("hello-one")).expect("it was built"));
    assert_eq!(wharf.service("hello").await["release"]["digest"], digest);
    wharf
        .wait_log(&["hello", words.first().expect("a reason")])
        .await;
    assert_eq!(wharf.admin.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let wharf = hello().await;
    let good = good();
    wharf.rename_in("hello.wasm", &good[..good.len() / 3]);
    refused(&wharf, &["hello.wasm"]).await;
}

#[tokio::test]
async fn an_empty_file_is_refused() {
    let wharf = hello().await;
    wharf.rename_in("hello.wasm", b"");
    refused(&wharf, &["hello.wasm"]).await;
}

#[tokio::test]
async fn a_file_that_is_no_webassembly_is_refused() {
    let wharf = hello().await;
    wharf.rename_in("hello.wasm", b"#!/bin/sh\necho hello\n");
    refused(&wharf, &["hello.wasm"]).await;
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let wharf = hello().await;
    let mut bytes = good();
    let middle = bytes.len() / 2;
    for byte in &mut bytes[middle..middle + 4096] {
        *byte = !*byte;
    }
    wharf.rename_in("hello.wasm", &bytes);
    refused(&wharf, &["hello.wasm"]).await;
}

#[tokio::test]
async fn a_core_module_is_refused_and_told_from_a_component() {
    let wharf = hello().await;
    wharf.rename_in("hello.wasm", b"\0asm\x01\0\0\0");
    refused(&wharf, &["component", "module"]).await;
}

#[tokio::test]
async fn precompiled_code_is_refused() {
    // What wasmtime compiles is an ELF file; loading one would mean to trust it.
    let wharf = hello().await;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(4096, 0);
    wharf.rename_in("hello.wasm", &elf);
    refused(&wharf, &["hello.wasm"]).await;
}

#[tokio::test]
async fn a_component_without_an_http_handler_is_refused() {
    let wharf = hello().await;
    wharf.deploy("hello", test_guest("no-handler"));
    refused(&wharf, &["wasi:http"]).await;
}

#[tokio::test]
async fn a_component_whose_imports_cannot_be_met_is_refused_and_they_are_named() {
    let wharf = hello().await;
    wharf.deploy("hello", test_guest("unmet-import"));
    refused(&wharf, &["acme:missing/thing"]).await;
}

#[tokio::test]
async fn a_component_that_fails_to_start_is_refused() {
    let wharf = hello().await;
    // or it would be held for what it imports
    wharf.rename_in("hello.toml", b"[grants]\nkeyvalue = ['b']");
    wharf.deploy("hello", test_guest("bad-start"));
    refused(&wharf, &["start"]).await;
}

#[tokio::test]
async fn a_manifest_with_an_unknown_key_is_refused_with_what_is_allowed() {
    let wharf = hello().await;
    wharf.rename_in("hello.toml", b"[instances]\ncuont = 4");
    refused(&wharf, &["hello.toml", "instances.cuont", "count"]).await;
}

#[tokio::test]
async fn a_manifest_with_a_wrong_unit_is_refused_with_what_is_allowed() {
    let wharf = hello().await;
    wharf.rename_in("hello.toml", b"[limits]\ntimeout = '30 parsecs'");
    refused(&wharf, &["hello.toml", "limits.timeout", "30s"]).await;
}

#[tokio::test]
async fn a_manifest_with_an_impossible_value_is_refused_with_what_is_allowed() {
    let wharf = hello().await;
    wharf.rename_in("hello.toml", b"[instances]\ncount = 0");
    refused(&wharf, &["hello.toml", "instances.count", "1"]).await;
}

#[tokio::test]
async fn a_manifest_that_is_no_toml_is_refused_with_the_line() {
    let wharf = hello().await;
    wharf.rename_in("hello.toml", b"routes = ['/hello'\n[[[");
    refused(&wharf, &["hello.toml", "2"]).await;
}

#[tokio::test]
async fn a_route_that_another_service_has_is_refused_with_both_names() {
    let wharf = Wharf::builder()
        .service("hello", test_guest("hello-one"))
        .service("owner", test_guest("hello-two"))
        .manifest("owner", "routes = ['/shared', '/owner']")
        .start()
        .await;
    wharf.rename_in("hello.toml", b"routes = ['/hello', '/shared']");
    refused(&wharf, &["/shared", "hello", "owner"]).await;
    assert_eq!(wharf.get("/shared").await.text(), "two\n");
}

#[tokio::test]
async fn the_reason_is_gone_once_a_good_file_is_taken() {
    let wharf = hello().await;
    wharf.rename_in("hello.wasm", b"broken");
    wharf.wait_refused("hello").await;
    wharf.deploy("hello", test_guest("hello-two"));
    wharf.wait_deployed("hello", test_guest("hello-two")).await;
    assert_eq!(wharf.get("/hello").await.text(), "two\n");
    assert_eq!(wharf.deploy_error("hello").await, "");
}

#[tokio::test]
async fn putting_the_old_file_back_clears_the_reason_too() {
    let wharf = hello().await;
    wharf.rename_in("hello.wasm", b"broken");
    wharf.wait_refused("hello").await;
    wharf.deploy("hello", test_guest("hello-one"));
    wait_until("the reason was gone", || async {
        wharf.deploy_error("hello").await.is_empty()
    })
    .await;
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
}

#[tokio::test]
async fn a_bad_file_at_the_start_keeps_nobody_else_from_being_served() {
    let wharf = Wharf::builder()
        .service("hello", test_guest("hello-one"))
        .file("bad.wasm", "this is no component")
        .service("worse", test_guest("bad-start"))
        .start()
        .await;
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
    for name in ["bad", "worse"] {
        assert!(
            !wharf.deploy_error(name).await.is_empty(),
            "{name} says why"
        );
        assert_eq!(wharf.state(name).await, "refused");
        let reply = wharf.get(&format!("/{name}")).await;
        assert!([404, 503].contains(&reply.status.as_u16()), "{reply:?}");
        reply.problem(reply.status.as_u16());
    }
    wharf.deploy("bad", test_guest("hello-two"));
    wharf.wait_deployed("bad", test_guest("hello-two")).await;
    assert_eq!(wharf.get("/bad").await.text(), "two\n");
}

#[tokio::test]
async fn bad_files_under_load_cost_no_request() {
    let wharf = hello().await;
    let front = wharf.front.clone();
    let load = wharf_tests::Load::start(2, move || {
        let front = front.clone();
        async move { front.try_get("/hello").await }
    });
    for contents in [&b"broken"[..], b"\0asm\x0d\0\x01\0", b"\0asm"] {
        let before = wharf
            .metric("wharf_deploy_failures_total", &["hello"])
            .await;
        wharf.rename_in("hello.wasm", contents);
        wait_until("it was refused", || async {
            wharf
                .metric("wharf_deploy_failures_total", &["hello"])
                .await
                > before
        })
        .await;
        load.more(5).await;
    }
    let tally = load.stop().await;
    tally.only(200);
    assert_eq!(tally.bodies.len(), 1, "{tally:?}");
}
