//! Services calling functions that other services export.

use std::collections::BTreeSet;

use serde_json::json;
use wharf_tests::{Builder, Load, Reply, Wharf, test_guest, wait_until};

use crate::counter;

const USERS: &str = "acme:accounts/users@0.1.0";

/// `caller` may call `users`, and both may count.
fn both(caller: &str, users: &str) -> Builder {
    Wharf::builder()
        .service("caller", test_guest("typed-caller"))
        .manifest(
            "caller",
            &format!("{caller}\n[grants]\nkeyvalue = ['counts']\nservices = ['users']"),
        )
        .service("users", test_guest("users"))
        .manifest(
            "users",
            &format!("{users}\n[grants]\nkeyvalue = ['counts']"),
        )
}

/// What the function said that does as it is told.
fn said(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["said"].as_str().unwrap_or_default().to_owned()
}

/// Waits until a service's file is refused, and asserts that the reason names all of `words`.
async fn refused(wharf: &Wharf, name: &str, words: &[&str]) {
    let why = wharf.wait_refused(name).await;
    for word in words {
        assert!(why.contains(word), "the reason should name {word:?}: {why}");
    }
}

#[tokio::test]
async fn a_function_of_another_service_is_called_with_values_of_all_kinds() {
    let wharf = both("", "").start().await;
    for _ in 0..3 {
        assert_eq!(
            wharf.get("/caller/find/ada").await.json(),
            json!({ "name": "ada", "age": 36, "tags": ["adas", "", "é\0"], "admin": true })
        );
        assert_eq!(
            wharf.get("/caller/find/eve").await.json(),
            json!({ "problem": "unknown", "name": "eve" })
        );
        assert_eq!(
            wharf.get("/caller/find/").await.json(),
            json!({ "problem": "empty" })
        );
    }
    assert_eq!(
        said(&wharf.get("/caller/act/big:300000").await).len(),
        300_000
    );
    assert_eq!(wharf.count("users", "requests").await, 10);
    assert_eq!(wharf.count("users", "exits").await, 0);
    assert_eq!(
        wharf
            .metric("wharf_requests_total", &["users", "200"])
            .await,
        10
    );
    // nothing of it is to be had from outside
    wharf.get("/users").await.problem(404);
}

#[tokio::test]
async fn async_functions_of_one_instance_run_at_the_same_time() {
    let wharf = Wharf::builder()
        .service("caller", test_guest("typed-caller-p3"))
        .manifest("caller", "[grants]\nservices = ['users']")
        .service("users", test_guest("users-p3"))
        .manifest("users", "[instances]\ncount = 1")
        .start()
        .await;
    assert_eq!(
        wharf.get("/caller/find/ada").await.json(),
        json!({ "name": "ada", "age": 36 })
    );
    assert_eq!(
        wharf.get("/caller/find/eve").await.json(),
        json!({ "problem": "unknown", "name": "eve" })
    );
    assert_eq!(
        wharf.get("/caller/meet").await.json(),
        json!(["met", "met"])
    );
    wharf.get("/caller/trap").await.problem(500);
    assert_eq!(wharf.get("/caller/find/ada").await.status, 200);
}

#[tokio::test]
async fn each_call_gets_a_sandbox_of_its_own_if_its_manifest_says_so() {
    let isolated = "isolation = 'request'";
    for (caller, users) in [(isolated, ""), ("", isolated)] {
        let wharf = both(caller, users).start().await;
        let mut seen = BTreeSet::new();
        for _ in 0..9 {
            seen.insert(said(&wharf.get("/caller/act/instance").await));
        }
        let fresh = users == isolated;
        assert!(
            if fresh {
                seen.len() == 9
            } else {
                seen.len() <= 2
            },
            "{seen:?}"
        );
        assert_eq!(wharf.get("/caller/find/ada").await.status, 200);
    }
}

#[tokio::test]
async fn a_call_whose_instance_traps_is_made_again_unnoticed() {
    let wharf = both("", "").start().await;
    let doomed = said(&wharf.get("/caller/act/instance").await);
    let target = format!("/caller/act/trap:{doomed}");
    wait_until("the call met the doomed instance", || async {
        assert_ne!(said(&wharf.get(&target).await), doomed);
        wharf.count("users", "exits").await == 1
    })
    .await;
    wharf.wait_count("users", "replays", 1).await;
    assert_eq!(wharf.count("caller", "exits").await, 0);
    let exit = &wharf.exits("users").await[0];
    assert_eq!(exit["requests"], json!([format!("call {USERS}.act")]));
    assert_eq!(exit["reason"], "trap");
    assert!(
        exit["backtrace"].to_string().contains("trap_as_asked"),
        "{exit}"
    );
}

