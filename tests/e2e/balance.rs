//! Several instances per service, and who gets the next request.

use std::collections::BTreeMap;

use wharf_tests::{Held, Load, Wharf};

use crate::{all_at_once, fault, fault_p3};

#[tokio::test]
async fn a_service_has_at_least_two_instances_by_default() {
    let wharf = Wharf::with("fault", fault()).await;
    let service = wharf.service("fault").await;
    let instances = service["instances"].as_array().expect("a list");
    assert!(instances.len() >= 2, "{service}");
}

#[tokio::test]
async fn requests_that_come_one_by_one_rotate_over_all_instances() {
    let wharf = Wharf::with_manifest("fault", fault(), "[instances]\ncount = 4").await;
    let mut shares = BTreeMap::<String, u32>::new();
    for _ in 0..40 {
        let reply = wharf.get("/fault/count").await;
        *shares.entry(reply.instance()).or_default() += 1;
    }
    assert_eq!(shares.len(), 4, "every instance gets a share: {shares:?}");
    assert!(
        shares.values().all(|share| *share >= 5),
        "the shares are about even: {shares:?}"
    );
}

#[tokio::test]
async fn requests_at_once_run_in_different_instances() {
    let wharf = Wharf::with_manifest("fault", fault(), "[instances]\ncount = 3").await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(wharf.hold("/fault/echo").await);
    }
    let mut instances: Vec<_> = held.iter().map(Held::instance).collect();
    instances.sort();
    instances.dedup();
    assert_eq!(instances.len(), 3);
    for request in held {
        request.release().await;
    }
}

/// Later on it counts, too, how fast an instance was, and that is the machine's.
#[tokio::test]
async fn the_second_request_goes_where_nothing_runs_yet() {
    let manifest = "[instances]\ncount = 2\nconcurrency = 8";
    let wharf = Wharf::with_manifest("fault", fault_p3(), manifest).await;
    let first = wharf.hold("/fault/echo").await;
    let second = wharf.hold("/fault/echo").await;
    assert_ne!(first.instance(), second.instance());
    for request in [first, second] {
        request.release().await;
    }
}

#[tokio::test]
async fn an_instance_of_0_2_runs_one_request_at_a_time_and_others_wait() {
    let wharf = Wharf::with_manifest("fault", fault(), "[instances]\ncount = 1").await;
    let held = wharf.hold("/fault/echo").await;
    let front = wharf.front.clone();
    let waiting = tokio::spawn(async move { front.get("/fault/hello").await });
    wharf.wait_queued("fault", 1).await;
    assert!(!waiting.is_finished());

    held.release().await;
    assert_eq!(waiting.await.expect("it ends").status, 200);
}

#[tokio::test]
async fn an_instance_of_0_3_runs_several_requests_at_once() {
    let wharf = Wharf::with_manifest("fault", fault_p3(), "[instances]\ncount = 1").await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(wharf.hold("/fault/echo").await);
    }
    let instance = held[0].instance();
    assert!(held.iter().all(|request| request.instance() == instance));
    for mut request in held {
        request.exchange("still there").await;
        request.release().await;
    }
}

#[tokio::test]
async fn concurrency_bounds_what_runs_in_an_instance_of_0_3() {
    let manifest = "[instances]\ncount = 1\nconcurrency = 2";
    let wharf = Wharf::with_manifest("fault", fault_p3(), manifest).await;
    let first = wharf.hold("/fault/echo").await;
    let second = wharf.hold("/fault/echo").await;
    let front = wharf.front.clone();
    let third = tokio::spawn(async move { front.get("/fault/hello").await });
    wharf.wait_queued("fault", 1).await;

    first.release().await;
    assert_eq!(third.await.expect("it ends").status, 200);
    second.release().await;
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_says_when_to_come_back() {
    let manifest = "
        [instances]
        count = 1
        [limits]
        queue = 1
        queue_wait = '100s'
        timeout = '100s'
    ";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    let held = wharf.hold("/fault/echo").await;
    let front = wharf.front.clone();
    let waiting = tokio::spawn(async move { front.get("/fault/hello").await });
    wharf.wait_queued("fault", 1).await;

    let refused = wharf.get("/fault/hello").await;
    refused.problem(503);
    refused.retry_after();
    assert!(
        !waiting.is_finished(),
        "the refusal didn't wait for a place"
    );
    assert_eq!(wharf.count("fault", "sheds").await, 1);

    held.release().await;
    assert_eq!(
        waiting.await.expect("it ends").status,
        200,
        "who had a place is served"
    );
    assert_eq!(wharf.get("/fault/hello").await.status, 200);
}

#[tokio::test]
async fn who_waited_too_long_is_refused_and_told_when_to_come_back() {
    let manifest = "[instances]\ncount = 1\n[limits]\nqueue_wait = '200ms'";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    let held = wharf.hold("/fault/echo").await;

    let refused = wharf.get("/fault/hello").await;
    refused.problem(503);
    refused.retry_after();
    assert!(
        refused.took.as_millis() >= 200,
        "it waited its time: {:?}",
        refused.took
    );
    held.release().await;
    assert_eq!(wharf.get("/fault/hello").await.status, 200);
}

#[tokio::test]
async fn a_burst_larger_than_the_pool_is_served_whole() {
    let manifest = "[instances]\ncount = 3\n[limits]\nqueue_wait = '100s'\ntimeout = '100s'";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    let replies = all_at_once(&wharf.front, "/fault/sleep?ms=5", 100).await;
    wharf_tests::Tally::of(replies).only(200);
}

#[tokio::test]
async fn under_steady_load_no_equal_instance_has_much_more_to_do_than_another() {
    for (component, concurrency) in [(fault(), 1), (fault_p3(), 8)] {
        let manifest = format!("[instances]\ncount = 4\nconcurrency = {concurrency}");
        let wharf = Wharf::with_manifest("fault", component, &manifest).await;
        let load = Load::start(8, {
            let front = wharf.front.clone();
            move || {
                let front = front.clone();
                async move { front.try_get("/fault/sleep?ms=5").await }
            }
        });
        load.more(1500).await;
        let tally = load.stop().await;
        tally.only(200);
        let served: Vec<_> = tally.instances.values().copied().collect();
        assert_eq!(served.len(), 4, "{served:?}");
        let (idlest, busiest) = (served.iter().min(), served.iter().max());
        let (idlest, busiest) = (*idlest.expect("four"), *busiest.expect("four"));
        assert!(busiest * 5 <= idlest * 6, "{served:?}");
    }
}
