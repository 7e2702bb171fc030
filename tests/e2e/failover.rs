//! What becomes of a request whose instance dies: run again if nobody can tell, and never twice if
//! somebody could.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::Method;
use hyper::body::Frame;
use tokio::sync::mpsc;
use wharf_tests::{Upstream, Wharf, streamed, wait_for, wait_until, whole};

use crate::{counter, fault, fault_p3};

/// Two instances that may count in the bucket `counts`.
const COUNTING: &str = "[instances]\ncount = 2\n[grants]\nkeyvalue = ['counts']";

/// A server with the fault component twice: `fault`, the one under test, and `reader`, who looks
/// what happened in the buckets.
async fn with_reader(component: std::path::PathBuf, manifest: &str) -> Wharf {
    Wharf::builder()
        .service("fault", component)
        .manifest("fault", manifest)
        .service("reader", fault())
        .manifest("reader", "[grants]\nkeyvalue = ['counts']")
        .start()
        .await
}

/// Sends `method target` with `only=` one instance until that instance has died of it. All have to
/// succeed. Gives back how many were sent.
async fn strike(wharf: &Wharf, method: Method, target: &str, body: &[u8]) -> i64 {
    let doomed = wharf.get("/fault/count").await.instance();
    let target = format!("{target}&only={doomed}");
    let mut sent = 0;
    while wharf.count("fault", "exits").await == 0 {
        let body = whole(Bytes::copy_from_slice(body));
        let request = wharf.front.request(method.clone(), &target, body);
        let reply = wharf.front.client.send(request).await;
        sent += 1;
        assert_eq!(reply.status, 200, "request {sent} of {target}: {reply:?}");
        assert!(sent < 100, "no request reached instance {doomed}");
    }
    sent
}

#[tokio::test]
async fn a_post_that_trapped_before_its_write_succeeds_elsewhere() {
    let wharf = with_reader(fault(), COUNTING).await;
    let target = "/fault/trap-then-write?bucket=counts&key=posts";
    let sent = strike(&wharf, Method::POST, target, b"").await;

    assert_eq!(
        counter(&wharf, "reader", "counts", "posts").await,
        sent,
        "each counted once"
    );
    wharf.wait_count("fault", "replays", 1).await;
    wharf.wait_exits("fault", "trap", 1).await;
    wharf.wait_healthy("fault", 2).await;
}

#[tokio::test]
async fn a_post_of_0_3_that_trapped_before_its_write_succeeds_elsewhere() {
    let wharf = with_reader(fault_p3(), COUNTING).await;
    let target = "/fault/trap-then-write?bucket=counts&key=posts";
    let sent = strike(&wharf, Method::POST, target, b"").await;
    assert_eq!(
        counter(&wharf, "reader", "counts", "posts").await,
        sent,
        "each counted once"
    );
    wharf.wait_count("fault", "replays", 1).await;
}

#[tokio::test]
async fn a_post_that_trapped_after_its_write_is_not_run_twice() {
    for component in [fault(), fault_p3()] {
        let wharf = with_reader(component, COUNTING).await;
        let target = "/fault/write-then-trap?bucket=counts&key=posts";
        wharf.post(target, "").await.problem(500);

        assert_eq!(counter(&wharf, "reader", "counts", "posts").await, 1);
        assert_eq!(wharf.count("fault", "replays").await, 0);
        wharf.wait_count("fault", "exits", 1).await;
    }
}

#[tokio::test]
async fn a_get_that_trapped_after_its_write_is_not_run_twice_either() {
    let wharf = with_reader(fault(), COUNTING).await;
    wharf
        .get("/fault/write-then-trap?bucket=counts&key=gets")
        .await
        .problem(500);
    assert_eq!(counter(&wharf, "reader", "counts", "gets").await, 1);
}

#[tokio::test]
async fn a_manifest_may_let_idempotent_requests_be_run_again_after_a_write() {
    let manifest = format!("{COUNTING}\n[failover]\nreplay = 'idempotent'");
    let wharf = with_reader(fault(), &manifest).await;
    let target = "/fault/write-then-trap?bucket=counts&key=puts";
    let sent = strike(&wharf, Method::PUT, target, b"").await;
    let count = counter(&wharf, "reader", "counts", "puts").await;
    assert_eq!(count, sent + 1, "the one that trapped wrote twice");

    let target = "/fault/write-then-trap?bucket=counts&key=posts";
    wharf.post(target, "").await.problem(500);
    assert_eq!(
        counter(&wharf, "reader", "counts", "posts").await,
        1,
        "POST isn't idempotent"
    );
}

#[tokio::test]
async fn a_manifest_may_forbid_all_replays() {
    let manifest = "[failover]\nreplay = 'never'";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    wharf.get("/fault/trap").await.problem(500);
    wharf.wait_count("fault", "exits", 1).await;
    assert_eq!(wharf.count("fault", "replays").await, 0);
}

#[tokio::test]
async fn no_request_is_tried_more_than_three_times() {
    let wharf = Wharf::with_manifest("fault", fault(), "[instances]\ncount = 4").await;
    wharf.post("/fault/trap", "").await.problem(500);
    wharf.wait_count("fault", "exits", 3).await;
    wharf.wait_count("fault", "replays", 2).await;
    wharf.wait_healthy("fault", 4).await;
    assert_eq!(wharf.get("/fault/hello").await.status, 200);
}

#[tokio::test]
async fn reading_a_bucket_is_no_effect() {
    let wharf = Wharf::with_manifest("fault", fault(), COUNTING).await;
    wharf
        .get("/fault/trap-until?bucket=counts&key=absent")
        .await
        .problem(500);
    wharf.wait_count("fault", "replays", 2).await;
}

