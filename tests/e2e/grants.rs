//! Nothing is granted by default, and what is refused says how to grant it.

use serde_json::json;
use wharf_tests::{Upstream, Wharf};

use crate::fault;

/// Asserts that exactly one line of the log tells which grant is missing, and where to write it.
async fn one_line_names(wharf: &Wharf, words: &[&str]) {
    wharf.wait_log(words).await;
    let lines = wharf.log_lines(words);
    assert_eq!(lines.len(), 1, "{lines:#?}");
}

#[tokio::test]
async fn a_bucket_that_was_not_granted_is_refused() {
    let wharf = Wharf::with_manifest("fault", fault(), "[grants]\nkeyvalue = ['mine']").await;
    let refused = wharf.get("/fault/kv?op=get&bucket=vault&key=k").await;
    assert_eq!(
        refused.status, 200,
        "the guest got an error it can handle: {refused:?}"
    );
    assert_eq!(refused.json(), json!({ "error": "access-denied" }));
    one_line_names(&wharf, &["vault", "keyvalue", "fault.toml"]).await;
    assert_eq!(wharf.count("fault", "exits").await, 0);

    let granted = wharf.get("/fault/kv?op=get&bucket=mine&key=k").await;
    assert_eq!(granted.json(), json!({ "ok": null }));
}

