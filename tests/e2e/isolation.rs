//! `isolation = "request"`: nothing is left of one request when the next one comes.

use std::collections::BTreeSet;

use wharf_tests::{Load, Tally, Wharf};

use crate::{all_at_once, fault, fault_p3};

const FRESH: &str = "isolation = 'request'\n[instances]\ncount = 2";

#[tokio::test]
async fn each_request_has_a_sandbox_that_no_other_had() {
    for component in [fault(), fault_p3()] {
        let wharf = Wharf::with_manifest("fault", component, FRESH).await;
        let mut sandboxes = BTreeSet::new();
        for _ in 0..20 {
            let reply = wharf.get("/fault/count").await;
            assert_eq!(reply.json()["served"], 1, "it had served before");
            sandboxes.insert(reply.instance());
        }
        assert_eq!(sandboxes.len(), 20);
        // the places they ran in are those of the start
        assert_eq!(wharf.count("fault", "starts").await, 2);
    }
}

#[tokio::test]
async fn requests_at_once_share_nothing_and_wait_for_their_turn() {
    for component in [fault(), fault_p3()] {
        let wharf = Wharf::with_manifest("fault", component, FRESH).await;
        let tally = Tally::of(all_at_once(&wharf.front, "/fault/count", 50).await);
        tally.only(200);
        assert_eq!(tally.instances.len(), 50, "{tally:#?}");
    }
}

#[tokio::test]
async fn what_a_guest_hoards_is_gone_with_its_request() {
    let manifest = format!("{FRESH}\n[limits]\nmemory = '32MiB'");
    let wharf = Wharf::with_manifest("fault", fault(), &manifest).await;
    for _ in 0..10 {
        let reply = wharf.get("/fault/hoard?bytes=20000000").await;
        assert_eq!(reply.text(), "hoarded\n");
    }
    assert_eq!(wharf.count("fault", "exits").await, 0);
}

#[tokio::test]
async fn a_trap_costs_its_sandbox_and_no_other() {
    for component in [fault(), fault_p3()] {
        let wharf = Wharf::with_manifest("fault", component, FRESH).await;
        wharf.get("/fault/trap").await.problem(500);
        assert_eq!(wharf.count("fault", "replays").await, 2);
        wharf.wait_healthy("fault", 2).await;
        assert_eq!(wharf.get("/fault/count").await.json()["served"], 1);
    }
}

#[tokio::test]
async fn a_swap_under_load_loses_nothing() {
    let wharf = Wharf::with_manifest("fault", fault(), FRESH).await;
    let front = wharf.front.clone();
    let load = Load::start(8, move || {
        let front = front.clone();
        async move { front.try_get("/fault/count").await }
    });
    load.more(100).await;
    wharf.deploy("fault", fault_p3());
    wharf.wait_deployed("fault", fault_p3()).await;
    load.more(100).await;
    load.stop().await.only(200);
}
