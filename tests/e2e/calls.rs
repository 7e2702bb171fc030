//! Services calling services over HTTP, by name.

use std::path::PathBuf;

use serde_json::{Value, json};
use wharf_tests::{Builder, Reply, Wharf, test_guest, wait_until};

use crate::{all_at_once, counter, fault, fault_p3};

/// `caller` may call `called` and itself, and both may count.
fn two(caller: PathBuf, other: PathBuf, tables: &str) -> Builder {
    let manifest = |services: &str| {
        format!("[grants]\nkeyvalue = ['counts']\nservices = [{services}]\n{tables}")
    };
    Wharf::builder()
        .service("caller", caller)
        .manifest("caller", &manifest("'called', 'caller'"))
        .service("called", other)
        .manifest("called", &manifest("'caller', 'called'"))
}

/// The target at which `caller` asks `called` for `path`, and answers what came back.
fn via(path: &str) -> String {
    format!("/caller/outbound?url=http://called.internal{path}")
}

/// What came back from the call: its status, and its body.
fn called(reply: &Reply) -> (u64, String) {
    assert_eq!(reply.status, 200, "{reply:?}");
    let answer = reply.json();
    let status = answer["status"].as_u64();
    let status = status.unwrap_or_else(|| panic!("the call failed: {answer}"));
    (
        status,
        answer["body"].as_str().unwrap_or_default().to_owned(),
    )
}

