//! A new release that has to stand up to the running one first.

use std::collections::BTreeSet;

use http::Method;
use serde_json::Value;
use wharf_tests::{Wharf, test_guest, wait_until, whole};

use crate::{GRANTED, fault};

/// A server whose `hello` answers "one" to everything.
async fn hello(rollout: &str) -> Wharf {
    let manifest = format!("{GRANTED}[rollout]\n{rollout}");
    Wharf::with_manifest("hello", test_guest("hello-one"), &manifest).await
}

async fn wait_canary(wharf: &Wharf) -> Value {
    wait_until("a canary was there", || async {
        wharf.service("hello").await["canary"].is_object()
    })
    .await;
    wharf.service("hello").await["canary"].clone()
}

async fn wait_taken_back(wharf: &Wharf) -> String {
    wait_until("it was taken back", || async {
        wharf.service("hello").await["taken_back"].is_object()
    })
    .await;
    let service = wharf.service("hello").await;
    assert!(service["canary"].is_null(), "{service}");
    assert_eq!(service["release"]["revision"], 1, "{service}");
    let reason = service["taken_back"]["reason"].as_str();
    reason.unwrap_or_default().to_owned()
}

/// What `user` is answered.
async fn answer_to(wharf: &Wharf, target: &str, user: &str) -> String {
    let mut request = wharf.front.request(Method::GET, target, whole(""));
    let user = user.parse().expect("it is a header's value");
    request.headers_mut().insert("x-user", user);
    let reply = wharf.front.client.send(request).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.text()
}

#[tokio::test]
async fn a_good_canary_gets_its_share_and_then_takes_over() {
    let wharf = hello("canary = '20%'\nfor = '4s'\nby = 'request'").await;
    wharf.deploy("hello", test_guest("hello-two"));
    let canary = wait_canary(&wharf).await;
    assert_eq!(canary["share"], 0.2, "{canary}");
    assert_eq!(canary["revision"], 2, "{canary}");
    let mut new = 0;
    for _ in 0..400 {
        new += u32::from(wharf.get("/hello").await.text() == "two\n");
    }
    // five standard deviations either way, unless the time was over before
    if wharf.service("hello").await["canary"].is_object() {
        assert!((40..=120).contains(&new), "{new} of 400");
    }
    wait_until("it took over", || async {
        wharf.service("hello").await["release"]["revision"] == 2
    })
    .await;
    for _ in 0..20 {
        assert_eq!(wharf.get("/hello").await.text(), "two\n");
    }
    assert!(wharf.service("hello").await["canary"].is_null());
}

#[tokio::test]
async fn the_new_manifest_says_how_it_is_tried() {
    let wharf = Wharf::with("hello", test_guest("hello-one")).await;
    let manifest = "[rollout]\ncanary = '50%'\nfor = '1h'\nby = 'request'";
    wharf.rename_in("hello.toml", manifest.as_bytes());
    wharf.deploy("hello", test_guest("hello-two"));
    wait_canary(&wharf).await;
    wait_until("the canary was asked, too", || async {
        wharf.get("/hello").await.text() == "two\n"
    })
    .await;
}

#[tokio::test]
async fn a_canary_that_traps_is_taken_back_and_nobody_notices() {
    let mut wharf = hello("canary = '20%'\nfor = '1h'\nby = 'request'").await;
    wharf.deploy("hello", fault());
    wait_canary(&wharf).await;
    for number in 0.. {
        // each is another request, so that none is quarantined
        let reply = wharf.get(&format!("/hello/trap?{number}")).await;
        assert_eq!(
            reply.status, 200,
            "the running release answers in its place: {reply:?}"
        );
        if wharf.service("hello").await["taken_back"].is_object() {
            break;
        }
        assert!(
            number < 500,
            "it is taken back within 100 requests of its own"
        );
    }
    wait_taken_back(&wharf).await;
    let events = wharf.api("/api/events?service=hello").await;
    let kinds: BTreeSet<_> = events["events"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|event| event["kind"].as_str())
        .collect();
    assert!(
        kinds.contains("canary_started") && kinds.contains("rolled_back"),
        "{events}"
    );

    wharf.restart().await;
    assert_eq!(
        wharf.get("/hello/trap").await.text(),
        "one\n",
        "it isn't tried again"
    );
}

