//! What an operator sees.

use wharf_tests::{Wharf, test_guest, wait_until};

use crate::fault;

#[tokio::test]
async fn health_and_readiness_are_told() {
    let wharf = Wharf::builder().start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(wharf.admin.get(path).await.status, 200, "{path}");
    }
    assert_eq!(wharf.admin.get("/nothing").await.status, 404);
    assert_eq!(wharf.admin.post("/healthz", "").await.status, 405);
}

#[tokio::test]
async fn readiness_waits_until_every_service_is_up_or_refused() {
    let manifest = "[limits]\nstart = '2s'\n[grants.env]\nBAD_START = 'spin'";
    let wharf = Wharf::builder()
        .service("hello", test_guest("hello-one"))
        .service("slow", test_guest("bad-start"))
        .manifest("slow", manifest)
        .start()
        .await;
    // Nothing is waited for: what the server says when it is ready is already decided.
    assert_eq!(wharf.state("slow").await, "refused");
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
}

#[tokio::test]
async fn the_services_are_listed_with_all_that_is_promised() {
    let wharf = Wharf::builder()
        .service("alpha", fault())
        .service("beta", test_guest("hello-one"))
        .start()
        .await;
    wharf.get("/alpha/hello").await;
    let all = wharf.api("/api/services").await;
    let all = all["services"].as_array().expect("a list");
    let names: Vec<_> = all
        .iter()
        .filter_map(|service| service["name"].as_str())
        .collect();
    assert_eq!(names, ["alpha", "beta"]);
    let alpha = wharf.service("alpha").await;
    assert_eq!(alpha["name"], "alpha");
    assert_eq!(alpha["state"], "ready");
    assert_eq!(alpha["routes"], serde_json::json!(["/alpha"]));
    assert!(alpha["last_deploy_error"].is_null(), "{alpha}");
    for count in ["exits", "replays", "sheds", "starts"] {
        assert!(alpha["counts"][count].is_u64(), "{count} in {alpha}");
    }
    let instances = alpha["instances"].as_array().expect("a list");
    assert_eq!(instances.len(), 2);
    for instance in instances {
        assert!(instance["id"].is_string(), "{instance}");
        assert_eq!(instance["state"], "ready", "{instance}");
        assert_eq!(instance["in_flight"], 0, "{instance}");
        assert!(instance["memory_bytes"].as_u64() > Some(0), "{instance}");
        assert!(instance["age_seconds"].as_f64() > Some(0.0), "{instance}");
    }
    let served = instances
        .iter()
        .filter_map(|instance| instance["served"].as_u64());
    assert_eq!(served.sum::<u64>(), 1);
    assert_eq!(wharf.admin.get("/api/services/nobody").await.status, 404);
}

#[tokio::test]
async fn a_busy_instance_shows_that_it_is() {
    let wharf = Wharf::with("fault", fault()).await;
    let held = wharf.hold("/fault/echo").await;
    let service = wharf.service("fault").await;
    let instances = service["instances"].as_array().expect("a list");
    let mut states: Vec<_> = instances
        .iter()
        .filter_map(|one| one["state"].as_str())
        .collect();
    states.sort_unstable();
    assert_eq!(states, ["busy", "ready"], "{service}");
    held.release().await;
    wait_until("both were ready", || async {
        let service = wharf.service("fault").await;
        let instances = service["instances"].as_array().cloned().unwrap_or_default();
        instances.iter().all(|one| one["state"] == "ready")
    })
    .await;
}

#[tokio::test]
async fn the_metrics_count_what_happened() {
    let manifest = "[instances]\ncount = 2\n[failover]\nreplay = 'safe'";
    let wharf = Wharf::with_manifest("fault", fault(), manifest).await;
    for _ in 0..5 {
        wharf.get("/fault/hello").await;
    }
    wharf.get("/fault/status?code=418").await;
    wharf.get("/nobody").await;
    wharf.get("/fault/trap").await.problem(500);
    wharf.wait_healthy("fault", 2).await;

    let service = "service=\"fault\"";
    let requests = "wharf_requests_total";
    assert_eq!(wharf.metric(requests, &[service, "\"200\""]).await, 5);
    assert_eq!(wharf.metric(requests, &[service, "\"418\""]).await, 1);
    assert_eq!(wharf.metric(requests, &[service, "\"500\""]).await, 1);
    assert_eq!(wharf.metric("wharf_requests_unrouted_total", &[]).await, 1);
    assert_eq!(
        wharf
            .metric("wharf_request_duration_seconds_count", &[service])
            .await,
        7
    );
    assert_eq!(
        wharf
            .metric("wharf_instance_exits_total", &[service, "trap"])
            .await,
        3
    );
    assert_eq!(
        wharf
            .metric("wharf_instance_exits_total", &[service, "memory"])
            .await,
        0
    );
    assert_eq!(wharf.metric("wharf_replays_total", &[service]).await, 2);
    assert_eq!(
        wharf
            .metric("wharf_instance_starts_total", &[service])
            .await,
        5
    );
    assert_eq!(wharf.metric("wharf_instances_ready", &[service]).await, 2);
    assert_eq!(
        wharf.metric("wharf_requests_in_flight", &[service]).await,
        0
    );
    assert_eq!(wharf.metric("wharf_queue_depth", &[service]).await, 0);
    assert_eq!(wharf.metric("wharf_sheds_total", &[service]).await, 0);
    assert_eq!(wharf.metric("wharf_deploys_total", &[service]).await, 1);

    let reply = wharf.admin.get("/metrics").await;
    assert!(reply.header("content-type").contains("text"), "{reply:?}");
    assert!(
        reply.text().contains("# TYPE wharf_requests counter"),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn metrics_show_what_is_going_on() {
    let wharf = Wharf::with_manifest("fault", fault(), "[instances]\ncount = 1").await;
    let held = wharf.hold("/fault/echo").await;
    let front = wharf.front.clone();
    let queued = tokio::spawn(async move { front.get("/fault/hello").await });
    wharf.wait_queued("fault", 1).await;
    let service = "service=\"fault\"";
    assert_eq!(
        wharf.metric("wharf_requests_in_flight", &[service]).await,
        1
    );
    assert_eq!(wharf.metric("wharf_queue_depth", &[service]).await, 1);
    held.release().await;
    queued.await.expect("it ends");
}

#[tokio::test]
async fn what_is_for_operators_is_not_for_clients() {
    let wharf = Wharf::with("hello", test_guest("hello-one")).await;
    for path in [
        "/metrics",
        "/healthz",
        "/readyz",
        "/api/services",
        "/api/exits",
    ] {
        wharf.get(path).await.problem(404);
    }
    assert_eq!(wharf.admin.get("/hello").await.status, 404);
}
