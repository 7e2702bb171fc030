mod collector;

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::*;
use crate::service::exit::InstanceId;
use crate::telemetry::shards::Durations;
use collector::{Collector, named, value};

struct Counted;

impl Snapshot for Counted {
    fn services(&self) -> Vec<ServiceTotals> {
        let durations = Durations::default();
        durations.observe(Duration::from_millis(2));
        vec![ServiceTotals {
            service: "login".parse().unwrap(),
            answers: [0, 7, 0, 2, 1],
            durations: durations.buckets(),
            in_flight: 3,
            queued: 1,
            instances: 2,
            sheds: 4,
            replays: 5,
            exits: vec![("trap", 6), ("deadline", 0)],
        }]
    }
}

fn settings(collector: SocketAddr, more: &[(&str, &str)]) -> Settings {
    let settings = Settings::read(|name| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(format!("http://{collector}")),
        "OTEL_EXPORTER_OTLP_HEADERS" => Some("api-key=k".to_owned()),
        // no test waits for a time to pass
        "OTEL_METRIC_EXPORT_INTERVAL" | "OTEL_EXPORTER_OTLP_TIMEOUT" => Some("3600000".to_owned()),
        _ => {
            let mut set = more.iter().filter(|(variable, _)| *variable == name);
            set.next().map(|(_, value)| (*value).to_owned())
        }
    });
    settings.unwrap().unwrap()
}

fn start(collector: SocketAddr, more: &[(&str, &str)]) -> Otlp {
    Otlp::start(settings(collector, more), Arc::new(Counted)).unwrap()
}

async fn flush(otlp: &Otlp) {
    let provider = otlp.provider.clone().unwrap();
    spawn_blocking(move || provider.force_flush())
        .await
        .unwrap()
        .unwrap();
}

fn get<'a>(headers: &'a HeaderMap, method: &'a Method) -> Incoming<'a> {
    Incoming {
        age: Duration::ZERO,
        method,
        path: "/login/7",
        headers,
        version: Some(Version::HTTP_11),
        remote: Some(Ipv4Addr::LOCALHOST.into()),
    }
}

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What a client sends that is at work on a trace.
fn client(sampled: bool) -> HeaderMap {
    let parent = format!("00-{TRACE_ID}-00f067aa0ba902b7-0{}", u8::from(sampled));
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", parent.parse().unwrap());
    headers.insert("tracestate", HeaderValue::from_static("vendor=x"));
    headers
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[tokio::test]
async fn spans_of_a_request_and_of_what_it_led_to_are_below_one_another() {
    let mut collector = Collector::start().await;
    let otlp = start(collector.address, &[]);
    let tracer = otlp.tracer();
    let mut request = tracer.request(&get(&client(true), &Method::GET));
    request.route(&Method::GET, "/login/{id}");
    request.trace().past("queue", Duration::from_millis(3));
    request.trace().past("no queue", Duration::from_micros(3));
    let attempt = request.trace().child("instance");
    // what the guest sees, and passes on
    let mut guest = client(true);
    attempt.trace().inject(&mut guest);
    let seen = [
        guest.get("traceparent").cloned(),
        guest.get("tracestate").cloned(),
    ];
    drop(tracer.host_call(Parent(&seen), "keyvalue.get"));
    let uri = "http://accounts.internal/find?q=secret".parse().unwrap();
    let out = tracer.outgoing(&Method::POST, &uri, &mut guest);
    // the other service
    let other = tracer.request(&get(&guest, &Method::POST));
    let call = tracer.call(Parent(&seen), "a:b/c@0.1.0", "find");
    drop((call, other, out, attempt, request));
    flush(&otlp).await;
    let spans = collector.spans();
    let parents = [
        ("queue", "GET /login/{id}", SpanKind::Internal),
        ("instance", "GET /login/{id}", SpanKind::Internal),
        ("keyvalue.get", "instance", SpanKind::Internal),
        ("a:b/c@0.1.0/find", "instance", SpanKind::Server),
    ];
    for (name, parent, kind) in parents {
        let span = named(&spans, name);
        assert_eq!(span.parent_span_id, named(&spans, parent).span_id, "{name}");
        assert_eq!(span.kind(), kind, "{name}");
    }
    let root = named(&spans, "GET /login/{id}");
    assert_eq!(hex(&root.parent_span_id), "00f067aa0ba902b7");
    let posts: Vec<_> = spans.iter().filter(|span| span.name == "POST").collect();
    let of = |kind| *posts.iter().find(|span| span.kind() == kind).unwrap();
    let (out, other) = (of(SpanKind::Client), of(SpanKind::Server));
    assert_eq!(out.parent_span_id, named(&spans, "instance").span_id);
    assert_eq!(other.parent_span_id, out.span_id);
    let url = value(&out.attributes, "url.full");
    assert_eq!(url.as_deref(), Some("http://accounts.internal/find"));
    assert_eq!(spans.len(), 7);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE_ID));
    assert!(spans.iter().all(|span| span.trace_state == "vendor=x"));
    otlp.shutdown().await;
}

