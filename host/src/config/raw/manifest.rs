//! `NAME.toml` as it is written.

use std::collections::HashSet;
use std::env::VarError;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::WASM_PAGE;
use super::decode::{decode, section};
use super::grants::RawGrants;
use super::rollout::RawRollout;
use super::section::{LONGEST, SHORTEST, Section};
use super::units::{Count, Limit, OrOff, Size, Span, show_duration, show_size};
use crate::config::{
    Config, ConfigError, Failover, Instances, Isolation, Limits, Manifest, Replay, Restart,
    ServiceName,
};
use crate::router::Pattern;

/// Decodes and checks the text of the manifest of `service`.
pub(in crate::config) fn manifest(
    service: &ServiceName,
    file: &Path,
    text: &str,
    host: &Config,
    environment: &dyn Fn(&str) -> Result<String, VarError>,
) -> Result<Manifest, ConfigError> {
    let raw: RawManifest = decode(file, text)?;
    let limits = raw.limits.check(Section::new(file, "limits"), host)?;
    Ok(Manifest {
        default_routes: raw.routes.is_none(),
        routes: match raw.routes {
            None => vec![Pattern::for_service(service)],
            Some(written) => routes(Section::new(file, ""), &written)?,
        },
        isolation: raw.isolation.unwrap_or_default(),
        weight: Section::new(file, "").whole(
            "weight",
            raw.weight,
            Manifest::DEFAULT_WEIGHT,
            1..=Manifest::MAX_WEIGHT.get().into(),
        )?,
        instances: raw
            .instances
            .check(Section::new(file, "instances"), host, &limits)?,
        limits,
        grants: raw
            .grants
            .check(Section::new(file, "grants"), environment)?,
        failover: raw.failover.check(Section::new(file, "failover"))?,
        restart: raw.restart.check(Section::new(file, "restart"))?,
        rollout: raw.rollout.check(Section::new(file, "rollout"))?,
    })
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawManifest {
    routes: Option<Vec<String>>,
    isolation: Option<Isolation>,
    weight: Option<Count>,
    #[serde(deserialize_with = "section")]
    instances: RawInstances,
    #[serde(deserialize_with = "section")]
    limits: RawLimits,
    #[serde(deserialize_with = "section")]
    grants: RawGrants,
    #[serde(deserialize_with = "section")]
    failover: RawFailover,
    #[serde(deserialize_with = "section")]
    restart: RawRestart,
    #[serde(deserialize_with = "section")]
    rollout: RawRollout,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawInstances {
    count: Option<Count>,
    concurrency: Option<Count>,
    max_requests: Option<Limit<Count>>,
    max_memory_before_retire: Option<Size>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    memory: Option<Size>,
    timeout: Option<Span>,
    request_body: Option<Limit<Size>>,
    replay_body: Option<Size>,
    queue: Option<Count>,
    queue_wait: Option<Span>,
    start: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawFailover {
    replay: Option<Replay>,
    quarantine: Option<OrOff<Span>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRestart {
    backoff_min: Option<Span>,
    backoff_max: Option<Span>,
    max_failures: Option<Count>,
    window: Option<Span>,
    cooldown: Option<Span>,
}

fn routes(at: Section<'_>, written: &[String]) -> Result<Vec<Pattern>, ConfigError> {
    let mut seen = HashSet::new();
    let mut patterns = Vec::with_capacity(written.len());
    for (index, text) in written.iter().enumerate() {
        let key = format!("routes[{index}]");
        let pattern: Pattern = text
            .parse()
            .map_err(|error| at.refuse(&key, format!("{error}")))?;
        if !seen.insert(pattern.clone()) {
            return Err(at.refuse(
                &key,
                format!("\"{pattern}\" is in the list already; remove one"),
            ));
        }
        patterns.push(pattern);
    }
    Ok(patterns)
}

impl RawInstances {
    fn check(
        self,
        at: Section<'_>,
        host: &Config,
        limits: &Limits,
    ) -> Result<Instances, ConfigError> {
        let default = Instances::default_on(host);
        let most = u64::from(host.sandbox.max_instances.get()).min(1000);
        let memory = to_u64(limits.memory);
        let retire = match self.max_memory_before_retire {
            None => None,
            Some(Size(bytes)) if bytes > memory => {
                return Err(at.refuse(
                    "max_memory_before_retire",
                    format!(
                        "{} can never be reached; allowed: no more than limits.memory, {}",
                        show_size(bytes),
                        show_size(memory)
                    ),
                ));
            }
            written => Some(at.size(
                "max_memory_before_retire",
                written,
                limits.memory,
                WASM_PAGE..=memory,
            )?),
        };
        Ok(Instances {
            count: at.whole("count", self.count, default.count, 1..=most)?,
            concurrency: self
                .concurrency
                .map(|written| at.whole("concurrency", Some(written), NonZeroUsize::MIN, 1..=1000))
                .transpose()?,
            max_requests: at.whole_or_unlimited(
                "max_requests",
                self.max_requests,
                default.max_requests,
                1..=1_000_000_000,
            )?,
            max_memory_before_retire: retire,
        })
    }
}

impl RawLimits {
    fn check(self, at: Section<'_>, host: &Config) -> Result<Limits, ConfigError> {
        let default = Limits::default_on(host);
        let timeout = at.duration("timeout", self.timeout, default.timeout, SHORTEST..=LONGEST)?;
        Ok(Limits {
            memory: self.memory(at, host, default.memory)?,
            timeout,
            request_body: match self.request_body {
                None => default.request_body,
                Some(Limit::Unlimited) => u64::MAX,
                Some(Limit::At(Size(bytes))) => bytes,
            },
            replay_body: at.size(
                "replay_body",
                self.replay_body,
                default.replay_body,
                0..=64 << 20,
            )?,
            queue: at.whole("queue", self.queue, default.queue, 0..=100_000)?,
            queue_wait: self.queue_wait(at, timeout, default.queue_wait)?,
            start: at.duration("start", self.start, default.start, SHORTEST..=LONGEST)?,
        })
    }

    fn memory(&self, at: Section<'_>, host: &Config, default: usize) -> Result<usize, ConfigError> {
        let most = to_u64(host.sandbox.max_memory);
        match self.memory {
            Some(Size(bytes)) if bytes > most => Err(at.refuse(
                "memory",
                format!(
                    "{} is more than this server gives; allowed: {} to {}, or raise \
                     sandbox.max_memory in the server's configuration",
                    show_size(bytes),
                    show_size(WASM_PAGE),
                    show_size(most)
                ),
            )),
            written => at.size("memory", written, default, WASM_PAGE..=most),
        }
    }

    fn queue_wait(
        &self,
        at: Section<'_>,
        timeout: Duration,
        default: Duration,
    ) -> Result<Duration, ConfigError> {
        match self.queue_wait {
            Some(Span(wait)) if wait > timeout => Err(at.refuse(
                "queue_wait",
                format!(
                    "{} is longer than the whole request may take; allowed: no more than \
                     limits.timeout, {}",
                    show_duration(wait),
                    show_duration(timeout)
                ),
            )),
            written => at.duration(
                "queue_wait",
                written,
                default.min(timeout),
                Duration::ZERO..=timeout,
            ),
        }
    }
}

impl RawFailover {
    fn check(self, at: Section<'_>) -> Result<Failover, ConfigError> {
        let default = Failover::default();
        let quarantine = match self.quarantine {
            Some(OrOff::Off) => Duration::ZERO,
            Some(OrOff::At(span)) => at.duration(
                "quarantine",
                Some(span),
                default.quarantine,
                SHORTEST..=LONGEST,
            )?,
            None => default.quarantine,
        };
        Ok(Failover {
            replay: self.replay.unwrap_or(default.replay),
            quarantine,
        })
    }
}

impl RawRestart {
    /// A default gives way to what is written: a written minimum raises the default maximum, and
    /// the other way round.
    fn check(self, at: Section<'_>) -> Result<Restart, ConfigError> {
        let default = Restart::default();
        let allowed = SHORTEST..=LONGEST;
        let mut backoff_min = at.duration(
            "backoff_min",
            self.backoff_min,
            default.backoff_min,
            allowed.clone(),
        )?;
        let mut backoff_max = at.duration(
            "backoff_max",
            self.backoff_max,
            default.backoff_max,
            allowed.clone(),
        )?;
        if backoff_min > backoff_max {
            match (self.backoff_min, self.backoff_max) {
                (_, None) => backoff_max = backoff_min,
                (None, _) => backoff_min = backoff_max,
                (Some(_), Some(_)) => {
                    return Err(at.refuse(
                        "backoff_min",
                        format!(
                            "{} is too long; allowed: no more than restart.backoff_max, {}",
                            show_duration(backoff_min),
                            show_duration(backoff_max)
                        ),
                    ));
                }
            }
        }
        Ok(Restart {
            backoff_min,
            backoff_max,
            max_failures: at.whole(
                "max_failures",
                self.max_failures,
                default.max_failures,
                1..=1000,
            )?,
            window: at.duration("window", self.window, default.window, allowed.clone())?,
            cooldown: at.duration("cooldown", self.cooldown, default.cooldown, allowed)?,
        })
    }
}

fn to_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