#[tokio::test]
async fn what_went_out_into_the_world_is_not_sent_twice() {
    let upstream = Upstream::start().await;
    let manifest = format!("[grants]\nhttp = ['{}']", upstream.origin());
    let wharf = Wharf::with_manifest("fault", fault(), &manifest).await;
    let target = format!("/fault/outbound-then-trap?url={}/order", upstream.origin());
    wharf.post(&target, "").await.problem(500);
    assert_eq!(upstream.seen(), ["GET /order"]);
    assert_eq!(wharf.count("fault", "replays").await, 0);
}

#[tokio::test]
async fn a_response_that_broke_off_is_neither_run_again_nor_taken_for_whole() {
    for component in [fault(), fault_p3()] {
        let wharf = Wharf::with("fault", component).await;
        for front in [wharf.front.clone(), wharf.front.http2()] {
            // so much that part of it has gone out by then
            let reply = front.try_get("/fault/late-trap?bytes=1000000").await;
            assert!(
                reply.is_err(),
                "half an answer passed for a whole one: {reply:?}"
            );
        }
        assert_eq!(wharf.count("fault", "replays").await, 0);
        wharf.wait_healthy("fault", 2).await;
        wharf.wait_count("fault", "exits", 2).await;
    }
}

#[tokio::test]
async fn a_response_that_broke_off_before_any_of_it_went_out_is_run_again() {
    for component in [fault(), fault_p3()] {
        let wharf = Wharf::with("fault", component).await;
        for front in [wharf.front.clone(), wharf.front.http2()] {
            let replays = wharf.count("fault", "replays").await;
            let fresh = AtomicU64::new(replays);
            // Whether the trap is quicker than the head is a race; each try is another request,
            // for one that kills again and again is quarantined.
            wait_for("a trap was quicker than its response", || async {
                let other = fresh.fetch_add(1, Ordering::Relaxed);
                let target = format!("/fault/late-trap?bytes=1000&other={other}");
                let reply = front.try_get(&target).await.ok()?;
                reply.problem(500);
                Some(())
            })
            .await;
            assert!(wharf.count("fault", "replays").await > replays);
            wharf.wait_healthy("fault", 2).await;
        }
    }
}

#[tokio::test]
async fn a_replayed_request_has_its_whole_body() {
    let wharf = Wharf::with_manifest("fault", fault(), "[instances]\ncount = 2").await;
    let body = vec![7; 60 * 1024];
    let doomed = wharf.get("/fault/count").await.instance();
    let target = format!("/fault/body-then-trap?only={doomed}");
    while wharf.count("fault", "replays").await == 0 {
        let reply = wharf.post(&target, body.clone()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(
            reply.json(),
            serde_json::json!({ "bytes": 61_440, "sum": 430_080 })
        );
    }
}

#[tokio::test]
async fn a_body_that_still_arrives_when_its_instance_dies_goes_to_the_next_whole() {
    let wharf = Wharf::with_manifest("fault", fault(), "[instances]\ncount = 2").await;
    wait_for(
        "a request met its trap with half of its body sent",
        || async {
            let doomed = wharf.get("/fault/count").await.instance();
            // The instances take turns: this one puts the doomed one next.
            wharf.get("/fault/hello").await;
            let exits = wharf.count("fault", "exits").await;
            let (body, frames) = mpsc::channel(1);
            let target = format!("/fault/trap-or-sum?only={doomed}");
            let request = wharf.front.request(Method::POST, &target, streamed(frames));
            let client = wharf.front.client.clone();
            let reply = tokio::spawn(async move { client.send(request).await });
            body.send(Frame::data(Bytes::from_static(b"ab")))
                .await
                .expect("it is being sent");
            wait_until("the request was in an instance", || async {
                let service = wharf.service("fault").await;
                let instances = service["instances"].as_array().cloned().unwrap_or_default();
                instances.iter().any(|instance| instance["in_flight"] == 1)
            })
            .await;
            body.send(Frame::data(Bytes::from_static(b"cd")))
                .await
                .expect("it is being sent");
            drop(body);
            let reply = reply.await.expect("it ends");
            assert_eq!(reply.status, 200, "{reply:?}");
            assert_eq!(reply.json()["bytes"], 4, "{reply:?}");
            (wharf.count("fault", "exits").await > exits).then_some(())
        },
    )
    .await;
}

#[tokio::test]
async fn a_body_too_large_to_be_kept_is_not_run_again() {
    let manifest = "[instances]\ncount = 2\n[limits]\nreplay_body = '1KiB'";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    let large = wharf.post("/fault/body-then-trap", vec![7; 4096]).await;
    large.problem(500);
    assert_eq!(wharf.count("fault", "replays").await, 0);

    wharf.wait_healthy("fault", 2).await;
    wharf
        .post("/fault/body-then-trap", vec![7; 512])
        .await
        .problem(500);
    wharf.wait_count("fault", "replays", 2).await;
}

#[tokio::test]
async fn a_storm_of_traps_is_not_made_worse_by_replays() {
    let manifest = "
        [instances]
        count = 4
        [restart]
        max_failures = 1000
        window = '1ms'
        backoff_min = '1ms'
        backoff_max = '1ms'
    ";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    let started = std::time::Instant::now();
    let replies = crate::all_at_once(&wharf.front, "/fault/trap", 200).await;
    let tally = wharf_tests::Tally::of(replies);
    assert!(
        tally.errors.is_empty(),
        "every request is answered: {tally:?}"
    );
    assert_eq!(tally.count(200), 0);
    // 20 % of the requests, a few a second, and what quiet times may have saved up. Without a
    // budget it would be 400.
    let most = 200 / 5 + 50 + 10 * (started.elapsed().as_secs() + 1);
    let replays = wharf.count("fault", "replays").await;
    assert!(replays <= most, "{replays} replays, {most} at most");
}