#[tokio::test]
async fn a_span_has_the_attributes_of_the_conventions() {
    let mut collector = Collector::start().await;
    let otlp = start(collector.address, &[("OTEL_SERVICE_NAME", "front")]);
    let mut span = otlp.tracer().request(&get(&HeaderMap::new(), &Method::GET));
    span.service(&"login".parse().unwrap(), "ab12");
    span.instance(InstanceId(12), 2);
    span.answered(StatusCode::SERVICE_UNAVAILABLE);
    drop(span);
    let odd = Method::from_bytes(b"BREW").unwrap();
    drop(otlp.tracer().request(&get(&HeaderMap::new(), &odd)));
    flush(&otlp).await;
    let [post] = &collector.posts()[..] else {
        panic!("both in one post")
    };
    assert_eq!(post.path, "/v1/traces");
    assert_eq!(post.headers["api-key"], "k");
    let resource = post.resource();
    assert_eq!(value(&resource, "service.name").as_deref(), Some("front"));
    let spans = post.spans();
    let span = named(&spans, "GET");
    for (key, expected) in [
        ("http.request.method", "GET"),
        ("url.path", "/login/7"),
        ("url.scheme", "http"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("http.response.status_code", "503"),
        ("error.type", "503"),
        ("wharf.service", "login"),
        ("wharf.release", "ab12"),
        ("wharf.instance", "12"),
        ("wharf.tries", "2"),
    ] {
        assert_eq!(
            value(&span.attributes, key).as_deref(),
            Some(expected),
            "{key}"
        );
    }
    assert_eq!(span.status.as_ref().unwrap().code, 2);
    assert!(span.parent_span_id.is_empty());
    let odd = named(&spans, "HTTP");
    assert_eq!(
        value(&odd.attributes, "http.request.method").as_deref(),
        Some("_OTHER")
    );
    let original = value(&odd.attributes, "http.request.method_original");
    assert_eq!(original.as_deref(), Some("BREW"));
    otlp.shutdown().await;
}

/// A collector of the house, whose certificate no public authority has signed.
#[tokio::test]
async fn a_collector_with_tls_is_trusted_if_its_authority_is_named() {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = own.signing_key.serialize_der();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.try_into().unwrap())
        .unwrap();
    let mut collector = Collector::start_with(Arc::new(config).into()).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("house.pem");
    std::fs::write(&file, own.cert.pem()).unwrap();
    let endpoint = format!("https://localhost:{}", collector.address.port());
    let settings = |certificate: Option<&str>| {
        let settings = Settings::read(|name| match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.clone()),
            "OTEL_EXPORTER_OTLP_CERTIFICATE" => certificate.map(str::to_owned),
            "OTEL_METRICS_EXPORTER" => Some("none".to_owned()),
            _ => None,
        });
        settings.unwrap().unwrap()
    };
    for (certificate, spans) in [(None, 0), (file.to_str(), 1)] {
        let otlp = Otlp::start(settings(certificate), Arc::new(Counted)).unwrap();
        drop(otlp.tracer().request(&get(&HeaderMap::new(), &Method::GET)));
        let provider = otlp.provider.clone().unwrap();
        let flushed = spawn_blocking(move || provider.force_flush())
            .await
            .unwrap();
        assert_eq!(flushed.is_ok(), certificate.is_some(), "{flushed:?}");
        assert_eq!(collector.spans().len(), spans);
        otlp.shutdown().await;
    }
    let missing = Otlp::start(settings(Some("missing.pem")), Arc::new(Counted));
    let error = missing.err().unwrap().to_string();
    assert!(
        error.contains("OTEL_EXPORTER_OTLP_CERTIFICATE: missing.pem"),
        "{error}"
    );
}

#[tokio::test]
async fn a_trace_that_its_client_does_not_record_is_passed_on_and_not_exported() {
    let mut collector = Collector::start().await;
    let otlp = start(collector.address, &[]);
    let request = otlp.tracer().request(&get(&client(false), &Method::GET));
    assert!(!request.is_recording());
    let attempt = request.trace().child("instance");
    let mut guest = HeaderMap::new();
    attempt.trace().inject(&mut guest);
    let passed = guest["traceparent"].to_str().unwrap().to_owned();
    assert!(passed.starts_with(&format!("00-{TRACE_ID}-")) && passed.ends_with("-00"));
    let uri = "http://example.com/".parse().unwrap();
    let out = otlp.tracer().outgoing(&Method::GET, &uri, &mut guest);
    drop((out, attempt, request));
    flush(&otlp).await;
    assert!(collector.spans().is_empty());
    otlp.shutdown().await;
}

