//! What an OpenTelemetry collector is told.

use std::collections::BTreeSet;

use http::{HeaderValue, Method, header};
use serde_json::json;
use wharf_tests::collector::{attribute, named};
use wharf_tests::wharf::hex;
use wharf_tests::{Builder, Collector, Target, Upstream, Wharf, test_guest, whole};

use crate::accounts::shipped;
use crate::{fault, fault_p3};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID: &str = "00f067aa0ba902b7";

fn traced(builder: Builder, collector: &Collector) -> Builder {
    builder.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
}

/// Sends a request that is part of a trace.
async fn send(front: &Target, method: Method, target: &str, body: &str) -> u16 {
    let mut request = front.request(method, target, whole(body.to_owned()));
    let parent = HeaderValue::try_from(format!("00-{TRACE_ID}-{PARENT_ID}-01"));
    let parent = parent.expect("a header value");
    request.headers_mut().insert("traceparent", parent);
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::CONTENT_TYPE, json);
    front.client.send(request).await.status.as_u16()
}

/// Lets the server end: it sends what it has first.
async fn over(mut wharf: Wharf) {
    wharf.terminate();
    assert!(wharf.wait_exit().await.success());
}

#[tokio::test]
async fn a_request_is_one_trace_through_services_functions_and_the_store() {
    let collector = Collector::start().await;
    let wharf = traced(shipped(), &collector).start().await;
    let body = json!({ "username": "ada", "password": "correct horse" }).to_string();
    let status = send(&wharf.front, Method::POST, "/register", &body).await;
    assert_eq!(status, 201);
    over(wharf).await;

    let spans = collector.spans();
    let all: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE_ID));
    let request = named(&spans, "POST /register");
    assert_eq!(hex(&request.parent_span_id), PARENT_ID);
    assert_eq!(attribute(request, "wharf.service"), "register");
    assert_eq!(attribute(request, "http.response.status_code"), "201");
    let call = spans
        .iter()
        .find(|span| attribute(span, "rpc.method") == "create")
        .unwrap_or_else(|| panic!("a call of a function is among {all:?}"));
    assert_eq!(attribute(call, "wharf.service"), "accounts");
    // each below the instance that did it
    let instances: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "instance")
        .collect();
    let below = |id: &[u8]| {
        let found = instances.iter().find(|span| span.parent_span_id == id);
        found.unwrap_or_else(|| panic!("an instance is among {all:?}"))
    };
    assert_eq!(call.parent_span_id, below(&request.span_id).span_id);
    let host_calls: Vec<_> = spans
        .iter()
        .filter(|span| span.name.starts_with("keyvalue."))
        .collect();
    assert!(!host_calls.is_empty(), "{all:?}");
    let called = &below(&call.span_id).span_id;
    assert!(host_calls.iter().all(|span| span.parent_span_id == *called));
    // and nothing of what was in it
    assert!(!format!("{spans:?}").contains("correct horse"));
}

#[tokio::test]
async fn requests_to_services_and_to_the_network_are_part_of_it() {
    let (collector, upstream) = (Collector::start().await, Upstream::start().await);
    let manifest = format!(
        "[grants]\nservices = ['two', 'three']\nhttp = ['{}']",
        upstream.origin()
    );
    let wharf = traced(Wharf::builder(), &collector)
        .service("two", fault())
        .manifest("two", &manifest)
        .service("three", fault_p3())
        .manifest("three", &manifest)
        .start()
        .await;
    let names = ["two", "three"];
    for name in names {
        for url in [
            format!("{}/far", upstream.origin()),
            format!("http://{name}.internal/{name}/hello"),
        ] {
            let target = format!("/{name}/outbound?url={url}");
            assert_eq!(send(&wharf.front, Method::GET, &target, "").await, 200);
        }
    }
    over(wharf).await;

    let spans = collector.spans();
    let outgoing: Vec<_> = spans
        .iter()
        .filter(|span| !attribute(span, "url.full").is_empty())
        .collect();
    assert_eq!(outgoing.len(), names.len(), "{spans:?}");
    for span in outgoing {
        let far = format!("{}/far", upstream.origin());
        assert_eq!(attribute(span, "url.full"), far);
        assert_eq!(attribute(span, "http.response.status_code"), "200");
        assert_eq!(hex(&span.trace_id), TRACE_ID);
        let parent = spans.iter().find(|one| one.span_id == span.parent_span_id);
        assert_eq!(parent.map(|span| &*span.name), Some("instance"));
    }
    for name in names {
        let of = |span: &&_| attribute(span, "wharf.service") == name;
        let served = spans.iter().filter(of).count();
        assert_eq!(served, 3, "two from outside, one from within: {spans:?}");
    }
}

#[tokio::test]
async fn the_collector_gets_metrics_at_the_interval() {
    let collector = Collector::start().await;
    let wharf = traced(Wharf::builder(), &collector)
        .env("OTEL_METRIC_EXPORT_INTERVAL", "50")
        .service("fault", fault())
        .start()
        .await;
    assert_eq!(wharf.get("/fault").await.status, 200);
    wharf_tests::wait_until("metrics to come twice", async || {
        let metrics = collector.metrics();
        let requests = metrics.iter().filter(|name| *name == "wharf.requests");
        requests.count() >= 2
    })
    .await;
    let names: BTreeSet<_> = collector.metrics().into_iter().collect();
    for name in ["wharf.request.duration", "wharf.instances", "wharf.sheds"] {
        assert!(names.contains(name), "{names:?}");
    }
}

#[tokio::test]
async fn a_collector_that_is_down_costs_no_request() {
    let wharf = Wharf::builder()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        .env("OTEL_BSP_SCHEDULE_DELAY", "10")
        .service("fault", fault())
        .start()
        .await;
    assert_eq!(wharf.get("/fault").await.status, 200);
    wharf.wait_log(&["telemetry can't be exported"]).await;
    assert_eq!(wharf.get("/fault").await.status, 200);
    over(wharf).await;
}

/// The interface `wasi:logging`, and what is printed.
#[tokio::test]
async fn what_a_guest_logs_says_whose_it_is() {
    let wharf = Wharf::with("journal", test_guest("journal")).await;
    let reply = wharf.get("/journal").await;
    let id = reply.header("x-request-id");
    let logs = wharf.api("/api/services/journal/logs").await;
    let lines = logs["lines"].as_array().expect("lines");
    let said: Vec<_> = lines
        .iter()
        .map(|line| {
            assert_eq!(line["request"], id, "{line}");
            assert_eq!(line["service"], "journal", "{line}");
            assert_ne!(line["instance"], "", "{line}");
            let level = line["level"].as_str().unwrap_or("none");
            let text = line["text"].as_str().unwrap_or_default();
            (line["stream"].as_str().unwrap_or_default(), level, text)
        })
        .collect();
    let expected = [
        ("log", "trace", "a step"),
        ("log", "debug", "a value"),
        ("log", "info", "orders: one more"),
        ("log", "warn", "orders: rather many"),
        ("log", "warn", "and a second line"),
        ("log", "error", "orders: too many \\u{1b}[31m"),
        ("log", "critical", "no more"),
        ("stdout", "none", "printed"),
        ("stderr", "none", "printed as an error"),
    ];
    assert_eq!(said, expected);
    wharf
        .wait_log(&["rather many", id, "journal", "warn"])
        .await;
}
