//! Clients that go away, whatever the guest is just doing for them. Each time the service comes back
//! to what its manifest says, and nothing is done for those who have gone before it was begun.

use bytes::Bytes;
use futures::future::join_all;
use http::Method;
use hyper::body::Frame;
use tokio::sync::mpsc;
use wharf_tests::seen::{read, same};
use wharf_tests::{Target, Wharf, streamed, wait_until, whole};

use crate::variants::{self, VARIANTS, Variant, fronts, marks, open_gate, pattern, settled};

/// One place, so that it matters whether it comes back; and a deadline that doesn't help.
const ONE_PLACE: &str = "
    [instances]
    count = 1
    concurrency = 1
    [limits]
    timeout = '1h'
    queue_wait = '100s'
";

/// Sends a request that is given up once the guest has marked that it has come to `key`.
async fn leave_at(wharf: &Wharf, front: &Target, target: String, key: &str) {
    let front = front.fresh();
    let leaving = tokio::spawn(async move { front.see_get(&target).await });
    wait_until(&format!("the guest came to {key}"), || async {
        marks(wharf, key).await == 1
    })
    .await;
    leaving.abort();
}

/// Reads so many bytes of a response and then goes away.
async fn read_and_leave(front: &Target, target: &str, count: usize) {
    let front = front.fresh();
    let request = front.request(Method::GET, target, whole(""));
    let mut response = front.client.start(request).await.expect("the head comes");
    assert_eq!(response.status(), 200);
    let seen = read(&mut response, count).await;
    same(&seen, &pattern(seen.len()));
}

