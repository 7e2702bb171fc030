//! Export of traces and metrics by OTLP, for who has a collector (`OTEL_EXPORTER_OTLP_ENDPOINT`).
//!
//! Without one nothing is set up, and the host pays one branch where it could make a span. A
//! collector that is slow or down costs telemetry and nothing else: what waits for it is bounded
//! (`OTEL_BSP_MAX_QUEUE_SIZE`), and the rest is dropped.

mod courier;
mod env;
mod metrics;
mod span;
mod tracer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tracing::debug;

pub use self::env::{EnvError, Sampling, Settings, Target};
pub use self::metrics::{ServiceTotals, Snapshot};
pub use self::span::{Span, Trace};
pub use self::tracer::{Incoming, Parent, Tracer};

use self::courier::Courier;
use self::metrics::Reporter;
use crate::network::SetupError;

/// How long the last of the telemetry may take on its way out.
const CLOSING: Duration = Duration::from_secs(2);

/// The export, as long as the host runs.
#[derive(Default)]
pub struct Otlp {
    tracer: Tracer,
    provider: Option<SdkTracerProvider>,
    reporter: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// A variable says what can't be followed.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// TLS can't be set up.
    #[error("TLS for the export of telemetry can't be set up: {0}")]
    Tls(#[from] SetupError),
    /// The certificate authorities of the house can't be read.
    #[error("OTEL_EXPORTER_OTLP_CERTIFICATE: {} can't be used: {why}; it has to be a PEM file", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// The exporter doesn't take what it is given.
    #[error("the export of traces can't be set up: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

impl Otlp {
    /// No export.
    pub fn off() -> Self {
        Self::default()
    }

    /// The export that the environment asks for, if it does. To be called on the runtime.
    ///
    /// # Errors
    ///
    /// What it asks for and can't be had.
    pub fn from_env(snapshot: Arc<dyn Snapshot>) -> Result<Self, OtlpError> {
        match Settings::read(|name| std::env::var(name).ok())? {
            Some(settings) => Self::start(settings, snapshot),
            None => Ok(Self::off()),
        }
    }

    /// An export with these settings. To be called on the runtime.
    ///
    /// # Errors
    ///
    /// What can't be had of it.
    pub fn start(settings: Settings, snapshot: Arc<dyn Snapshot>) -> Result<Self, OtlpError> {
        let resource = resource(settings.service_name);
        let mut otlp = Self::off();
        if let Some(target) = settings.traces {
            let courier = Courier::new(&target)?;
            let provider = provider(courier, target, &settings.sampling, &resource)?;
            otlp.tracer = Tracer::new(&provider, settings.sampling);
            otlp.provider = Some(provider);
        }
        if let Some(target) = settings.metrics {
            let (stop, stopped) = watch::channel(false);
            let reporter = Reporter {
                courier: Courier::new(&target)?,
                target,
                resource,
                snapshot,
                every: settings.interval,
                stop: stopped,
            };
            otlp.reporter = Some((stop, tokio::spawn(reporter.run())));
        }
        Ok(otlp)
    }

    /// What makes spans.
    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Sends what is left, in no more than two seconds. To be called after the last request, and
    /// before the runtime ends.
    pub async fn shutdown(self) {
        let spans = async {
            if let Some(provider) = self.provider {
                let closed = spawn_blocking(move || provider.shutdown_with_timeout(CLOSING));
                if let Ok(Err(error)) = closed.await {
                    debug!(%error, "the last spans were not exported");
                }
            }
        };
        let metrics = async {
            if let Some((stop, reporter)) = self.reporter {
                stop.send_replace(true);
                let abort = reporter.abort_handle();
                if timeout(CLOSING, reporter).await.is_err() {
                    abort.abort();
                }
            }
        };
        tokio::join!(spans, metrics);
    }
}

fn provider(
    courier: Courier,
    target: Target,
    sampling: &Sampling,
    resource: &Resource,
) -> Result<SdkTracerProvider, OtlpError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(courier)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(target.url.to_string())
        .with_headers(target.headers)
        .with_timeout(target.timeout)
        .build()?;
    Ok(SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(exporter).build())
        .with_sampler(sampling.sampler.clone())
        .with_resource(resource.clone())
        .build())
}

/// What the telemetry is of. What the environment says goes before what the host says.
fn resource(service_name: Option<String>) -> Resource {
    let resource = Resource::builder_empty()
        .with_service_name("wharf")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match service_name {
        Some(name) => resource.with_service_name(name).build(),
        None => resource.build(),
    }
}

#[cfg(test)]
mod tests;
