//! One bad instance, or too much to do, and what callers notice of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wharf_tests::{Load, Tally, Wharf, wait_until};

use crate::{all_at_once, fault, fault_p3};

#[tokio::test]
async fn an_instance_that_keeps_failing_is_put_out_and_replaced() {
    let wharf = Wharf::with_manifest("fault", fault(), "[instances]\ncount = 3").await;
    let bad = wharf.get("/fault/count").await.instance();
    let target = format!("/fault/status-in?code=500&only={bad}");
    wait_until("the bad one was put out", || async {
        for _ in 0..10 {
            wharf.get(&target).await;
        }
        wharf.exits_by("fault", "ejected").await.len() == 1
    })
    .await;
    let exits = wharf.exits_by("fault", "ejected").await;
    let message = exits[0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("failed"), "{message}");
    wharf.wait_healthy("fault", 3).await;
    for _ in 0..20 {
        let reply = wharf.get(&target).await;
        assert_eq!(reply.status, 200, "the bad one is gone: {reply:?}");
    }
    assert_eq!(wharf.count("fault", "exits").await, 1);
}

#[tokio::test]
async fn where_all_fail_nobody_is_put_out() {
    let wharf = Wharf::with_manifest("fault", fault(), "[instances]\ncount = 3").await;
    for _ in 0..200 {
        assert_eq!(wharf.get("/fault/status?code=500").await.status, 500);
    }
    assert_eq!(wharf.count("fault", "exits").await, 0);
}

#[tokio::test]
async fn a_slow_instance_gets_little_to_do() {
    let wharf = Wharf::with_manifest("fault", fault(), "[instances]\ncount = 4").await;
    let slow = wharf.get("/fault/count").await.instance();
    let target = format!("/fault/slow-in?ms=400&only={slow}");
    // until it is known
    for _ in 0..4 {
        all_at_once(&wharf.front, &target, 100).await;
    }
    let mut served: HashMap<String, usize> = HashMap::new();
    for _ in 0..80 {
        for reply in all_at_once(&wharf.front, &target, 2).await {
            let reply = reply.expect("it was answered");
            *served.entry(reply.instance()).or_default() += 1;
        }
    }
    let slow = served.get(&slow).copied().unwrap_or_default();
    assert!(
        slow <= 8,
        "of 160, with 40 for each as its share: {served:?}"
    );
}

#[tokio::test]
async fn after_a_trap_in_company_requests_are_kept_apart_until_that_is_earned_back() {
    let manifest = "[instances]\ncount = 1\nconcurrency = 4";
    let wharf = Wharf::with_manifest("fault", fault_p3(), manifest).await;
    assert_eq!(wharf.service("fault").await["concurrency"], 4);
    let innocent: Vec<_> = (0..3)
        .map(|_| {
            let front = wharf.front.clone();
            tokio::spawn(async move { front.try_get("/fault/sleep?ms=700").await })
        })
        .collect();
    wharf.wait_in_flight("fault", 3).await;
    wharf.get("/fault/trap").await.problem(500);
    for request in innocent {
        let reply = request
            .await
            .expect("it did not panic")
            .expect("it was answered");
        assert_eq!(
            reply.status, 200,
            "an innocent one was run again: {reply:?}"
        );
    }
    assert_eq!(wharf.service("fault").await["concurrency"], 1);
    wait_until("concurrency was earned back", || async {
        for _ in 0..50 {
            assert_eq!(wharf.get("/fault/hello").await.status, 200);
        }
        wharf.service("fault").await["concurrency"] == 4
    })
    .await;
}

#[tokio::test]
async fn what_is_admitted_under_a_flood_is_answered_in_time() {
    let manifest = "
        [instances]
        count = 2
        [limits]
        timeout = '2s'
        queue_wait = '2s'
        queue = 10000
    ";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    // how long one takes has to be known first
    for _ in 0..20 {
        assert_eq!(wharf.get("/fault/sleep?ms=100").await.status, 200);
    }
    let busy = Load::start(100, {
        let front = wharf.front.clone();
        move || {
            let front = front.clone();
            async move { front.try_get("/fault/sleep?ms=100").await }
        }
    });
    busy.more(300).await;
    let tally: Tally = busy.stop().await;
    // a hundred that come again at once are five times what two instances answer in two seconds
    let (fine, shed, late) = (tally.count(200), tally.count(503), tally.count(504));
    assert!(shed > 0, "{tally:?}");
    assert!(
        fine > 0 && late * 5 <= fine,
        "{fine} in time, {late} late, {shed} shed"
    );
}

#[tokio::test]
async fn a_flooded_service_leaves_its_neighbour_its_own_instances() {
    let manifest = "[instances]\ncount = 1\n[limits]\nqueue = 5";
    let wharf = Wharf::builder()
        .service("flooded", fault())
        .manifest("flooded", manifest)
        .service("quiet", fault())
        .start()
        .await;
    let sent = Arc::new(AtomicUsize::new(0));
    let flood = Load::start(20, {
        let (front, sent) = (wharf.front.clone(), Arc::clone(&sent));
        move || {
            let front = front.clone();
            sent.fetch_add(1, Ordering::Relaxed);
            async move { front.try_get("/flooded/sleep?ms=50").await }
        }
    });
    flood.more(40).await;
    for _ in 0..50 {
        assert_eq!(wharf.get("/quiet/hello").await.status, 200);
    }
    flood.stop().await;
}