/// A name for what happens once in a test.
fn once(variant: &Variant, what: &str, version: usize) -> String {
    format!("{}-{what}-{version}", variant.name)
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_is_not_served() {
    let wharf = variants::all(ONE_PLACE).await;
    for variant in VARIANTS {
        for (version, front) in fronts(&wharf).into_iter().enumerate() {
            let gate = once(variant, "gate", version);
            let ran = once(variant, "ran", version);
            let holding = {
                let (front, target) = (
                    front.clone(),
                    variant.steps(&format!("gate:{gate},head,finish")),
                );
                tokio::spawn(async move { front.see_get(&target).await })
            };
            wharf.wait_in_flight(variant.name, 1).await;
            let mut queued = Vec::new();
            for _ in 0..5 {
                let front = front.fresh();
                let target = variant.steps(&format!("mark:{ran},head,finish"));
                queued.push(tokio::spawn(async move { front.see_get(&target).await }));
            }
            wharf.wait_queued(variant.name, 5).await;
            // four leave, and one stays
            for leaving in queued.drain(1..) {
                leaving.abort();
            }
            wharf.wait_queued(variant.name, 1).await;
            open_gate(&wharf, &gate).await;
            assert_eq!(holding.await.expect("it ends").whole().status, 200);
            let stayed = queued.pop().expect("one stayed");
            assert_eq!(stayed.await.expect("it ends").whole().status, 200);
            settled(&wharf, variant, 1).await;
            assert_eq!(marks(&wharf, &ran).await, 1, "only who stayed was served");
        }
        assert_eq!(wharf.count(variant.name, "exits").await, 0);
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_guest_before_its_answer_leaves_no_place_taken() {
    let wharf = variants::all(ONE_PLACE).await;
    // a guest without a client is given some time: all services at once
    join_all(VARIANTS.iter().map(async |variant| {
        for (version, front) in fronts(&wharf).into_iter().enumerate() {
            for work in ["spin", "wait", "busy-gate:never", "gate:never", "make,wait"] {
                let here = once(variant, &work.replace([':', ','], "-"), version);
                let target = variant.steps(&format!("mark:{here},{work}"));
                leave_at(&wharf, &front, target, &here).await;
                settled(&wharf, variant, 1).await;
                assert_eq!(marks(&wharf, &here).await, 1, "it was not run again");
            }
        }
        assert_eq!(wharf.count(variant.name, "replays").await, 0);
    }))
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_as_its_answer_comes_leaves_no_place_taken() {
    let wharf = variants::all(ONE_PLACE).await;
    for variant in VARIANTS {
        for (version, front) in fronts(&wharf).into_iter().enumerate() {
            for (number, answer) in [
                "head,write:1000,finish",
                "length:1000,head,write:1000,finish",
                "head,write:3000000,finish",
                "announce,head,trailers",
                "error",
            ]
            .into_iter()
            .enumerate()
            {
                let here = once(variant, &format!("here-{number}"), version);
                let target = variant.steps(&format!("mark:{here},{answer}"));
                leave_at(&wharf, &front, target, &here).await;
                settled(&wharf, variant, 1).await;
            }
        }
        assert_eq!(wharf.count(variant.name, "replays").await, 0);
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_body_leaves_no_place_taken() {
    let wharf = variants::all(ONE_PLACE).await;
    // a guest without a client is given some time: all services at once
    join_all(VARIANTS.iter().map(async |variant| {
        for front in fronts(&wharf) {
            for (steps, count) in [
                ("head,wait", 0),
                ("head,spin", 0),
                ("head,write:1000,wait", 1000),
                ("head,write:1000,spin", 1000),
                ("length:2000,head,write:1000,wait", 1000),
                ("head,endless", 0),
                ("head,endless", 1_000_000),
                ("head,write:100,sleep:20,endless", 100),
            ] {
                if variant.generation == 3 && steps == "head,spin" {
                    // its head may be on its way only when it has come to rest
                    continue;
                }
                read_and_leave(&front, &variant.steps(steps), count).await;
                settled(&wharf, variant, 1).await;
            }
        }
        assert_eq!(wharf.count(variant.name, "replays").await, 0);
    }))
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_with_its_whole_answer_takes_nothing_along() {
    let wharf = variants::all(ONE_PLACE).await;
    for variant in VARIANTS {
        for (version, front) in fronts(&wharf).into_iter().enumerate() {
            let (gate, done) = (
                once(variant, "gate", version),
                once(variant, "done", version),
            );
            let steps = format!("head,write:1000,finish,gate:{gate},mark:{done}");
            // on a connection of its own, which is closed with the last byte
            let reply = front.see_get(&variant.steps(&steps)).await.whole();
            same(&reply.body, &pattern(1000));
            open_gate(&wharf, &gate).await;
            wait_until("the guest came to its end", || async {
                marks(&wharf, &done).await == 1
            })
            .await;
            settled(&wharf, variant, 1).await;
        }
        assert_eq!(wharf.count(variant.name, "exits").await, 0);
    }
}

#[tokio::test]
async fn a_client_that_leaves_its_own_body_unfinished_leaves_no_place_taken() {
    let wharf = variants::all(ONE_PLACE).await;
    for variant in VARIANTS {
        for (version, front) in fronts(&wharf).into_iter().enumerate() {
            let here = once(variant, "here", version);
            let target = variant.steps(&format!("read:2,mark:{here},read-all,head,finish"));
            let (body, frames) = mpsc::channel(1);
            let front = front.fresh();
            let request = front.request(Method::POST, &target, streamed(frames));
            let leaving = tokio::spawn(async move { front.see(request).await });
            body.send(Frame::data(Bytes::from_static(b"half of it")))
                .await
                .expect("it is being sent");
            wait_until("the guest had read something", || async {
                marks(&wharf, &here).await == 1
            })
            .await;
            leaving.abort();
            settled(&wharf, variant, 1).await;
        }
        assert_ne!(wharf.state(variant.name).await, "broken");
    }
}

#[tokio::test]
async fn a_head_of_a_body_that_never_ends_leaves_no_place_taken() {
    let wharf = variants::all(ONE_PLACE).await;
    // a guest without a client is given some time: all services at once
    join_all(VARIANTS.iter().map(async |variant| {
        for front in fronts(&wharf) {
            for steps in ["head,endless", "head,write:10,wait"] {
                let request = front.request(Method::HEAD, &variant.steps(steps), whole(""));
                let reply = front.see(request).await.whole();
                assert_eq!(reply.status, 200, "{reply:?}");
                settled(&wharf, variant, 1).await;
            }
        }
    }))
    .await;
}
