//! An instance that dies dies alone, and the service lives on.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use http::Method;
use wharf_tests::{Load, Wharf, test_guest, wait_until, whole};

use crate::{fault, fault_p3};

/// Exits, and nothing that hides them.
const NO_REPLAY: &str = "
    [instances]
    count = 3
    [failover]
    replay = 'never'
";

#[tokio::test]
async fn a_trap_ends_one_instance_which_is_replaced_while_the_others_work_on() {
    let wharf = Wharf::with_manifest("fault", fault(), NO_REPLAY).await;
    let mut held = wharf.hold("/fault/echo").await;

    wharf.get("/fault/trap").await.problem(500);
    held.exchange("not my business").await;
    held.release().await;

    wharf.wait_healthy("fault", 3).await;
    wharf.wait_count("fault", "exits", 1).await;
    wharf.wait_count("fault", "starts", 4).await;
    assert_eq!(wharf.get("/fault/hello").await.status, 200);
}

#[tokio::test]
async fn an_exit_is_kept_with_all_that_explains_it() {
    let wharf = Wharf::with_manifest("fault", fault(), NO_REPLAY).await;
    for _ in 0..9 {
        wharf.get("/fault/hello").await;
    }
    wharf
        .post("/fault/trap?secret=hunter2", "secret")
        .await
        .problem(500);

    let exits = wharf.wait_exits("fault", "trap", 1).await;
    let exit = &exits[0];
    assert!(
        exit["message"]
            .as_str()
            .is_some_and(|text| text.contains("unreachable")),
        "{exit}"
    );
    let backtrace = exit["backtrace"].as_array().expect("a list").iter();
    let frames: Vec<_> = backtrace.filter_map(|frame| frame.as_str()).collect();
    assert!(
        frames.iter().any(|frame| frame.contains("trap_as_asked")),
        "the guest's function is named: {exit}"
    );
    assert!(exit.to_string().contains("POST /fault/trap"), "{exit}");
    assert!(
        !exit.to_string().contains("hunter2"),
        "a query may hold secrets: {exit}"
    );
    assert!(
        exit["age_seconds"].as_f64().is_some_and(|age| age > 0.0),
        "{exit}"
    );
    assert!(
        exit["served"].as_u64().is_some_and(|served| served >= 2),
        "{exit}"
    );
    assert!(exit["at"].is_number(), "{exit}");
    assert!(!exit["instance"].is_null(), "{exit}");

    let log = wharf.wait_log(&["fault", "trap"]).await;
    assert!(!log.contains("hunter2"));
}

#[tokio::test]
async fn the_last_hundred_exits_are_kept_the_newest_first() {
    let manifest = "
        [failover]
        quarantine = 'off'
        replay = 'never'
        [restart]
        max_failures = 1000
        window = '1s'
        backoff_min = '1ms'
        backoff_max = '1ms'
    ";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    let mut traps = 0;
    while traps < 110 {
        // Useful work in between, so that this isn't taken for a crash loop.
        for _ in 0..5 {
            wharf.get("/fault/hello").await;
        }
        let reply = wharf.get("/fault/trap").await;
        traps += u32::from(reply.status == 500);
    }
    let exits = wharf.exits("fault").await;
    assert_eq!(exits.len(), 100);
    let times: Vec<_> = exits
        .iter()
        .filter_map(|exit| exit["at"].as_f64())
        .collect();
    assert!(
        times.is_sorted_by(|newer, older| newer >= older),
        "{times:?}"
    );
    assert!(wharf.count("fault", "exits").await >= 110);
}

#[tokio::test]
async fn a_crash_loop_opens_the_breaker_until_a_good_file_comes() {
    let manifest = "
        [limits]
        queue_wait = '30s'
        [restart]
        max_failures = 3
        backoff_min = '1ms'
        backoff_max = '10ms'
        cooldown = '1h'
        [failover]
        quarantine = 'off'
    ";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    wait_until("the breaker opened", || async {
        wharf.get("/fault/trap").await;
        wharf.state("fault").await == "broken"
    })
    .await;

    for _ in 0..20 {
        let refused = wharf.get("/fault/hello").await;
        refused.problem(503);
        assert!(refused.retry_after() >= 1);
        assert!(
            refused.took < Duration::from_secs(20),
            "an open breaker answers at once, nobody waits in the queue: {:?}",
            refused.took
        );
    }
    assert_eq!(
        wharf.admin.get("/healthz").await.status,
        200,
        "the server itself is well"
    );

    wharf.deploy("fault", test_guest("hello-one"));
    wharf.wait_deployed("fault", test_guest("hello-one")).await;
    assert_eq!(wharf.get("/fault").await.text(), "one\n");
    wharf.wait_healthy("fault", 2).await;
}

