//! What was counted, as OTLP has it.

use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_sdk::Resource;

use super::ServiceTotals;
use crate::telemetry::otlp::tracer::attribute;
use crate::telemetry::shards::Buckets;

/// A message that says what was counted in between the two times.
pub(super) fn of(
    resource: &Resource,
    services: &[ServiceTotals],
    (from, to): (SystemTime, SystemTime),
) -> ExportMetricsServiceRequest {
    let scope = InstrumentationScope {
        name: "wharf".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let page = Page {
        services,
        from: nanos(from),
        to: nanos(to),
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource.into()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics: page.metrics(),
                ..ScopeMetrics::default()
            }],
            schema_url: String::new(),
        }],
    }
}

struct Page<'a> {
    services: &'a [ServiceTotals],
    from: u64,
    to: u64,
}

impl Page<'_> {
    fn metrics(&self) -> Vec<Metric> {
        let one = |read: fn(&ServiceTotals) -> u64| {
            move |totals: &ServiceTotals| -> Counted { vec![(None, read(totals))] }
        };
        vec![
            self.sum("wharf.requests", "{request}", answers),
            self.durations(),
            self.gauge(
                "wharf.requests.in_flight",
                "{request}",
                one(|of| of.in_flight),
            ),
            self.gauge("wharf.queue.depth", "{request}", one(|of| of.queued)),
            self.gauge("wharf.instances", "{instance}", one(|of| of.instances)),
            self.sum("wharf.sheds", "{request}", one(|of| of.sheds)),
            self.sum("wharf.replays", "{request}", one(|of| of.replays)),
            self.sum("wharf.instance.exits", "{instance}", exits),
        ]
    }

    fn sum(&self, name: &str, unit: &str, read: impl Fn(&ServiceTotals) -> Counted) -> Metric {
        let sum = Sum {
            data_points: self.numbers(read),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        };
        metric(name, unit, Data::Sum(sum))
    }

    fn gauge(&self, name: &str, unit: &str, read: impl Fn(&ServiceTotals) -> Counted) -> Metric {
        let data_points = self.numbers(read);
        metric(name, unit, Data::Gauge(Gauge { data_points }))
    }

    fn numbers(&self, read: impl Fn(&ServiceTotals) -> Counted) -> Vec<NumberDataPoint> {
        let services = self.services.iter();
        let numbers = services.flat_map(|totals| {
            let counted = read(totals).into_iter();
            counted.map(move |(label, count)| self.number(totals, label, count))
        });
        numbers.collect()
    }

    fn number(&self, of: &ServiceTotals, label: Option<Label>, count: u64) -> NumberDataPoint {
        let mut attributes = vec![service(of)];
        attributes.extend(label.map(|(key, value)| KeyValue::from(&attribute(key, value))));
        NumberDataPoint {
            attributes,
            start_time_unix_nano: self.from,
            time_unix_nano: self.to,
            value: Some(count.into()),
            ..NumberDataPoint::default()
        }
    }

    fn durations(&self) -> Metric {
        let point = |totals: &ServiceTotals| HistogramDataPoint {
            attributes: vec![service(totals)],
            start_time_unix_nano: self.from,
            time_unix_nano: self.to,
            count: totals.durations.count(),
            sum: Some(Duration::from_nanos(totals.durations.nanos).as_secs_f64()),
            bucket_counts: totals.durations.counts.to_vec(),
            explicit_bounds: Buckets::bounds().collect(),
            ..HistogramDataPoint::default()
        };
        let histogram = Histogram {
            data_points: self.services.iter().map(point).collect(),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
        };
        metric("wharf.request.duration", "s", Data::Histogram(histogram))
    }
}

type Label = (&'static str, &'static str);

/// Numbers of one service, told apart by a label where there is more than one.
type Counted = Vec<(Option<Label>, u64)>;

fn answers(totals: &ServiceTotals) -> Counted {
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter();
    let labels = classes.map(|class| Some(("http.response.status_class", class)));
    labels.zip(totals.answers).collect()
}

fn exits(totals: &ServiceTotals) -> Counted {
    let exits = totals.exits.iter();
    exits
        .map(|(reason, count)| (Some(("reason", *reason)), *count))
        .collect()
}

fn service(totals: &ServiceTotals) -> KeyValue {
    KeyValue::from(&attribute("wharf.service", totals.service.to_string()))
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