/// The problem that came back from the call.
fn problem(reply: &Reply, status: u64) -> String {
    let (is, body) = called(reply);
    assert_eq!(is, status, "{body}");
    let problem: Value = serde_json::from_str(&body).expect("a problem is JSON");
    problem["detail"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_service_is_called_by_its_name_across_generations() {
    for caller in [fault(), fault_p3()] {
        for component in [fault(), fault_p3()] {
            let wharf = two(caller.clone(), component, "").start().await;
            let reply = wharf.get(&via("/hello")).await;
            assert_eq!(called(&reply), (200, "hello\n".to_owned()));
            // a large answer passes whole
            let (status, body) = called(&wharf.get(&via("/x/big?bytes=3000000")).await);
            assert_eq!((status, body.len()), (200, 3_000_000));
            assert_eq!(wharf.count("called", "requests").await, 2);
        }
    }
}

#[tokio::test]
async fn a_call_needs_a_grant_and_the_right_kind_of_address() {
    for component in [fault(), fault_p3()] {
        let wharf = Wharf::builder()
            .service("caller", component)
            .manifest(
                "caller",
                "[grants]\nservices = ['other']\nhttp = ['http://called.internal']",
            )
            .service("called", fault())
            .start()
            .await;
        let error = |reply: Reply| reply.json()["error"].to_string();
        let refused = error(wharf.get(&via("/hello")).await);
        assert!(refused.contains("HttpRequestDenied"), "{refused}");
        wharf
            .wait_log(&["grants.services", "called", "caller.toml"])
            .await;
        for url in ["http://other.internal:8080/", "http://joe@other.internal/"] {
            let refused = error(wharf.get(&format!("/caller/outbound?url={url}")).await);
            assert!(refused.contains("HttpRequest"), "{refused}");
        }
        assert_eq!(wharf.count("called", "requests").await, 0);
    }
}

#[tokio::test]
async fn a_name_means_what_is_deployed_at_the_moment() {
    let wharf = Wharf::builder()
        .service("caller", fault())
        .manifest("caller", "[grants]\nservices = ['called']")
        .start()
        .await;
    let missing = problem(&wharf.get(&via("/")).await, 503);
    assert!(missing.contains("called"), "{missing}");
    for (guest, says) in [("hello-one", "one\n"), ("hello-two", "two\n")] {
        wharf.deploy("called", test_guest(guest));
        wait_until("the call reached what was deployed", || async {
            let answer = wharf.get(&via("/")).await.json();
            answer == json!({ "status": 200, "body": says })
        })
        .await;
    }
    wharf.remove("called.wasm");
    wait_until("the call missed what was removed", || async {
        wharf.get(&via("/")).await.json()["status"] == 503
    })
    .await;
}

#[tokio::test]
async fn a_call_has_what_is_left_of_its_callers_time() {
    for component in [fault(), fault_p3()] {
        let wharf = two(component, fault(), "").start().await;
        wharf.rename_in(
            "caller.toml",
            b"[limits]\ntimeout = '1s'\n[grants]\nservices = ['called']",
        );
        wharf.wait_count("caller", "deploys", 2).await;
        wharf.get(&via("/x/sleep?ms=3600000")).await.problem(504);
        wait_until("the called service was free again", || async {
            wharf.service("called").await["instances"]
                .as_array()
                .is_some_and(|all| all.len() == 2 && all.iter().all(|one| one["in_flight"] == 0))
        })
        .await;
    }
}

#[tokio::test]
async fn services_that_call_one_another_without_end_are_stopped() {
    let wharf = two(fault(), fault_p3(), "[instances]\ncount = 12")
        .start()
        .await;
    let step = |name: &str| format!("/x/outbound?url=http://{name}.internal");
    let mut target = "/caller".to_owned();
    for turn in 0..10 {
        target += &step(if turn % 2 == 0 { "called" } else { "caller" });
    }
    let reply = wharf.get(&target).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let text = reply.text();
    assert!(text.contains("508"), "{text}");
    assert!(text.contains("call one another"), "{text}");
    let mut requests = 0;
    for name in ["caller", "called"] {
        requests += wharf.count(name, "requests").await;
    }
    assert_eq!(requests, 9, "the client's request and eight calls");
}

#[tokio::test]
async fn a_ring_of_calls_that_would_wait_for_ever_is_refused() {
    // with one place each, the ring closes at the second call
    let wharf = two(
        fault(),
        fault(),
        "[instances]\ncount = 1\n[limits]\nqueue_wait = '1h'\ntimeout = '1h'",
    )
    .start()
    .await;
    let reply = wharf
        .get(&via("/x/outbound?url=http://caller.internal/x/hello"))
        .await;
    let (status, body) = called(&reply);
    assert_eq!(status, 200, "{body}");
    assert!(
        body.contains("503") && body.contains("for one another"),
        "{body}"
    );
    // many rings at once: whoever is refused, nobody waits
    let target = via("/x/outbound?url=http://caller.internal/x/hello");
    for reply in all_at_once(&wharf.front, &target, 20).await {
        assert_eq!(reply.expect("it was answered").status, 200);
    }
    assert_eq!(called(&wharf.get(&via("/hello")).await).0, 200);
}

#[tokio::test]
async fn a_call_without_effects_leaves_its_caller_replayable() {
    let wharf = two(fault(), fault(), "[instances]\ncount = 2")
        .start()
        .await;
    let doomed = wharf.get("/caller/count").await.instance();
    let target = format!(
        "/caller/outbound-then-trap?url=http://called.internal/x/kv?op=get%26bucket=counts%26key=k&only={doomed}"
    );
    wait_until("the call was made in the doomed instance", || async {
        assert_eq!(wharf.post(&target, "").await.status, 200);
        wharf.count("caller", "exits").await == 1
    })
    .await;
    wharf.wait_count("caller", "replays", 1).await;
}

#[tokio::test]
async fn a_call_that_wrote_is_not_made_twice() {
    let wharf = two(fault(), fault(), "").start().await;
    let target = "/caller/outbound-then-trap?url=http://called.internal/x/kv?op=increment%26bucket=counts%26key=calls";
    wharf.post(target, "").await.problem(500);
    assert_eq!(counter(&wharf, "caller", "counts", "calls").await, 1);
    assert_eq!(wharf.count("caller", "replays").await, 0);
}

#[tokio::test]
async fn what_a_call_interrupted_is_run_again_for_its_caller() {
    let wharf = two(fault_p3(), fault(), "").start().await;
    let doomed = wharf.get("/called/count").await.instance();
    let target = via(&format!("/x/trap?only={doomed}"));
    wait_until("the call met the doomed instance", || async {
        assert_eq!(called(&wharf.get(&target).await).0, 200);
        wharf.count("called", "exits").await == 1
    })
    .await;
    wharf.wait_count("called", "replays", 1).await;
    assert_eq!(wharf.count("caller", "exits").await, 0);
}

#[tokio::test]
async fn ids_and_traces_travel() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for component in [fault(), fault_p3()] {
        let wharf = two(component, fault(), "").start().await;
        let mut request = wharf.front.request(
            http::Method::GET,
            &via("/x/request"),
            wharf_tests::whole(""),
        );
        for (name, value) in [
            ("x-request-id", "from-far"),
            ("traceparent", trace),
            ("tracestate", "a=b"),
        ] {
            request
                .headers_mut()
                .insert(name, value.parse().expect("it is a value"));
        }
        let (status, body) = called(&wharf.front.client.send(request).await);
        assert_eq!(status, 200, "{body}");
        let seen: Value = serde_json::from_str(&body).expect("it is JSON");
        let headers = seen["headers"].as_array().expect("there are some");
        for (name, value) in [
            ("x-request-id", "from-far"),
            ("traceparent", trace),
            ("tracestate", "a=b"),
        ] {
            assert!(headers.contains(&json!([name, value])), "{name}: {seen}");
        }
        assert_eq!(seen["authority"], "called.internal");
    }
}

#[tokio::test]
async fn a_flooded_service_sheds_calls_as_it_sheds_clients() {
    let wharf = two(fault(), fault(), "").start().await;
    wharf.rename_in(
        "called.toml",
        b"[instances]\ncount = 1\n[limits]\nqueue = 0\n[grants]\nkeyvalue = ['counts']",
    );
    wharf.wait_count("called", "deploys", 2).await;
    wharf.wait_healthy("called", 1).await;
    let holder = tokio::spawn({
        let front = wharf.front.clone();
        async move { front.try_get("/called/sleep?ms=3600000").await }
    });
    wharf.wait_in_flight("called", 1).await;
    let shed = problem(&wharf.get(&via("/hello")).await, 503);
    assert!(shed.contains("busy"), "{shed}");
    assert!(wharf.count("called", "sheds").await >= 1);
    holder.abort();
}