#[tokio::test]
async fn a_broken_service_leaves_the_others_alone() {
    let manifest = "[restart]\nmax_failures = 3\ncooldown = '1h'\n[failover]\nquarantine = 'off'";
    let wharf = Wharf::builder()
        .service("fault", fault())
        .manifest("fault", manifest)
        .service("hello", test_guest("hello-one"))
        .start()
        .await;
    let front = wharf.front.clone();
    let load = Load::start(2, move || {
        let front = front.clone();
        async move { front.try_get("/hello").await }
    });
    wait_until("the breaker opened", || async {
        wharf.get("/fault/trap").await;
        wharf.state("fault").await == "broken"
    })
    .await;
    load.more(20).await;
    load.stop().await.only(200);
}

#[tokio::test]
async fn a_broken_service_recovers_by_itself_once_the_guest_does() {
    let manifest = "
        [grants]
        keyvalue = ['health']
        [restart]
        max_failures = 3
        backoff_min = '1ms'
        backoff_max = '10ms'
        cooldown = '200ms'
        [failover]
        quarantine = 'off'
    ";
    let wharf = Wharf::builder()
        .service("patient", fault())
        .manifest("patient", manifest)
        .service("doctor", fault())
        .manifest("doctor", "[grants]\nkeyvalue = ['health']")
        .start()
        .await;
    let target = "/patient/trap-until?bucket=health&key=pill";
    wait_until("the breaker opened", || async {
        wharf.get(target).await;
        wharf.state("patient").await == "broken"
    })
    .await;

    let pill = "/doctor/kv?op=set&bucket=health&key=pill&value=1";
    assert_eq!(wharf.post(pill, "").await.status, 200);
    wait_until("the patient had recovered", || async {
        wharf.get(target).await.status == 200
    })
    .await;
    wharf.wait_healthy("patient", 2).await;
    for _ in 0..10 {
        assert_eq!(wharf.get(target).await.text(), "healed\n");
    }
}

#[tokio::test]
async fn instances_that_no_longer_start_open_the_breaker_until_they_do() {
    let manifest = "
        [grants]
        keyvalue = ['starts']
        [grants.env]
        BAD_START = 'trap-if-broken'
        [failover]
        quarantine = 'off'
        replay = 'never'
        [restart]
        max_failures = 2
        backoff_min = '1ms'
        backoff_max = '10ms'
        cooldown = '200ms'
    ";
    let wharf = Wharf::builder()
        .service("patient", test_guest("bad-start"))
        .manifest("patient", manifest)
        .service("doctor", fault())
        .manifest("doctor", "[grants]\nkeyvalue = ['starts']")
        .start()
        .await;
    assert_eq!(wharf.get("/patient").await.text(), "started\n");

    wharf
        .post("/doctor/kv?op=set&bucket=starts&key=broken&value=1", "")
        .await;
    wait_until("the breaker opened", || async {
        wharf.get("/patient/trap").await;
        wharf.state("patient").await == "broken"
    })
    .await;
    wharf.get("/patient").await.problem(503);
    assert!(!wharf.exits_by("patient", "start").await.is_empty());

    wharf
        .post("/doctor/kv?op=delete&bucket=starts&key=broken", "")
        .await;
    wharf.wait_healthy("patient", 2).await;
    assert_eq!(wharf.get("/patient").await.text(), "started\n");
}

