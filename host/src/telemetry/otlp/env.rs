//! What the environment says of the export, in the variables of the OpenTelemetry specification.
//!
//! Without an endpoint nothing is exported. `OTEL_BSP_*` and `OTEL_RESOURCE_ATTRIBUTES` are read by
//! the SDK itself.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use opentelemetry_sdk::trace::Sampler;

/// A variable that can't be followed.
#[derive(Debug, thiserror::Error)]
#[error("{variable}={value:?} {problem}")]
pub struct EnvError {
    /// The variable.
    pub variable: String,
    /// Its value.
    pub value: String,
    /// What is wrong with it, and what is allowed.
    pub problem: String,
}

/// What is exported, and where to.
#[derive(Debug)]
pub struct Settings {
    /// Where traces go.
    pub traces: Option<Target>,
    /// Where metrics go.
    pub metrics: Option<Target>,
    /// Which traces are recorded.
    pub sampling: Sampling,
    /// The name of the whole host, if it isn't to be `wharf`.
    pub service_name: Option<String>,
    /// How often metrics are sent.
    pub interval: Duration,
}

/// Where one signal goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The URL that is posted to.
    pub url: Uri,
    /// Header fields that go with it, such as a key.
    pub headers: HashMap<String, String>,
    /// How long one post may take.
    pub timeout: Duration,
    /// A PEM file of certificate authorities that are trusted besides the public ones.
    pub certificate: Option<PathBuf>,
}

/// Which traces are recorded.
#[derive(Clone, Debug)]
pub struct Sampling {
    /// What decides.
    pub sampler: Sampler,
    /// It never takes a trace that begins here.
    pub no_roots: bool,
    /// It never takes any.
    pub nothing: bool,
}

impl Settings {
    /// What the variables say; `var` gives the value of one. `None` if nothing is to be exported.
    ///
    /// # Errors
    ///
    /// A value that can't be followed.
    pub fn read(var: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, EnvError> {
        let env = Env(|name: &str| var(name).filter(|value| !value.trim().is_empty()));
        if env.is("OTEL_SDK_DISABLED", "true") {
            return Ok(None);
        }
        let (traces, metrics) = (env.target("TRACES")?, env.target("METRICS")?);
        if traces.is_none() && metrics.is_none() {
            return Ok(None);
        }
        let interval = env.millis("OTEL_METRIC_EXPORT_INTERVAL")?;
        Ok(Some(Self {
            traces,
            metrics,
            sampling: env.sampling()?,
            service_name: env.get("OTEL_SERVICE_NAME"),
            interval: interval.unwrap_or(Duration::from_mins(1)),
        }))
    }
}

struct Env<F>(F);

impl<F: Fn(&str) -> Option<String>> Env<F> {
    fn get(&self, variable: &str) -> Option<String> {
        (self.0)(variable)
    }

    fn is(&self, variable: &str, value: &str) -> bool {
        self.get(variable)
            .is_some_and(|is| is.trim().eq_ignore_ascii_case(value))
    }

    /// The value of a variable of the exporter: that for the signal, or that for all.
    fn exporter(&self, signal: &str, what: &str) -> Option<(String, String)> {
        let names = [
            format!("OTEL_EXPORTER_OTLP_{signal}_{what}"),
            format!("OTEL_EXPORTER_OTLP_{what}"),
        ];
        let mut set = names.into_iter().filter_map(|name| {
            let value = self.get(&name)?;
            Some((name, value))
        });
        set.next()
    }

