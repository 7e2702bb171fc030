//! Requests that end whatever instance gets them.

use wharf_tests::{Load, Wharf, wait_until};

use crate::{all_at_once, counter, fault, fault_p3};

const FOUR: &str = "[instances]\ncount = 4\n[grants]\nkeyvalue = ['counts']\n";

#[tokio::test]
async fn the_third_instance_is_the_last_that_a_request_ends() {
    for component in [fault(), fault_p3()] {
        let wharf = Wharf::with_manifest("fault", component, FOUR).await;
        let first = wharf.post("/fault/late-trap?bytes=10", "same").await;
        first.problem(500);
        wharf.wait_count("fault", "exits", 3).await;
        for _ in 0..5 {
            let again = wharf.post("/fault/late-trap?bytes=10", "same").await;
            let problem = again.problem(500);
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(detail.contains("refused for a while"), "{problem}");
            assert!((1..=60).contains(&again.retry_after()));
        }
        assert_eq!(wharf.count("fault", "exits").await, 3);
        // whatever differs is another request
        for (target, body) in [("/fault/echo", "same"), ("/fault/hello?bytes=10", "same")] {
            assert_eq!(wharf.post(target, body).await.status, 200);
        }
        wharf.wait_healthy("fault", 4).await;

        let held = &wharf.service("fault").await["quarantine"];
        assert_eq!(held.as_array().map(Vec::len), Some(1), "{held}");
        assert_eq!(held[0]["line"], "POST /fault/late-trap");
        assert_eq!(held[0]["kills"], 3);
        assert_eq!(held[0]["refused"], 5);
        let instances = held[0]["instances"].as_array().expect("they are named");
        assert!(
            instances.iter().all(|one| one["reason"] == "trap"),
            "{held}"
        );
        let labels = [r#"service="fault""#];
        assert_eq!(wharf.metric("wharf_quarantined_total", &labels).await, 5);
        wharf
            .wait_log(&["quarantined", "POST /fault/late-trap"])
            .await;
    }
}

#[tokio::test]
async fn a_flood_of_one_poison_request_costs_a_handful_of_instances_and_no_good_request() {
    let wharf = Wharf::with_manifest("fault", fault(), FOUR).await;
    let good = Load::start(4, {
        let front = wharf.front.clone();
        move || {
            let front = front.clone();
            async move { front.try_get("/fault/hello").await }
        }
    });
    good.more(50).await;
    for reply in all_at_once(&wharf.front, "/fault/trap?poison", 200).await {
        reply.expect("it was answered").problem(500);
    }
    good.more(50).await;
    good.stop().await.only(200);
    let exits = wharf.count("fault", "exits").await;
    assert!((3..=12).contains(&exits), "{exits} instances died");
    assert_ne!(wharf.state("fault").await, "broken");
}

#[tokio::test]
async fn a_request_that_usually_succeeds_is_no_poison() {
    // two take turns, so that both trap at the same request, which then is the first of a third
    let wharf = Wharf::with_manifest("fault", fault(), "[instances]\ncount = 2").await;
    for _ in 0..60 {
        assert_eq!(wharf.get("/fault/trap-every?n=7").await.status, 200);
    }
    assert!(wharf.count("fault", "exits").await >= 3, "it did trap");
    let metric = wharf.metric("wharf_quarantined_total", &[r#"service="fault""#]);
    assert_eq!(metric.await, 0);
}

#[tokio::test]
async fn after_a_while_one_may_try_again_and_is_forgiven_if_it_is_answered() {
    let manifest = format!("{FOUR}[failover]\nquarantine = '200ms'");
    let wharf = Wharf::with_manifest("fault", fault(), &manifest).await;
    let target = "/fault/trap-until?bucket=counts&key=healed";
    wharf.get(target).await.problem(500);
    wharf.wait_count("fault", "exits", 3).await;
    assert_eq!(counter(&wharf, "fault", "counts", "healed").await, 0);
    wait_until("one was let through", || async {
        wharf.get(target).await.status == 200
    })
    .await;
    let held = wharf.service("fault").await["quarantine"].clone();
    assert_eq!(held.as_array().map(Vec::len), Some(0), "{held}");
}

#[tokio::test]
async fn an_operator_can_do_without() {
    let manifest = format!("{FOUR}[failover]\nquarantine = 'off'\n[restart]\nmax_failures = 1000");
    let wharf = Wharf::with_manifest("fault", fault(), &manifest).await;
    for _ in 0..3 {
        wharf.get("/fault/trap").await.problem(500);
    }
    wharf.wait_count("fault", "exits", 9).await;
}
