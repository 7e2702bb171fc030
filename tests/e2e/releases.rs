//! Releases: what was taken is kept, and can be gone back to.

use serde_json::{Value, json};
use wharf_tests::{Reply, Wharf, test_guest, wait_until};

use crate::GRANTED;

/// A server with `hello`, which answers "one".
async fn hello() -> Wharf {
    Wharf::with("hello", test_guest("hello-one")).await
}

/// Lays the second version in, and waits until it answers.
async fn second(wharf: &Wharf) {
    wharf.deploy("hello", test_guest("hello-two"));
    answers(wharf, "two\n").await;
}

async fn answers(wharf: &Wharf, text: &str) {
    wait_until(&format!("hello answered {text:?}"), || async {
        wharf.get("/hello").await.text() == text
    })
    .await;
}

async fn rollback(wharf: &Wharf, body: Value) -> Reply {
    let target = "/api/services/hello/rollback";
    wharf.admin.post_json(target, &body).await
}

/// The revisions that are kept, newest first, with their states.
async fn releases(wharf: &Wharf) -> Vec<(u64, String)> {
    let releases = wharf.api("/api/services/hello/releases").await;
    let releases = releases["releases"].as_array().expect("a list").iter();
    let one = |release: &Value| {
        let state = release["state"].as_str().unwrap_or_default().to_owned();
        (release["revision"].as_u64().unwrap_or_default(), state)
    };
    releases.map(one).collect()
}

async fn wait_releases(wharf: &Wharf, expected: &[(u64, &str)]) {
    wait_until(&format!("the releases were {expected:?}"), || async {
        let releases = releases(wharf).await;
        let releases: Vec<_> = releases
            .iter()
            .map(|(one, state)| (*one, state.as_str()))
            .collect();
        releases == expected
    })
    .await;
}

#[tokio::test]
async fn an_operator_goes_back_to_the_release_before_and_on_to_another() {
    let wharf = hello().await;
    second(&wharf).await;
    wait_releases(&wharf, &[(2, "live"), (1, "kept")]).await;

    let reply = rollback(&wharf, json!({})).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["revision"], 1, "{reply:?}");
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
    let service = wharf.service("hello").await;
    assert_eq!(service["release"]["revision"], 1, "{service}");
    wait_releases(&wharf, &[(2, "kept"), (1, "live")]).await;

    let reply = rollback(&wharf, json!({ "release": "2" })).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(wharf.get("/hello").await.text(), "two\n");
}

#[tokio::test]
async fn a_rollback_outlives_a_restart_and_ends_with_the_next_file() {
    let mut wharf = hello().await;
    second(&wharf).await;
    assert_eq!(rollback(&wharf, json!({})).await.status, 200);
    wait_releases(&wharf, &[(2, "kept"), (1, "live")]).await;

    wharf.restart().await;
    assert_eq!(
        wharf.get("/hello").await.text(),
        "one\n",
        "the file is the second version's"
    );

    // the same file again is no new file
    wharf.rename_in("hello.toml", b"[instances]\ncount = 1");
    answers(&wharf, "two\n").await;
    assert_eq!(wharf.service("hello").await["release"]["revision"], 3);
}