    /// Where a signal goes, if it goes anywhere.
    fn target(&self, signal: &str) -> Result<Option<Target>, EnvError> {
        if self.is(&format!("OTEL_{signal}_EXPORTER"), "none") {
            return Ok(None);
        }
        let Some((variable, value)) = self.exporter(signal, "ENDPOINT") else {
            return Ok(None);
        };
        // the one for all is a base, the one for a signal is used as it is
        let url = if variable.contains(signal) {
            value.clone()
        } else {
            let base = value.trim_end_matches('/');
            format!("{base}/v1/{}", signal.to_lowercase())
        };
        let parsed = url.parse::<Uri>().ok();
        let known = |url: &Uri| matches!(url.scheme_str(), Some("http" | "https"));
        let Some(url) = parsed.filter(known) else {
            let problem = "is not a URL; allowed: such as \"http://localhost:4318\"";
            return Err(refuse(variable, value, problem));
        };
        if let Some((variable, value)) = self.exporter(signal, "PROTOCOL")
            && value.trim() != "http/protobuf"
        {
            let problem = "is not supported; allowed: \"http/protobuf\", for which most \
                           collectors listen on port 4318";
            return Err(refuse(variable, value, problem));
        }
        let headers = self.exporter(signal, "HEADERS");
        let timeout = self.exporter(signal, "TIMEOUT");
        let certificate = self.exporter(signal, "CERTIFICATE");
        Ok(Some(Target {
            url,
            headers: headers.map_or_else(|| Ok(HashMap::new()), headers_of)?,
            timeout: match timeout {
                Some((variable, value)) => millis(variable, value)?,
                None => Duration::from_secs(10),
            },
            certificate: certificate.map(|(_, file)| file.into()),
        }))
    }

    fn millis(&self, variable: &str) -> Result<Option<Duration>, EnvError> {
        let value = self.get(variable);
        value
            .map(|value| millis(variable.to_owned(), value))
            .transpose()
    }

    fn sampling(&self) -> Result<Sampling, EnvError> {
        let variable = "OTEL_TRACES_SAMPLER";
        let name = self.get(variable);
        let name = name.as_deref().map_or("parentbased_always_on", str::trim);
        let (root, parent_based) = match name.strip_prefix("parentbased_") {
            Some(root) => (root, true),
            None => (name, false),
        };
        let sampler = match root {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => Sampler::TraceIdRatioBased(self.ratio()?),
            _ => {
                let problem = "is not supported; allowed: \"always_on\", \"always_off\", \
                               \"traceidratio\", each also after \"parentbased_\"";
                return Err(refuse(variable.to_owned(), name.to_owned(), problem));
            }
        };
        let no_roots = matches!(sampler, Sampler::AlwaysOff);
        Ok(Sampling {
            no_roots,
            nothing: no_roots && !parent_based,
            sampler: if parent_based {
                Sampler::ParentBased(Box::new(sampler))
            } else {
                sampler
            },
        })
    }

    fn ratio(&self) -> Result<f64, EnvError> {
        let variable = "OTEL_TRACES_SAMPLER_ARG";
        let Some(value) = self.get(variable) else {
            return Ok(1.0);
        };
        let ratio = value.trim().parse().ok();
        ratio
            .filter(|ratio| (0.0..=1.0).contains(ratio))
            .ok_or_else(|| {
                refuse(
                    variable.to_owned(),
                    value,
                    "is not a share; allowed: 0.0 to 1.0",
                )
            })
    }
}

fn millis(variable: String, value: String) -> Result<Duration, EnvError> {
    match value.trim().parse() {
        Ok(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => Err(refuse(
            variable,
            value,
            "is not a time; allowed: milliseconds, at least 1",
        )),
    }
}

/// `key=value,key=value`, with what would be ambiguous in a value percent-encoded.
fn headers_of((variable, value): (String, String)) -> Result<HashMap<String, String>, EnvError> {
    let fields = value.split(',').map(str::trim);
    let fields = fields.filter(|field| !field.is_empty());
    let parsed = fields.map(|field| {
        let (key, value) = field.split_once('=')?;
        let value = percent_encoding::percent_decode_str(value.trim());
        let value = value.decode_utf8().ok()?.into_owned();
        http::HeaderValue::from_str(&value).ok()?;
        let key = http::HeaderName::from_bytes(key.trim().as_bytes()).ok()?;
        Some((key.as_str().to_owned(), value))
    });
    // a key may be in it, so the value isn't shown
    parsed.collect::<Option<_>>().ok_or_else(|| {
        let problem = "is not a list of header fields; allowed: such as \"key=value,key2=value2\"";
        refuse(variable, "...".to_owned(), problem)
    })
}

fn refuse(variable: String, value: String, problem: impl Into<String>) -> EnvError {
    EnvError {
        variable,
        value,
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests;