#[tokio::test]
async fn a_call_that_wrote_is_not_made_again_nor_is_its_caller() {
    let wharf = both("", "").start().await;
    let problem = wharf.get("/caller/act/write-then-trap:calls").await;
    let problem = problem.problem(500);
    assert!(
        problem.to_string().contains("call of another service"),
        "{problem}"
    );
    assert_eq!(wharf.count("users", "replays").await, 0);
    assert_eq!(wharf.count("caller", "replays").await, 0);
    assert_eq!(wharf.count("users", "exits").await, 1);
    let exit = &wharf.exits("caller").await[0];
    assert_eq!(exit["reason"], "call");
    let message = exit["message"].as_str().unwrap_or_default();
    for word in ["`act`", USERS, "users", "trapped", "visible"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    wharf
        .wait_log(&["a call of another service failed", "caller", USERS])
        .await;
    // the key is where the callee put it, and was put there once
    let fault = crate::fault();
    wharf.rename_in("fault.toml", b"[grants]\nkeyvalue = ['counts']");
    wharf.deploy("fault", &fault);
    wharf.wait_deployed("fault", &fault).await;
    assert_eq!(counter(&wharf, "fault", "counts", "calls").await, 1);
}

#[tokio::test]
async fn a_caller_that_wrote_is_not_run_again_when_its_call_fails() {
    let wharf = both("", "").start().await;
    wharf.get("/caller/count/trap").await.problem(500);
    assert_eq!(wharf.count("caller", "replays").await, 0);
    // what was called had no effect of its own
    assert_eq!(wharf.count("users", "replays").await, 2);
}

#[tokio::test]
async fn a_call_has_what_is_left_of_its_callers_time() {
    let wharf = both("[limits]\ntimeout = '1s'", "").start().await;
    wharf.get("/caller/act/sleep:3600000").await.problem(504);
    wait_until("the called service was free again", || async {
        wharf.service("users").await["instances"]
            .as_array()
            .is_some_and(|all| all.len() == 2 && all.iter().all(|one| one["in_flight"] == 0))
    })
    .await;
}

#[tokio::test]
async fn a_caller_comes_to_life_with_the_service_that_it_calls() {
    let wharf = Wharf::builder()
        .service("caller", test_guest("typed-caller"))
        .manifest(
            "caller",
            "[grants]\nkeyvalue = ['counts']\nservices = ['users']",
        )
        .start()
        .await;
    refused(&wharf, "caller", &["caller", USERS, "`find`", "users"]).await;
    assert_eq!(wharf.state("caller").await, "refused");
    wharf.deploy("users", test_guest("users"));
    wait_until("the caller was live", || async {
        wharf.get("/caller/find/ada").await.status == 200
    })
    .await;
    assert_eq!(wharf.deploy_error("caller").await, "");

    // and what it calls may go, and come back
    wharf.remove("users.wasm");
    wharf
        .wait_log(&["its calls will fail", "users", "caller"])
        .await;
    wait_until("calls failed", || async {
        wharf.get("/caller/find/ada").await.status == 503
    })
    .await;
    let exit = &wharf.exits_by("caller", "unavailable").await[0];
    assert!(exit["message"].to_string().contains("users"), "{exit}");
    wharf.deploy("users", test_guest("users"));
    wait_until("calls came through again", || async {
        wharf.get("/caller/find/ada").await.status == 200
    })
    .await;
    assert_eq!(wharf.state("caller").await, "ready");
}

#[tokio::test]
async fn a_server_is_ready_when_all_that_call_one_another_are() {
    // whatever the order in which they are made
    for _ in 0..3 {
        let wharf = both("", "").start().await;
        assert_eq!(wharf.get("/caller/find/ada").await.status, 200);
        let failures = wharf.metric("wharf_deploy_failures_total", &[]).await;
        assert_eq!(failures, 0, "nobody was refused on the way");
    }
}

#[tokio::test]
async fn services_that_import_from_each_other_are_taken_at_the_same_time() {
    let manifest = |other: &str| format!("[grants]\nservices = ['{other}']");
    let wharf = Wharf::builder()
        .service("one", test_guest("ring"))
        .manifest("one", &manifest("other"))
        .service("other", test_guest("ring"))
        .manifest("other", &manifest("one"))
        .start()
        .await;
    assert_eq!(wharf.get("/one/2").await.text(), "3");
    let failures = wharf.metric("wharf_deploy_failures_total", &[]).await;
    assert_eq!(failures, 0, "neither was refused on the way");
}

#[tokio::test]
async fn a_call_needs_a_grant() {
    let wharf = Wharf::builder()
        .service("caller", test_guest("typed-caller"))
        .service("users", test_guest("users"))
        .start()
        .await;
    refused(&wharf, "caller", &["caller", USERS, "grants.services"]).await;
    // one of two that have the functions is to be chosen
    wharf.deploy("people", test_guest("users"));
    wharf.wait_deployed("people", test_guest("users")).await;
    wharf.rename_in("caller.toml", b"[grants]\nservices = ['users', 'people']");
    wait_until("the caller was refused for another reason", || async {
        let why = wharf.deploy_error("caller").await;
        why.contains(USERS) && why.contains("both people and users")
    })
    .await;
    wharf.rename_in("caller.toml", b"[grants]\nservices = ['people']");
    wait_until("the caller was live", || async {
        wharf.get("/caller/find/ada").await.status == 200
    })
    .await;
    assert_eq!(wharf.count("users", "requests").await, 0);
}

#[tokio::test]
async fn a_release_that_would_break_those_who_call_it_is_refused() {
    let mut wharf = both("", "").start().await;
    wharf.deploy("users", test_guest("users-changed"));
    // whoever was there first stays, after a restart, too
    for _ in 0..2 {
        refused(
            &wharf,
            "users",
            &["users", "caller", USERS, "`find`", "age", "u64"],
        )
        .await;
        assert_eq!(wharf.get("/caller/find/ada").await.json()["age"], 36);
        wharf.restart().await;
    }
    wharf.deploy("users", test_guest("hello-one"));
    wait_until("the other file was refused, too", || async {
        let why = wharf.deploy_error("users").await;
        why.contains("no longer exports") && why.contains("caller")
    })
    .await;
    assert_eq!(wharf.get("/caller/find/ada").await.status, 200);
    // nobody minds once the caller is gone
    wharf.remove("caller.wasm");
    wharf.deploy("users", test_guest("users-changed"));
    wharf
        .wait_deployed("users", test_guest("users-changed"))
        .await;
    // but a caller that comes then doesn't fit
    wharf.deploy("caller", test_guest("typed-caller"));
    refused(
        &wharf,
        "caller",
        &["caller", "users", USERS, "`find`", "age"],
    )
    .await;
}

#[tokio::test]
async fn functions_that_pass_handles_are_refused() {
    let wharf = Wharf::builder()
        .service("handles", test_guest("handles"))
        .start()
        .await;
    refused(
        &wharf,
        "handles",
        &["acme:files/open@0.1.0", "file.read", "handle"],
    )
    .await;
}

#[tokio::test]
async fn a_service_without_a_handler_has_no_routes() {
    let wharf = Wharf::builder()
        .service("users", test_guest("users"))
        .manifest("users", "[instances]\ncount = 1")
        .start()
        .await;
    assert_eq!(wharf.state("users").await, "ready");
    assert_eq!(wharf.service("users").await["routes"], json!([]));
    wharf.get("/users").await.problem(404);
    wharf.rename_in("users.toml", b"routes = ['/people']");
    refused(
        &wharf,
        "users",
        &["users.toml", "routes", "no HTTP handler"],
    )
    .await;
}

#[tokio::test]
async fn swaps_of_the_called_service_lose_no_call() {
    let wharf = both("[instances]\ncount = 4", "").start().await;
    let front = wharf.front.clone();
    let load = Load::start(4, move || {
        let front = front.clone();
        async move { front.try_get("/caller/find/ada").await }
    });
    for swap in 1..=20 {
        let manifest = format!("[instances]\ncount = {}", swap % 3 + 1);
        wharf.rename_in("users.toml", manifest.as_bytes());
        wharf.wait_count("users", "deploys", swap + 1).await;
        load.more(4).await;
    }
    load.stop().await.only(200);
    assert_eq!(wharf.count("caller", "exits").await, 0);
}

#[tokio::test]
async fn a_ring_of_calls_that_would_wait_for_ever_is_refused() {
    let ring = |count: u32| {
        let manifest = format!(
            "[instances]\ncount = {count}\n[limits]\nqueue_wait = '1h'\ntimeout = '1h'\n[grants]\nservices = ['ring']"
        );
        async move { Wharf::with_manifest("ring", test_guest("ring"), &manifest).await }
    };
    let wharf = ring(12).await;
    assert_eq!(wharf.get("/ring/3").await.text(), "4");
    let gone = wharf.get("/ring/20").await.problem(500);
    assert!(
        gone.to_string().contains("call of another service"),
        "{gone}"
    );
    wharf.wait_log(&["call one another too deep"]).await;

    let wharf = ring(1).await;
    wharf.get("/ring/3").await.problem(503);
    let exit = &wharf.exits_by("ring", "unavailable").await[0];
    assert!(
        exit["message"].to_string().contains("for one another"),
        "{exit}"
    );
}