#[tokio::test]
async fn a_canary_that_fails_more_than_the_running_release_is_taken_back() {
    let wharf = hello("canary = '20%'\nfor = '1h'\nby = 'request'").await;
    wharf.deploy("hello", fault());
    wait_canary(&wharf).await;
    let mut failures = 0;
    while !wharf.service("hello").await["taken_back"].is_object() {
        let reply = wharf.get("/hello/status?code=500").await;
        failures += u32::from(reply.status == 500);
        assert!(failures < 50, "few are enough to see that");
    }
    let reason = wait_taken_back(&wharf).await;
    assert!(reason.contains("fail"), "{reason}");
}

#[tokio::test]
async fn a_canary_may_not_fail_more_often_than_its_manifest_says() {
    let wharf = hello("canary = '50%'\nfor = '1h'\nby = 'request'\nmax_failures = 0").await;
    wharf.deploy("hello", fault());
    wait_canary(&wharf).await;
    let mut failures = 0;
    while failures == 0 {
        let reply = wharf.get("/hello/status?code=500").await;
        failures += u32::from(reply.status == 500);
    }
    wait_taken_back(&wharf).await;
}

#[tokio::test]
async fn a_canary_that_is_slower_is_taken_back() {
    let wharf = hello("canary = '30%'\nfor = '1h'\nby = 'request'").await;
    wharf.deploy("hello", fault());
    wait_canary(&wharf).await;
    for number in 0.. {
        assert_eq!(wharf.get("/hello/sleep?ms=30").await.status, 200);
        if wharf.service("hello").await["taken_back"].is_object() {
            break;
        }
        assert!(
            number < 3000,
            "a few hundred requests are enough to see that"
        );
    }
    let reason = wait_taken_back(&wharf).await;
    assert!(reason.contains("slow"), "{reason}");
}

#[tokio::test]
async fn a_caller_keeps_to_one_release() {
    let wharf = hello("canary = '50%'\nfor = '1h'\nby = 'header x-user'").await;
    wharf.deploy("hello", test_guest("hello-two"));
    wait_canary(&wharf).await;
    let mut seen = BTreeSet::new();
    for user in 0..40 {
        let user = format!("user-{user}");
        let first = answer_to(&wharf, "/hello", &user).await;
        for _ in 0..5 {
            assert_eq!(answer_to(&wharf, "/hello", &user).await, first, "{user}");
        }
        seen.insert(first);
    }
    assert_eq!(seen.len(), 2, "both releases have callers: {seen:?}");
}