#[tokio::test]
async fn traps_now_and_then_under_load_are_never_seen() {
    let manifest = "[instances]\ncount = 4\n[limits]\nqueue_wait = '100s'\ntimeout = '100s'";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    // Every 25th request strikes in one named instance of four, so about 1 in 100 traps, and its
    // replay, in another instance, doesn't.
    let struck = Arc::new(Mutex::new((0_u64, String::new())));
    let front = wharf.front.clone();
    let load = Load::start(8, move || {
        let (front, struck) = (front.clone(), Arc::clone(&struck));
        async move {
            let target = {
                let mut struck = struck.lock().expect("no test panics with it");
                struck.0 += 1;
                let only = if struck.0.is_multiple_of(25) {
                    struck.1.as_str()
                } else {
                    "none"
                };
                format!("/fault/trap?only={only}")
            };
            let reply = front.try_get(&target).await?;
            struck.lock().expect("no test panics with it").1 = reply.instance();
            Ok(reply)
        }
    });
    load.more(1000).await;
    wait_until("some instances had trapped", || async {
        wharf.count("fault", "exits").await >= 8
    })
    .await;
    assert_ne!(
        wharf.state("fault").await,
        "broken",
        "traps now and then are no crash loop"
    );
    load.stop().await.only(200);

    wharf.wait_healthy("fault", 4).await;
    assert!(wharf.count("fault", "replays").await >= 8);
}

#[tokio::test]
async fn a_guest_that_hoards_memory_dies_of_its_limit_alone() {
    let manifest = "
        [instances]
        count = 2
        [limits]
        memory = '32MiB'
        [failover]
        replay = 'never'
    ";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    let held = wharf.hold("/fault/echo").await;
    wharf.get("/fault/hoard").await.problem(500);
    held.release().await;

    wharf.wait_exits("fault", "memory", 1).await;
    wharf.wait_count("fault", "exits", 1).await;
    wharf.wait_healthy("fault", 2).await;
    assert_eq!(wharf.get("/fault/hello").await.status, 200);
}

#[tokio::test]
async fn a_guest_within_its_memory_limit_is_left_alone() {
    let manifest = "[limits]\nmemory = '64MiB'";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    let reply = wharf.get("/fault/hoard?bytes=8388608").await;
    assert_eq!(reply.text(), "hoarded\n");
    let service = wharf.service("fault").await;
    let instances = service["instances"].as_array().expect("a list").iter();
    let most = instances
        .filter_map(|instance| instance["memory_bytes"].as_u64())
        .max();
    assert!(most > Some(8 << 20), "what it holds is shown: {service}");
}

#[tokio::test]
async fn an_instance_is_retired_after_its_number_of_requests() {
    let manifest = "[instances]\ncount = 2\nmax_requests = 5";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    for _ in 0..40 {
        let reply = wharf.get("/fault/count").await;
        assert_eq!(reply.status, 200);
        assert!(reply.json()["served"].as_u64() <= Some(5), "{reply:?}");
    }
    let retired = wharf.exits_by("fault", "retired").await;
    assert!(retired.len() >= 6, "{retired:?}");
    assert_ne!(wharf.state("fault").await, "broken");
}

#[tokio::test]
async fn an_instance_that_grew_too_large_is_retired() {
    let manifest = "
        [instances]
        count = 2
        max_memory_before_retire = '16MiB'
        [limits]
        memory = '128MiB'
    ";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    let grown = wharf.get("/fault/hoard?bytes=33554432").await;
    assert_eq!(grown.status, 200);
    wait_until("the large instance was retired", || async {
        wharf.exits_by("fault", "retired").await.len() == 1
    })
    .await;
    for _ in 0..10 {
        assert_ne!(wharf.get("/fault/count").await.instance(), grown.instance());
    }
}

#[tokio::test]
async fn a_guest_that_fills_its_stack_dies_alone() {
    let wharf = Wharf::with_manifest("fault", fault(), NO_REPLAY).await;
    wharf.get("/fault/overflow").await.problem(500);
    wharf.wait_exits("fault", "trap", 1).await;
    wharf.wait_healthy("fault", 3).await;
    assert_eq!(wharf.get("/fault/hello").await.status, 200);
}

#[tokio::test]
async fn a_guest_that_exits_like_a_command_ends_its_instance_alone() {
    let wharf = Wharf::with_manifest("fault", fault(), NO_REPLAY).await;
    for code in [0, 1] {
        wharf
            .get(&format!("/fault/exit?code={code}"))
            .await
            .problem(500);
        wharf.wait_healthy("fault", 3).await;
    }
    assert_eq!(wharf.get("/fault/hello").await.status, 200);
}