#[tokio::test]
async fn sampling_that_is_off_makes_nothing_and_touches_nothing() {
    let mut collector = Collector::start().await;
    for (sampler, headers) in [
        ("always_off", HeaderMap::new()),
        ("always_off", client(true)),
        ("parentbased_always_off", HeaderMap::new()),
    ] {
        let otlp = start(collector.address, &[("OTEL_TRACES_SAMPLER", sampler)]);
        let request = otlp.tracer().request(&get(&headers, &Method::GET));
        assert!(request.trace().is_nothing(), "{sampler}");
        let mut guest = headers.clone();
        request.trace().child("instance").trace().inject(&mut guest);
        assert_eq!(guest, headers);
        drop(request);
        flush(&otlp).await;
        assert!(collector.spans().is_empty());
        otlp.shutdown().await;
    }
    let followed = start(
        collector.address,
        &[("OTEL_TRACES_SAMPLER", "parentbased_always_off")],
    );
    let request = followed.tracer().request(&get(&client(true), &Method::GET));
    assert!(request.is_recording());
    drop(request);
    followed.shutdown().await;
}

#[tokio::test]
async fn without_a_collector_all_of_it_is_nothing() {
    let otlp = Otlp::off();
    let tracer = otlp.tracer();
    assert!(!tracer.is_on());
    let headers = client(true);
    let mut span = tracer.request(&get(&headers, &Method::GET));
    span.answered(StatusCode::OK);
    let mut guest = headers.clone();
    span.trace().inject(&mut guest);
    assert_eq!(guest, headers);
    assert!(
        !tracer
            .host_call(Parent(&[None, None]), "keyvalue.get")
            .is_recording()
    );
    assert_eq!(size_of::<Trace>(), size_of::<usize>());
    otlp.shutdown().await;
}

#[tokio::test]
async fn what_the_host_counted_is_sent_at_the_end_at_the_latest() {
    let mut collector = Collector::start().await;
    start(collector.address, &[]).shutdown().await;
    let posts = collector.posts();
    let [post] = &posts[..] else {
        panic!("one post, not {}", posts.len())
    };
    assert_eq!(post.path, "/v1/metrics");
    assert_eq!(post.headers["content-type"], "application/x-protobuf");
    let metrics = post
        .metrics()
        .resource_metrics
        .remove(0)
        .scope_metrics
        .remove(0)
        .metrics;
    let of = |name: &str| {
        let mut found = metrics.iter().filter(|metric| metric.name == name);
        found.next().unwrap().data.clone().unwrap()
    };
    let Data::Sum(requests) = of("wharf.requests") else {
        panic!("a sum")
    };
    assert!(requests.is_monotonic);
    let counts = requests.data_points.iter().map(|point| {
        let class = value(&point.attributes, "http.response.status_class").unwrap();
        assert_eq!(
            value(&point.attributes, "wharf.service").as_deref(),
            Some("login")
        );
        (class, point.value.unwrap())
    });
    let expected = [("1xx", 0), ("2xx", 7), ("3xx", 0), ("4xx", 2), ("5xx", 1)];
    let expected = expected.map(|(class, count): (&str, i64)| (class.to_owned(), count.into()));
    assert_eq!(counts.collect::<Vec<_>>(), expected);
    let Data::Histogram(durations) = of("wharf.request.duration") else {
        panic!("a histogram")
    };
    let point = &durations.data_points[0];
    assert_eq!((point.count, point.sum), (1, Some(0.002)));
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert!(matches!(of("wharf.instances"), Data::Gauge(gauge) if gauge.data_points.len() == 1));
    assert!(matches!(of("wharf.instance.exits"), Data::Sum(sum) if sum.data_points.len() == 2));
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_nobody_up() {
    // it takes connections, by way of the system, and no more
    let silent = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let otlp = start(silent.local_addr().unwrap(), &[]);
    let tracer = otlp.tracer();
    let headers = HeaderMap::new();
    // more than may wait
    for _ in 0..10_000 {
        drop(tracer.request(&get(&headers, &Method::GET)));
    }
    // its patience is an hour
    let over = timeout(Duration::from_mins(5), otlp.shutdown());
    assert!(over.await.is_ok());
    // and spans that come after the end are nothing
    assert!(!tracer.request(&get(&headers, &Method::GET)).is_recording());
}

#[tokio::test]
async fn a_collector_that_is_down_holds_nobody_up() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let otlp = start(address, &[]);
    drop(otlp.tracer().request(&get(&HeaderMap::new(), &Method::GET)));
    let over = timeout(Duration::from_mins(5), otlp.shutdown());
    assert!(over.await.is_ok());
}
