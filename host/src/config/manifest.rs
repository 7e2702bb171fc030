//! `NAME.toml`: what one service asks for.

use std::collections::BTreeSet;
use std::env::{self, VarError};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::decode::{decode, section};
use super::grants::{Grants, RawGrants};
use super::section::{LONGEST, SHORTEST, Section, at_least_one, at_least_one_u32};
use super::server::WASM_PAGE;
use super::units::{Count, Limit, Size, Span, show_duration, show_size};
use super::{Config, ConfigError, ServiceName};
use crate::router::Pattern;

/// What a service asks for. Without a manifest it gets [`Manifest::default_for`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Which requests it gets; `/NAME` and everything below it. Empty: none.
    pub routes: Vec<Pattern>,
    /// `[instances]`
    pub instances: Instances,
    /// `[limits]`
    pub limits: Limits,
    /// `[grants]`; nothing is granted by default.
    pub grants: Grants,
    /// `[failover]`
    pub failover: Failover,
    /// `[restart]`
    pub restart: Restart,
}

/// How many instances there are, and how long each lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instances {
    /// Instances that are kept alive; [`Instances::DEFAULT_COUNT`].
    pub count: NonZeroUsize,
    /// Requests that one instance runs at the same time. `None`: the host decides by what the
    /// component is: 1 for `wasi:http` 0.2, 16 for 0.3.
    pub concurrency: Option<NonZeroUsize>,
    /// Requests after which an instance is retired; 100 000. `None`: never.
    pub max_requests: Option<NonZeroU64>,
    /// The memory, in bytes, with which an instance is retired once it is idle. `None`: three
    /// quarters of [`Limits::memory`].
    pub max_memory_before_retire: Option<usize>,
}

/// What one instance and one request may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The memory of one instance, in bytes; 128 MiB, or the server's `sandbox.max_memory` if
    /// that is less.
    pub memory: usize,
    /// How long a request may take, from its head to the end of its response; 30 s.
    pub timeout: Duration,
    /// The body of a request, in bytes; 10 MiB. [`u64::MAX`]: unlimited.
    pub request_body: u64,
    /// How much of a body is kept so that its request can be replayed, in bytes; 64 KiB.
    pub replay_body: usize,
    /// Requests that may wait for an instance; 256. 0: none ever waits.
    pub queue: usize,
    /// How long a request may wait for an instance; 5 s, or [`timeout`](Self::timeout) if that is
    /// less.
    pub queue_wait: Duration,
    /// How long an instance may take to start; 10 s.
    pub start: Duration,
}

/// What becomes of a request whose instance died.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failover {
    /// Which requests are run again.
    pub replay: Replay,
}

/// Which interrupted requests are run again on another instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Replay {
    /// Those that had no effect yet, whatever their method.
    #[default]
    Safe,
    /// Those, and those that had effects but whose method is idempotent (RFC 9110, 9.2.2).
    Idempotent,
    /// None.
    Never,
}

/// How instances that die are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// The wait before the second start in a row, doubled for each one after; 100 ms.
    pub backoff_min: Duration,
    /// The longest wait; 30 s.
    pub backoff_max: Duration,
    /// Failures within [`window`](Self::window) that open the breaker; 5.
    pub max_failures: NonZeroU32,
    /// The time within which failures count together; 60 s.
    pub window: Duration,
    /// How long the breaker stays open before one instance is tried; 10 s.
    pub cooldown: Duration,
}

impl Instances {
    /// Two: the least with which one instance can die, or be replaced, unnoticed.
    pub const DEFAULT_COUNT: NonZeroUsize = at_least_one(2);
}

impl Manifest {
    /// What holds for a service that has no manifest, on this host.
    pub fn default_for(service: &ServiceName, host: &Config) -> Self {
        Self {
            routes: vec![Pattern::for_service(service)],
            instances: Instances::default_on(host),
            limits: Limits::default_on(host),
            grants: Grants::default(),
            failover: Failover::default(),
            restart: Restart::default(),
        }
    }

    /// Takes the text of the manifest of `service`; `file` is where it came from, for messages.
    /// Settings with `from_env` are read from the environment of this process.
    pub fn parse(
        service: &ServiceName,
        file: &Path,
        text: &str,
        host: &Config,
    ) -> Result<Self, ConfigError> {
        Self::parse_with(service, file, text, host, &|name| env::var(name))
    }

    /// Like [`parse`](Self::parse), with another environment.
    pub fn parse_with(
        service: &ServiceName,
        file: &Path,
        text: &str,
        host: &Config,
        environment: &dyn Fn(&str) -> Result<String, VarError>,
    ) -> Result<Self, ConfigError> {
        let raw: RawManifest = decode(file, text)?;
        let limits = raw.limits.check(Section::new(file, "limits"), host)?;
        Ok(Self {
            routes: match raw.routes {
                None => vec![Pattern::for_service(service)],
                Some(written) => routes(Section::new(file, ""), &written)?,
            },
            instances: raw
                .instances
                .check(Section::new(file, "instances"), host, &limits)?,
            limits,
            grants: raw
                .grants
                .check(Section::new(file, "grants"), environment)?,
            failover: Failover {
                replay: raw.failover.replay.unwrap_or_default(),
            },
            restart: raw.restart.check(Section::new(file, "restart"))?,
        })
    }
}

impl Instances {
    fn default_on(host: &Config) -> Self {
        let most = NonZeroUsize::try_from(host.sandbox.max_instances).unwrap_or(NonZeroUsize::MAX);
        Self {
            count: Self::DEFAULT_COUNT.min(most),
            concurrency: None,
            max_requests: NonZeroU64::new(100_000),
            max_memory_before_retire: None,
        }
    }
}

impl Limits {
    fn default_on(host: &Config) -> Self {
        Self {
            memory: host.sandbox.max_memory.min(128 << 20),
            timeout: Duration::from_secs(30),
            request_body: 10 << 20,
            replay_body: 64 << 10,
            queue: 256,
            queue_wait: Duration::from_secs(5),
            start: Duration::from_secs(10),
        }
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            max_failures: at_least_one_u32(5),
            window: Duration::from_mins(1),
            cooldown: Duration::from_secs(10),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawManifest {
    routes: Option<Vec<String>>,
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
    let mut seen = BTreeSet::new();
    let mut patterns = Vec::with_capacity(written.len());
    for (index, text) in written.iter().enumerate() {
        let key = format!("routes[{index}]");
        let pattern: Pattern = text
            .parse()
            .map_err(|error| at.refuse(&key, format!("{error}")))?;
        if !seen.insert(pattern.to_string()) {
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