#[tokio::test]
async fn calls_stay_with_the_release_that_the_outermost_request_has_met() {
    let rollout = "[rollout]\ncanary = '50%'\nfor = '1h'\nby = 'header x-user'";
    let wharf = Wharf::builder()
        .service("hello", test_guest("hello-one"))
        .manifest("hello", rollout)
        .service("caller", fault())
        .manifest("caller", &format!("{GRANTED}{rollout}"))
        .start()
        .await;
    wharf.deploy("hello", test_guest("hello-two"));
    wait_canary(&wharf).await;
    let mut seen = BTreeSet::new();
    for user in 0..40 {
        let user = format!("user-{user}");
        let direct = answer_to(&wharf, "/hello", &user).await;
        // the caller doesn't pass the field on
        let called = answer_to(&wharf, "/caller/outbound?url=http://hello.internal/", &user).await;
        assert!(
            called.contains(direct.trim()),
            "{user}: {direct} and {called}"
        );
        seen.insert(direct);
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[tokio::test]
async fn another_file_takes_a_canarys_place_and_the_old_one_ends_it() {
    let wharf = hello("canary = '50%'\nfor = '1h'\nby = 'request'").await;
    wharf.deploy("hello", fault());
    assert_eq!(wait_canary(&wharf).await["revision"], 2);
    wharf.deploy("hello", test_guest("hello-two"));
    wait_until("the other one was tried", || async {
        wharf.service("hello").await["canary"]["revision"] == 3
    })
    .await;
    wharf.deploy("hello", test_guest("hello-one"));
    wait_until("there was no canary", || async {
        wharf.service("hello").await["canary"].is_null()
    })
    .await;
    for _ in 0..20 {
        assert_eq!(wharf.get("/hello").await.text(), "one\n");
    }
}

/// What has proved nothing yet isn't given everything because the server was restarted.
#[tokio::test]
async fn a_canary_begins_anew_after_a_restart() {
    let mut wharf = hello("canary = '1%'\nfor = '1h'\nby = 'request'").await;
    wharf.deploy("hello", test_guest("hello-two"));
    wait_canary(&wharf).await;
    wharf.restart().await;
    assert_eq!(wharf.service("hello").await["release"]["revision"], 1);
    let canary = wait_canary(&wharf).await;
    assert_eq!(canary["revision"], 2, "{canary}");
    assert_eq!(wharf.service("hello").await["release"]["revision"], 1);
}

/// Whoever lays in again what runs ends the trial, and is answered.
#[tokio::test]
async fn who_deploys_what_runs_or_is_tried_is_told_so() {
    let wharf = hello("canary = '1%'\nfor = '1h'\nby = 'request'").await;
    wharf.deploy("hello", test_guest("hello-two"));
    wait_canary(&wharf).await;
    let deploy = async |guest: &str| {
        let file = test_guest(guest);
        let file = file.to_str().expect("test paths are plain");
        crate::operator::say(&wharf, &["deploy", file, "--name", "hello", "--json"])
    };
    let tried = deploy("hello-two").await.json();
    assert_eq!(tried["state"], "canary", "{tried}");
    let runs = deploy("hello-one").await.json();
    assert_eq!(runs["state"], "live", "{runs}");
    assert_eq!(runs["revision"], 1, "{runs}");
    assert!(wharf.service("hello").await["canary"].is_null());
}

/// It would be tried for nothing, and is not tried over and over.
#[tokio::test]
async fn a_release_whose_route_is_taken_is_refused_once() {
    let wharf = Wharf::builder()
        .service("hello", test_guest("hello-one"))
        .service("other", test_guest("hello-two"))
        .start()
        .await;
    let manifest = "routes = ['/other']\n[rollout]\ncanary = '50%'\nfor = '1h'";
    wharf.rename_in("hello.toml", manifest.as_bytes());
    wharf.wait_refused("hello").await;
    // a change of others is a reason to look at it again
    wharf.deploy("other", test_guest("hello-one"));
    wharf.wait_deployed("other", test_guest("hello-one")).await;
    wharf.wait_log(&["hello", "refused"]).await;
    let refused = wharf.log_lines(&["a release is refused", "hello"]);
    assert!((1..=3).contains(&refused.len()), "{refused:?}");
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
}

#[tokio::test]
async fn a_canary_doesnt_take_over_while_deploys_are_held() {
    let wharf = hello("canary = '50%'\nfor = '1s'\nby = 'request'").await;
    wharf.deploy("hello", test_guest("hello-two"));
    wait_canary(&wharf).await;
    let held = wharf.admin.post("/api/services/hello/hold", "").await;
    assert_eq!(held.status, 200, "{held:?}");
    wait_until("it was held", || async {
        wharf.service("hello").await["held"].is_object()
    })
    .await;
    let service = wharf.service("hello").await;
    assert!(service["canary"].is_null(), "{service}");
    assert_eq!(service["release"]["revision"], 1, "{service}");
    let resumed = wharf.admin.post("/api/services/hello/resume", "").await;
    assert_eq!(resumed.status, 200, "{resumed:?}");
    wait_until("it took over", || async {
        wharf.service("hello").await["release"]["revision"] == 2
    })
    .await;
}

#[tokio::test]
async fn to_roll_back_from_a_canary_is_to_stay_with_what_runs() {
    let mut wharf = hello("canary = '50%'\nfor = '1h'\nby = 'request'").await;
    wharf.deploy("hello", test_guest("hello-two"));
    wait_canary(&wharf).await;
    let target = "/api/services/hello/rollback";
    let reply = wharf.admin.post_json(target, &serde_json::json!({})).await;
    assert_eq!(reply.json()["revision"], 1, "{reply:?}");
    for _ in 0..2 {
        assert!(wharf.service("hello").await["canary"].is_null());
        assert_eq!(wharf.get("/hello").await.text(), "one\n");
        wharf.restart().await;
    }
}

#[tokio::test]
async fn who_deploys_a_bad_file_again_during_a_trial_is_told_again() {
    let wharf = hello("canary = '1%'\nfor = '1h'\nby = 'request'").await;
    wharf.deploy("hello", test_guest("hello-two"));
    wait_canary(&wharf).await;
    let garbage = wharf.data().join("garbage.wasm");
    std::fs::write(&garbage, "no component").expect("it can be written");
    let garbage = garbage.to_str().expect("test paths are plain");
    for _ in 0..2 {
        let said = crate::operator::say(&wharf, &["deploy", garbage, "--name", "hello"]);
        said.refused(1, &["WebAssembly"]);
    }
    assert!(wharf.service("hello").await["canary"].is_object());
}
