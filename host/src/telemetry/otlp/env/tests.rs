use super::*;

fn read(set: &[(&str, &str)]) -> Result<Option<Settings>, EnvError> {
    Settings::read(|name| {
        let mut set = set.iter().filter(|(variable, _)| *variable == name);
        set.next().map(|(_, value)| (*value).to_owned())
    })
}

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");

#[test]
fn without_an_endpoint_nothing_is_exported() {
    let sampler = ("OTEL_TRACES_SAMPLER", "always_on");
    for set in [
        &[] as &[_],
        &[sampler],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
        &[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")],
        &[
            ENDPOINT,
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "none"),
        ],
    ] {
        assert!(read(set).unwrap().is_none(), "{set:?}");
    }
}

#[test]
fn an_endpoint_for_all_is_a_base_and_one_for_a_signal_is_used_as_it_is() {
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces/in");
    let both = read(&[ENDPOINT, traces]).unwrap().unwrap();
    assert_eq!(both.traces.unwrap().url, "https://traces/in");
    let metrics = both.metrics.unwrap();
    assert_eq!(metrics.url, "http://collector:4318/v1/metrics");
    assert_eq!(metrics.timeout, Duration::from_secs(10));
    let one = read(&[traces]).unwrap().unwrap();
    assert!(one.traces.is_some() && one.metrics.is_none());
}

#[test]
fn header_fields_are_decoded() {
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%3Db%2C, X-Org = 7,");
    let headers = read(&[ENDPOINT, headers]).unwrap().unwrap();
    let headers = headers.traces.unwrap().headers;
    assert_eq!(headers["api-key"], "a=b,");
    assert_eq!(headers["x-org"], "7");
}

#[test]
fn samplers_are_known_by_their_names() {
    let sampling = |set: &[_]| {
        read(&[&[ENDPOINT], set].concat())
            .unwrap()
            .unwrap()
            .sampling
    };
    let usual = sampling(&[]);
    assert!(matches!(usual.sampler, Sampler::ParentBased(_)));
    assert!(!usual.no_roots && !usual.nothing);
    let off = sampling(&[("OTEL_TRACES_SAMPLER", "always_off")]);
    assert!(off.no_roots && off.nothing);
    let off = sampling(&[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]);
    assert!(off.no_roots && !off.nothing);
    let share = ("OTEL_TRACES_SAMPLER_ARG", "0.25");
    let part = sampling(&[("OTEL_TRACES_SAMPLER", "traceidratio"), share]);
    assert!(
        matches!(part.sampler, Sampler::TraceIdRatioBased(ratio) if ratio.to_bits() == 0.25f64.to_bits())
    );
}

#[test]
fn what_cannot_be_followed_is_refused_and_no_key_is_shown() {
    for (variable, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
    ] {
        let error = read(&[(variable, value), ENDPOINT])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(variable) && error.contains("allowed: "),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
    let ratio = [
        ENDPOINT,
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
    ];
    assert!(read(&ratio).is_err());
}
