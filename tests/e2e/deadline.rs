//! One deadline per request, which holds whatever the guest or the client does.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use hyper::body::Frame;
use tokio::sync::mpsc;
use wharf_tests::{Wharf, streamed, test_guest, wait_until, whole};

use crate::{fault, fault_p3};

const SHORT: &str = "[limits]\ntimeout = '500ms'";

/// Far beyond any deadline here, and far below the guest's own idea of an end.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_spinning_guest_is_ended_at_its_deadline_and_replaced() {
    for component in [fault(), fault_p3()] {
        let wharf = Wharf::with_manifest("fault", component, SHORT).await;
        let late = wharf.get("/fault/spin").await;
        late.problem(504);
        assert!(
            late.took >= Duration::from_millis(500),
            "not before its time: {:?}",
            late.took
        );
        assert!(late.took < SOON, "{:?}", late.took);

        wharf.wait_healthy("fault", 2).await;
        wharf.wait_exits("fault", "deadline", 1).await;
        assert_eq!(
            wharf.count("fault", "replays").await,
            0,
            "there is no time for another try"
        );
        assert_eq!(wharf.get("/fault/hello").await.status, 200);
    }
}

#[tokio::test]
async fn spinning_guests_starve_nobody_even_if_there_are_more_than_processors() {
    let processors = std::thread::available_parallelism()
        .expect("it is known")
        .get();
    let spinners = 2 * processors;
    let manifest = format!("[instances]\ncount = {spinners}\n[limits]\ntimeout = '1h'");
    let wharf = Wharf::builder()
        .service("fault", fault())
        .manifest("fault", &manifest)
        .service("hello", test_guest("hello-one"))
        .start()
        .await;
    let mut spinning = Vec::new();
    for _ in 0..spinners {
        let front = wharf.front.clone();
        spinning.push(tokio::spawn(
            async move { front.try_get("/fault/spin").await },
        ));
    }
    wharf.wait_in_flight("fault", spinners as u64).await;

    for _ in 0..20 {
        assert_eq!(wharf.get("/hello").await.text(), "one\n");
    }
    assert!(spinning.iter().all(|request| !request.is_finished()));
    for request in spinning {
        request.abort();
    }
}

#[tokio::test]
async fn a_deadline_covers_a_host_call_that_takes_too_long() {
    for component in [fault(), fault_p3()] {
        let wharf = Wharf::with_manifest("fault", component, SHORT).await;
        let late = wharf.get("/fault/sleep?ms=3600000").await;
        late.problem(504);
        assert!(late.took < SOON, "{:?}", late.took);
        wharf.wait_healthy("fault", 2).await;
        assert_eq!(wharf.get("/fault/hello").await.status, 200);
    }
}

#[tokio::test]
async fn a_deadline_covers_the_body_of_the_response() {
    for component in [fault(), fault_p3()] {
        let wharf = Wharf::with_manifest("fault", component, SHORT).await;
        let target = "/fault/slow-body?chunks=1000000&ms=10";
        for front in [wharf.front.clone(), wharf.front.http2()] {
            let reply = front.try_get(target).await;
            assert!(
                reply.is_err(),
                "it can't have ended in good order: {reply:?}"
            );
        }
        wharf.wait_healthy("fault", 2).await;
        assert_eq!(wharf.get("/fault/hello").await.status, 200);
    }
}

#[tokio::test]
async fn a_deadline_covers_a_request_body_that_never_ends() {
    for component in [fault(), fault_p3()] {
        let wharf = Wharf::with_manifest("fault", component, SHORT).await;
        let (body, frames) = mpsc::channel(1);
        body.send(Frame::data(Bytes::from_static(b"and then")))
            .await
            .expect("it takes one");
        let request = wharf
            .front
            .request(Method::POST, "/fault/sum", streamed(frames));
        let late = wharf.front.client.send(request).await;
        late.problem(504);
        drop(body);
        wharf.wait_healthy("fault", 2).await;
        assert_eq!(wharf.get("/fault/hello").await.status, 200);
    }
}

#[tokio::test]
async fn a_deadline_holds_while_the_queue_is_all_a_request_sees() {
    let manifest = "[instances]\ncount = 1\n[limits]\ntimeout = '1s'\nqueue_wait = '1s'";
    let wharf = Wharf::builder()
        .service("fault", fault())
        .manifest("fault", manifest)
        .start()
        .await;
    let replies = crate::all_at_once(&wharf.front, "/fault/spin", 6).await;
    for reply in replies {
        let reply = reply.expect("every request is answered");
        let status = reply.status.as_u16();
        assert!(status == 504 || status == 503, "{reply:?}");
        reply.problem(status);
        assert!(reply.took < SOON, "{:?}", reply.took);
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_leaves_no_instance_busy() {
    let manifest = "
        [instances]
        count = 1
        concurrency = 1
        [limits]
        timeout = '1h'
        queue_wait = '100s'
    ";
    for component in [fault(), fault_p3()] {
        let wharf = Wharf::with_manifest("fault", component, manifest).await;
        let target = "/fault/slow-body?chunks=1000000&ms=10";
        let request = wharf.front.request(Method::GET, target, whole(""));
        let reading = wharf.front.client.start(request).await;
        let reading = reading.expect("it is answered");
        wharf.wait_in_flight("fault", 1).await;
        drop(reading);
        assert_eq!(wharf.get("/fault/hello").await.status, 200);
    }
}

#[tokio::test]
async fn a_client_that_left_before_its_answer_costs_an_instance_no_more_than_the_deadline() {
    let manifest = "
        [instances]
        count = 1
        concurrency = 1
        [limits]
        timeout = '2s'
    ";
    for component in [fault(), fault_p3()] {
        let wharf = Wharf::with_manifest("fault", component, manifest).await;
        let front = wharf.front.clone();
        let leaving = tokio::spawn(async move { front.try_get("/fault/sleep?ms=3600000").await });
        wharf.wait_in_flight("fault", 1).await;
        leaving.abort();
        wait_until("others were served again", || async {
            // one that waited for its place until its own deadline may be cut off
            let answer = wharf.front.try_get("/fault/hello").await;
            answer.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }
}

#[tokio::test]
async fn a_guest_that_spins_while_it_starts_is_refused() {
    let manifest =
        "[limits]\nstart = '500ms'\n[grants]\nkeyvalue = ['b']\n[grants.env]\nBAD_START = 'spin'";
    let wharf = Wharf::with("hello", test_guest("hello-one")).await;
    wharf.rename_in("hello.toml", manifest.as_bytes());
    wharf.deploy("hello", test_guest("bad-start"));
    let why = wharf.wait_refused("hello").await;
    assert!(why.contains("start"), "{why}");
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
    wait_until("the server was still ready", || async {
        wharf.admin.get("/readyz").await.status == 200
    })
    .await;
}