#[tokio::test]
async fn a_rollback_loses_no_request() {
    let wharf = hello().await;
    second(&wharf).await;
    let front = wharf.front.clone();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let load = tokio::spawn(async move {
        let mut answered = 0;
        while !*stopped.borrow() {
            assert_eq!(front.get("/hello").await.status, 200);
            answered += 1;
        }
        answered
    });
    for release in ["1", "2", "1", "2"] {
        let reply = rollback(&wharf, json!({ "release": release })).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    stop.send_replace(true);
    assert!(load.await.expect("no request failed") > 0);
}

#[tokio::test]
async fn what_can_not_be_gone_back_to_is_told() {
    let wharf = hello().await;
    let none = rollback(&wharf, json!({})).await;
    assert_eq!(
        none.status, 404,
        "there is nothing before the first: {none:?}"
    );
    let unknown = rollback(&wharf, json!({ "release": "77" })).await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert!(
        unknown.text().contains("kept: 1 ("),
        "it says what there is: {unknown:?}"
    );
    let nobody = wharf
        .admin
        .post_json("/api/services/nobody/rollback", &json!({}))
        .await;
    assert_eq!(nobody.status, 404);
    let nonsense = rollback(&wharf, json!({ "relase": "1" })).await;
    assert_eq!(nonsense.status, 400);
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
}

#[tokio::test]
async fn only_the_last_releases_are_kept() {
    let wharf = Wharf::builder()
        .service("hello", test_guest("hello-one"))
        .config("[deploy]\nkeep_releases = 2")
        .start()
        .await;
    for count in 3..6 {
        let before = wharf.service("hello").await["release"]["revision"].clone();
        wharf.rename_in(
            "hello.toml",
            format!("[instances]\ncount = {count}").as_bytes(),
        );
        wait_until("it was taken", || async {
            wharf.service("hello").await["release"]["revision"] != before
        })
        .await;
    }
    wait_releases(&wharf, &[(4, "live"), (3, "kept")]).await;
    let kept = std::fs::read_dir(wharf.data().join("releases/hello")).expect("it is there");
    let components = kept.filter(|entry| {
        let path = entry.as_ref().expect("it can be read").path();
        path.extension()
            .is_some_and(|extension| extension == "wasm")
    });
    assert_eq!(components.count(), 1, "all have the same component");
}

#[tokio::test]
async fn deploys_that_are_held_wait_until_they_are_resumed() {
    let mut wharf = hello().await;
    let held = wharf.admin.post("/api/services/hello/hold", "").await;
    assert_eq!(held.status, 200, "{held:?}");
    assert_eq!(held.json()["frozen"], true);
    wharf.deploy("hello", test_guest("hello-two"));
    wait_until("it was held", || async {
        wharf.service("hello").await["held"]["why"] == "operator"
    })
    .await;
    assert_eq!(wharf.get("/hello").await.text(), "one\n");

    wharf.restart().await;
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
    let service = wharf.service("hello").await;
    assert_eq!(service["frozen"], true, "{service}");
    assert_eq!(service["held"]["why"], "operator", "{service}");

    let resumed = wharf.admin.post("/api/services/hello/resume", "").await;
    assert_eq!(resumed.status, 200, "{resumed:?}");
    assert_eq!(wharf.get("/hello").await.text(), "two\n");
    let service = wharf.service("hello").await;
    assert_eq!(service["frozen"], false, "{service}");
    assert!(service["held"].is_null(), "{service}");
}

#[tokio::test]
async fn a_release_that_imports_more_than_it_is_granted_is_held_with_the_difference() {
    let mut wharf = hello().await;
    wharf.deploy("hello", crate::fault());
    let seen = async |wharf: &Wharf| {
        wait_until("it was held", || async {
            wharf.service("hello").await["held"]["why"] == "capabilities"
        })
        .await;
        wharf.service("hello").await["held"].clone()
    };
    let held = seen(&wharf).await;
    let added = held["added"].to_string();
    assert!(added.contains("wasi:keyvalue/store@"), "{held}");
    assert!(added.contains("wasi:http/outgoing-handler@"), "{held}");
    let message = held["message"].as_str().expect("a text");
    assert!(
        message.contains("grants.keyvalue"),
        "it says what to do: {held}"
    );
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
    assert_eq!(wharf.state("hello").await, "ready");

    wharf.restart().await;
    assert_eq!(
        wharf.get("/hello").await.text(),
        "one\n",
        "it isn't run after a restart either"
    );
    seen(&wharf).await;

    wharf.rename_in("hello.toml", GRANTED.as_bytes());
    wait_until("it was taken", || async {
        !wharf.get("/hello/hello").await.instance().is_empty()
    })
    .await;
    assert!(wharf.service("hello").await["held"].is_null());
}

#[tokio::test]
async fn an_operator_may_take_a_held_release_as_it_is() {
    let wharf = hello().await;
    wharf.deploy("hello", crate::fault());
    wait_until("it was held", || async {
        wharf.service("hello").await["held"]["why"] == "capabilities"
    })
    .await;
    let resumed = wharf.admin.post("/api/services/hello/resume", "").await;
    assert_eq!(resumed.status, 200, "{resumed:?}");
    assert!(!wharf.get("/hello/hello").await.instance().is_empty());
}

#[tokio::test]
async fn a_release_that_crashes_at_once_gives_way_to_the_one_before() {
    let manifest = "[restart]\nmax_failures = 2\nbackoff_min = '1ms'\nbackoff_max = '1ms'";
    let mut wharf = Wharf::with_manifest("hello", test_guest("hello-one"), manifest).await;
    let digest = wharf.service("hello").await["release"]["digest"].clone();
    wharf.rename_in("hello.toml", format!("{manifest}{GRANTED}").as_bytes());
    wharf.deploy("hello", crate::fault());
    wait_until("it was taken", || async {
        wharf.service("hello").await["release"]["digest"] != digest
    })
    .await;
    // different requests, so that none is quarantined for what the release does
    let mut asked = 0;
    wait_until("the release before was back", || {
        asked += 1;
        let target = format!("/hello/trap?{asked}");
        let wharf = &wharf;
        async move { wharf.get(&target).await.text() == "one\n" }
    })
    .await;
    let service = wharf.service("hello").await;
    assert_eq!(service["release"]["revision"], 1, "{service}");
    assert_eq!(service["counts"]["rollbacks"], 1, "{service}");
    let taken_back = &service["taken_back"];
    assert!(
        taken_back["reason"]
            .as_str()
            .is_some_and(|why| why.contains("instances failed")),
        "{service}"
    );
    wharf.wait_log(&["hello", "is taken back"]).await;
    assert_eq!(wharf.metric("wharf_rollbacks_total", &["hello"]).await, 1);

    wharf.restart().await;
    assert_eq!(
        wharf.get("/hello/trap").await.text(),
        "one\n",
        "the bad file isn't tried again"
    );
    assert!(wharf.service("hello").await["taken_back"].is_object());

    wharf.deploy("hello", test_guest("hello-two"));
    answers(&wharf, "two\n").await;
    assert!(wharf.service("hello").await["taken_back"].is_null());
}

/// The releases of a service without a file are kept for long, and from then on.
#[tokio::test]
async fn it_is_noted_since_when_a_service_has_had_no_file() {
    let mut wharf = hello().await;
    let index = wharf.data().join("releases/hello/index.json");
    let noted = || std::fs::read_to_string(&index).unwrap_or_default();
    wait_until("the index to be written", async || {
        noted().contains("\"gone_since\":null")
    })
    .await;
    wharf.remove("hello.wasm");
    wharf.restart().await;
    wait_until("the time to be noted", async || {
        !noted().contains("\"gone_since\":null")
    })
    .await;
    let records = noted();
    assert!(records.contains("\"revision\":1"), "{records}");
    wharf.deploy("hello", test_guest("hello-one"));
    wharf.wait_deployed("hello", test_guest("hello-one")).await;
    wharf.restart().await;
    wait_until("it to be back", async || {
        noted().contains("\"gone_since\":null")
    })
    .await;
}

/// It was taken as the first, when there was nothing to compare it with.
#[tokio::test]
async fn a_rollback_asks_nothing_of_what_has_run_before() {
    let wharf = Wharf::with("hello", crate::fault()).await;
    second(&wharf).await;
    let reply = rollback(&wharf, json!({})).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(!wharf.get("/hello/hello").await.instance().is_empty());
}

#[tokio::test]
async fn what_was_refused_is_not_missed_after_a_restart() {
    let mut wharf = hello().await;
    wharf.rename_in("hello.wasm", b"no component");
    wharf.wait_refused("hello").await;
    for _ in 0..2 {
        wharf.restart().await;
        assert_eq!(wharf.get("/hello").await.text(), "one\n");
        let error = wharf.deploy_error("hello").await;
        assert!(error.contains("hello.wasm is not taken"), "{error}");
    }
    second(&wharf).await;
    assert_eq!(wharf.deploy_error("hello").await, "");
}

#[tokio::test]
async fn a_held_release_is_listed_and_the_one_that_runs_stays_after_a_restart() {
    let mut wharf = hello().await;
    wharf.deploy("hello", crate::fault());
    wait_releases(&wharf, &[(2, "held"), (1, "live")]).await;
    wharf.restart().await;
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
    let resumed = wharf.admin.post("/api/services/hello/resume", "").await;
    assert_eq!(resumed.status, 200, "{resumed:?}");
    wait_releases(&wharf, &[(2, "live"), (1, "kept")]).await;
}

#[tokio::test]
async fn resume_takes_the_files_that_were_gone_back_from() {
    let wharf = hello().await;
    second(&wharf).await;
    assert_eq!(rollback(&wharf, json!({})).await.status, 200);
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
    let held = wharf.service("hello").await["held"]["message"].to_string();
    assert!(
        held.contains("went back") && held.contains("resume"),
        "{held}"
    );
    let resumed = wharf.admin.post("/api/services/hello/resume", "").await;
    assert_eq!(resumed.status, 200, "{resumed:?}");
    assert_eq!(wharf.get("/hello").await.text(), "two\n");
}

/// To say yes to one release is not to say yes to the next.
#[tokio::test]
async fn a_resume_is_for_the_files_that_it_was_said_of() {
    let wharf = hello().await;
    let unfit = "[grants]\nservices = ['hello']\n[instances]\ncount = 0";
    wharf.rename_in("hello.toml", unfit.as_bytes());
    wharf.deploy("hello", crate::fault());
    wharf.wait_refused("hello").await;
    wharf.admin.post("/api/services/hello/resume", "").await;
    wharf.remove("hello.toml");
    wait_until("it was held", || async {
        wharf.service("hello").await["held"]["why"] == "capabilities"
    })
    .await;
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
}

#[tokio::test]
async fn what_was_removed_doesnt_come_back_with_other_files() {
    let wharf = hello().await;
    wharf.remove("hello.wasm");
    wait_until("it was gone", async || {
        wharf.get("/hello").await.status == 404
    })
    .await;
    wait_until("it was forgotten", async || {
        wharf.admin.get("/api/services/hello").await.status == 404
    })
    .await;
    // imports more, but there is nothing that it replaces
    wharf.deploy("hello", crate::fault());
    wait_until("the new one answered", async || {
        let reply = wharf.get("/hello/hello").await;
        assert_ne!(reply.text(), "one\n", "the old one is no longer there");
        reply.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_service_whose_files_cant_be_read_at_the_start_runs_as_before() {
    let mut wharf = hello().await;
    wharf.kill9();
    let manifest = wharf.services().join("hello.toml");
    std::fs::create_dir(&manifest).expect("there is none");
    wharf.restart().await;
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
    std::fs::remove_dir(&manifest).expect("it is empty");
    second(&wharf).await;
}

/// What the host holds is not taken by ending a hold of the operator's own.
#[tokio::test]
async fn to_end_a_hold_is_not_to_say_yes_to_what_the_host_holds() {
    let wharf = hello().await;
    wharf.deploy("hello", crate::fault());
    let held = async || wharf.service("hello").await["held"]["why"] == "capabilities";
    wait_until("it was held", held).await;
    for verb in ["hold", "resume"] {
        let target = format!("/api/services/hello/{verb}");
        assert_eq!(wharf.admin.post(&target, "").await.status, 200);
    }
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
    assert!(held().await);
    assert_eq!(
        wharf
            .admin
            .post("/api/services/hello/resume", "")
            .await
            .status,
        200
    );
    assert!(!wharf.get("/hello/hello").await.instance().is_empty());
}