#[tokio::test]
async fn a_service_without_a_manifest_has_no_bucket_at_all() {
    let wharf = Wharf::with("fault", fault()).await;
    for bucket in ["", "default", "fault"] {
        let refused = wharf
            .get(&format!("/fault/kv?op=open&bucket={bucket}"))
            .await;
        assert!(
            refused.json()["error"].is_string(),
            "{bucket:?}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_guest_sees_the_configuration_that_it_was_granted() {
    let manifest = "[grants.config]\ngreeting = 'hello'\nlimit = '10'";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    let value = wharf.get("/fault/config?key=greeting").await.json();
    assert_eq!(value, json!({ "ok": "hello" }));
    let all = wharf.get("/fault/config").await.json();
    let mut pairs = all["ok"].as_array().cloned().expect("a list");
    pairs.sort_by_key(ToString::to_string);
    assert_eq!(
        pairs,
        [json!(["greeting", "hello"]), json!(["limit", "10"])]
    );
    let absent = wharf.get("/fault/config?key=absent").await.json();
    assert!(absent["ok"].is_null(), "{absent}");
}

#[tokio::test]
async fn a_guest_sees_no_environment_but_what_it_was_granted() {
    let wharf = Wharf::builder()
        .service("bare", fault())
        .service("fault", fault())
        .manifest(
            "fault",
            "[grants.env]\nMODE = 'test'\nFROM = { from_env = 'PATH' }",
        )
        .start()
        .await;
    assert_eq!(wharf.get("/bare/env").await.json(), json!({}));
    let path = std::env::var("PATH").expect("cargo needs one too");
    let seen = wharf.get("/fault/env").await.json();
    assert_eq!(seen, json!({ "MODE": "test", "FROM": path }));
}

#[tokio::test]
async fn a_request_into_the_world_needs_a_grant() {
    let upstream = Upstream::start().await;
    let origin = upstream.origin();
    let wharf = Wharf::builder()
        .service("bare", fault())
        .service("fault", fault())
        .manifest("fault", &format!("[grants]\nhttp = ['{origin}']"))
        .start()
        .await;
    let refused = wharf.get(&format!("/bare/outbound?url={origin}/in")).await;
    assert_eq!(refused.status, 200, "{refused:?}");
    let error = refused.json()["error"].to_string();
    assert!(
        error.contains("HttpRequestDenied"),
        "the interface's own error: {error}"
    );
    assert_eq!(upstream.seen(), [""; 0], "nothing got out");
    let port = origin.rsplit(':').next().expect("it has a port");
    one_line_names(&wharf, &["http", port, "bare.toml"]).await;

    let granted = wharf.get(&format!("/fault/outbound?url={origin}/in")).await;
    assert_eq!(
        granted.json(),
        json!({ "status": 200, "body": "from upstream\n" })
    );
    assert_eq!(upstream.seen(), ["GET /in"]);
}

#[tokio::test]
async fn a_grant_for_one_place_is_none_for_its_neighbour() {
    let granted = Upstream::start().await;
    let other = Upstream::start().await;
    let manifest = format!("[grants]\nhttp = ['{}']", granted.origin());
    let wharf = Wharf::with_manifest("fault", fault(), &manifest).await;
    let refused = wharf
        .get(&format!("/fault/outbound?url={}/", other.origin()))
        .await;
    assert!(
        refused.json()["error"]
            .to_string()
            .contains("HttpRequestDenied"),
        "{refused:?}"
    );
    assert_eq!(other.seen(), [""; 0]);
}

#[tokio::test]
async fn a_guest_of_0_3_needs_the_same_grants() {
    let upstream = Upstream::start().await;
    let origin = upstream.origin();
    let wharf = Wharf::builder()
        .service("bare", crate::fault_p3())
        .service("fault", crate::fault_p3())
        .manifest("fault", &format!("[grants]\nhttp = ['{origin}']"))
        .start()
        .await;
    let refused = wharf.get(&format!("/bare/outbound?url={origin}/in")).await;
    assert!(
        refused.json()["error"]
            .to_string()
            .contains("HttpRequestDenied"),
        "{refused:?}"
    );
    assert_eq!(upstream.seen(), [""; 0]);
    let granted = wharf.get(&format!("/fault/outbound?url={origin}/in")).await;
    assert_eq!(
        granted.json(),
        json!({ "status": 200, "body": "from upstream\n" })
    );
}

#[tokio::test]
async fn no_guest_sees_files_or_sockets() {
    let upstream = Upstream::start().await;
    let manifest = format!("[grants]\nhttp = ['{}']", upstream.origin());
    let wharf = Wharf::with_manifest("fault", fault(), &manifest).await;
    let files = wharf.get("/fault/files").await.json();
    assert_eq!(
        files,
        json!({ "root": false, "passwd": false, "write": false })
    );
    let addr = upstream.origin().replace("http://", "");
    let socket = wharf.get(&format!("/fault/socket?addr={addr}")).await;
    assert_eq!(
        socket.json(),
        json!({ "connected": false }),
        "a grant for HTTP is none for TCP"
    );
}

#[tokio::test]
async fn what_a_guest_prints_becomes_log_lines_with_its_name() {
    let wharf = Wharf::with("fault", fault()).await;
    wharf.get("/fault/log?text=out-loud&to=stdout").await;
    wharf.get("/fault/log?text=complaint&to=stderr").await;
    wharf.wait_log(&["out-loud", "fault"]).await;
    wharf.wait_log(&["complaint", "fault"]).await;
    assert_eq!(
        wharf.printed().len(),
        2,
        "stdout is for the two addresses: {:?}",
        wharf.printed()
    );
}

#[tokio::test]
async fn a_guest_cannot_flood_the_log() {
    let config = "[log]\nguest_lines_per_second = 50\nguest_line_bytes = '1KiB'";
    let wharf = Wharf::builder()
        .service("fault", fault())
        .config(config)
        .start()
        .await;
    let long = wharf.get("/fault/log?text=0123456789&repeat=10000").await;
    assert_eq!(long.status, 200);
    let line = wharf.wait_log(&["0123456789"]).await;
    assert!(line.len() < 2048, "the line was cut: {} bytes", line.len());

    let started = std::time::Instant::now();
    let many = wharf.get("/fault/log?text=flood&lines=20000").await;
    assert_eq!(many.status, 200, "the guest isn't punished");
    wharf.wait_log(&["flood"]).await;
    let seconds = started.elapsed().as_secs();
    let kept = wharf.log_lines(&["flood"]).len() as u64;
    let most = 50 * (seconds + 2);
    assert!(kept <= most, "{kept} lines in {seconds} s");
}

#[tokio::test]
async fn a_guest_cannot_forge_log_lines() {
    let wharf = Wharf::with("fault", fault()).await;
    wharf
        .get("/fault/log?text=before%1b[31m%0d2030-01-01%20ERROR%20forged")
        .await;
    let line = wharf.wait_log(&["forged"]).await;
    assert!(
        !line.contains('\u{1b}'),
        "no escape sequences reach a terminal: {line:?}"
    );
    assert!(
        !line.contains('\r'),
        "no line can overwrite another: {line:?}"
    );
}

#[tokio::test]
async fn what_was_granted_shows_up_nowhere_else() {
    let manifest = "
        [grants.config]
        token = 'correct-horse'
        [grants.env]
        TOKEN = 'battery-staple'
    ";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    wharf.get("/fault/trap").await.problem(500);
    wharf.rename_in(
        "fault.toml",
        b"[grants.config]\ntoken = 'correct-horse'\nwrong = 1",
    );
    wharf.wait_refused("fault").await;
    let mut everything = wharf.log().join("\n");
    for path in [
        "/api/services",
        "/api/services/fault",
        "/api/exits",
        "/metrics",
    ] {
        everything += &wharf.admin.get(path).await.text();
    }
    for secret in ["correct-horse", "battery-staple"] {
        assert!(!everything.contains(secret), "{secret} leaked");
    }
}
