//! Unmodified components of both generations of `wasi:http`.

use serde_json::json;
use wharf_tests::{Wharf, test_guest};

use crate::{fault, fault_p3};

#[tokio::test]
async fn a_component_of_the_first_0_2_release_is_served() {
    let wharf = Wharf::with("oldest", test_guest("oldest")).await;
    assert_eq!(wharf.get("/oldest").await.text(), "from 0.2.0\n");
}

#[tokio::test]
async fn a_component_of_the_newest_0_2_release_is_served() {
    let wharf = Wharf::with("fault", fault()).await;
    assert_eq!(wharf.get("/fault").await.text(), "hello\n");
}

#[tokio::test]
async fn a_component_built_with_wstd_is_served() {
    let wharf = Wharf::with("hello", test_guest("hello-one")).await;
    let reply = wharf.get("/hello").await;
    assert_eq!(reply.text(), "one\n");
    assert_eq!(reply.header("x-version"), "one");
}

#[tokio::test]
async fn a_component_of_0_3_is_served() {
    let wharf = Wharf::with("fault", fault_p3()).await;
    let reply = wharf.get("/fault").await;
    assert_eq!(reply.text(), "hello\n");
    assert_eq!(reply.header("content-type"), "text/plain");
}

#[tokio::test]
async fn a_guest_keeps_its_state_from_request_to_request() {
    for component in [fault(), fault_p3()] {
        let wharf = Wharf::with_manifest("fault", component, "[instances]\ncount = 1").await;
        for expected in 1..=5 {
            let count = wharf.get("/fault/count").await.json();
            assert_eq!(count["served"], expected);
        }
    }
}

#[tokio::test]
async fn both_generations_read_whole_bodies() {
    let wharf = Wharf::builder()
        .service("two", fault())
        .service("three", fault_p3())
        .start()
        .await;
    for service in ["two", "three"] {
        let sum = wharf
            .post(&format!("/{service}/sum"), vec![3; 100_000])
            .await;
        assert_eq!(
            sum.json(),
            json!({ "bytes": 100_000, "sum": 300_000 }),
            "{service}"
        );
        let sum = wharf.post(&format!("/{service}/sum"), "").await;
        assert_eq!(sum.json(), json!({ "bytes": 0, "sum": 0 }), "{service}");
    }
}

#[tokio::test]
async fn a_guests_status_reaches_the_client() {
    let wharf = Wharf::with("fault", fault()).await;
    for code in [201, 204, 304, 404, 418, 500, 503] {
        let reply = wharf.get(&format!("/fault/status?code={code}")).await;
        assert_eq!(reply.status, code);
        assert!(
            !reply.instance().is_empty(),
            "the guest's own answer: {reply:?}"
        );
    }
    assert_eq!(wharf.count("fault", "exits").await, 0);
}