#[tokio::test]
async fn a_guest_that_gives_no_response_is_answered_for() {
    let wharf = Wharf::with_manifest("fault", fault(), NO_REPLAY).await;
    wharf.get("/fault/no-response").await.problem(500);
    wharf.wait_healthy("fault", 3).await;
    assert_eq!(wharf.get("/fault/hello").await.status, 200);
}

#[tokio::test]
async fn a_guest_of_0_3_that_gives_an_error_is_answered_for() {
    let wharf = Wharf::with_manifest("fault", fault_p3(), NO_REPLAY).await;
    wharf.get("/fault/fail").await.problem(500);
    wharf.wait_healthy("fault", 3).await;
    assert_eq!(wharf.get("/fault/hello").await.status, 200);
}

#[tokio::test]
async fn an_instance_that_traps_at_every_twentieth_request_is_never_noticed() {
    let wharf = Wharf::with_manifest("fault", fault(), "[instances]\ncount = 2").await;
    for number in 0..100 {
        let reply = wharf.get("/fault/trap-every?n=20").await;
        assert_eq!(reply.status, 200, "request {number}: {reply:?}");
    }
    assert!(wharf.count("fault", "exits").await >= 4);
    wharf.wait_healthy("fault", 2).await;
}

#[tokio::test]
async fn a_trap_in_one_request_of_0_3_doesnt_cost_its_neighbours_their_answers() {
    let manifest = "
        [instances]
        count = 2
        concurrency = 8
        [grants]
        keyvalue = ['gates']
        [limits]
        timeout = '100s'
    ";
    let wharf = Wharf::builder()
        .service("fault", fault_p3())
        .manifest("fault", manifest)
        .service("porter", fault())
        .manifest("porter", "[grants]\nkeyvalue = ['gates']")
        .start()
        .await;
    let doomed = wharf.get("/fault/count").await.instance();
    let front = wharf.front.clone();
    let neighbours = tokio::spawn(async move {
        crate::all_at_once(&front, "/fault/gate?bucket=gates&key=open", 6).await
    });
    wharf.wait_in_flight("fault", 6).await;
    // it may wait for the others once it is run again, for requests are kept apart then
    let target = format!("/fault/trap?only={doomed}");
    let mut traps = Vec::new();
    wait_until("the instance with half of them had trapped", || {
        let front = wharf.front.clone();
        let target = target.clone();
        traps.push(tokio::spawn(async move { front.try_get(&target).await }));
        async { wharf.count("fault", "exits").await >= 1 }
    })
    .await;
    wharf
        .post("/porter/kv?op=set&bucket=gates&key=open&value=1", "")
        .await;
    let neighbours = neighbours.await.expect("they end");
    wharf_tests::Tally::of(neighbours).only(200);
    for trap in traps {
        let reply = trap.await.expect("it ends").expect("it is answered");
        assert_eq!(reply.status, 200, "this one is replayed too: {reply:?}");
    }
}

#[tokio::test]
async fn an_operator_can_kill_an_instance_and_callers_notice_nothing() {
    let wharf = Wharf::with_manifest("fault", fault(), "[instances]\ncount = 3").await;
    let front = wharf.front.clone();
    let load = Load::start(4, move || {
        let front = front.clone();
        async move { front.try_get("/fault/hello").await }
    });
    for killed in 1..=5 {
        let service = wharf.service("fault").await;
        let id = service["instances"][0]["id"]
            .as_str()
            .expect("a name")
            .to_owned();
        let target = format!("/api/services/fault/instances/{id}");
        let request = wharf.admin.request(Method::DELETE, &target, whole(""));
        assert_eq!(wharf.admin.client.send(request).await.status, 204);
        wait_until("it was dead", || async {
            wharf.exits_by("fault", "killed").await.len() == killed
        })
        .await;
        load.more(10).await;
    }
    load.stop().await.only(200);
    wharf.wait_healthy("fault", 3).await;
    let request = wharf.admin.request(
        Method::DELETE,
        "/api/services/fault/instances/9999",
        whole(""),
    );
    assert_eq!(wharf.admin.client.send(request).await.status, 404);
}
