//! `NAME.toml`: what one service asks for.

use std::env::{self, VarError};
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::{
    Config, ConfigError, Grants, Rollout, ServiceName, at_least_one, at_least_one_u32, raw,
};
use crate::router::Pattern;

/// What a service asks for. Without a manifest it gets [`Manifest::default_for`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Which requests it gets; `/NAME` and everything below it. Empty: none.
    pub routes: Vec<Pattern>,
    /// The manifest doesn't name any routes: they are the default.
    pub default_routes: bool,
    /// What two requests may share.
    pub isolation: Isolation,
    /// Its part of the processors when they don't suffice for all, compared with the weights of others;
    /// [`Manifest::DEFAULT_WEIGHT`].
    pub weight: NonZeroU32,
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
    /// `[rollout]`; `None`: a new release takes over at once.
    pub rollout: Option<Rollout>,
}

/// What two requests of one service may share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// An instance runs one request after the other, in one memory.
    #[default]
    Instance,
    /// Nothing: each request runs in a fresh sandbox, made ahead of need, which is thrown away after
    /// it.
    Request,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failover {
    /// Which requests are run again.
    pub replay: Replay,
    /// For how long a request is refused whose like ended three instances in a row; 60 s, and longer
    /// each time it happens again. Zero: never.
    pub quarantine: Duration,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            replay: Replay::default(),
            quarantine: Duration::from_mins(1),
        }
    }
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
    /// Ten: there is room for more and for less.
    pub const DEFAULT_WEIGHT: NonZeroU32 = at_least_one_u32(10);

    /// The largest weight.
    pub const MAX_WEIGHT: NonZeroU32 = at_least_one_u32(100);

    /// What holds for a service that has no manifest, on this host.
    pub fn default_for(service: &ServiceName, host: &Config) -> Self {
        Self {
            routes: vec![Pattern::for_service(service)],
            default_routes: true,
            isolation: Isolation::default(),
            weight: Self::DEFAULT_WEIGHT,
            instances: Instances::default_on(host),
            limits: Limits::default_on(host),
            grants: Grants::default(),
            failover: Failover::default(),
            restart: Restart::default(),
            rollout: None,
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

    /// The same for a component that answers no requests; `file` is where it came from, for messages.
    ///
    /// # Errors
    ///
    /// It wants requests.
    pub fn without_requests(mut self, file: &Path) -> Result<Self, ConfigError> {
        if !self.default_routes && !self.routes.is_empty() {
            return Err(ConfigError::Value {
                file: file.to_owned(),
                key: "routes".into(),
                problem:
                    "the component exports no HTTP handler, only functions for other services, so \
                          no request can be sent to it; remove this key"
                        .into(),
            });
        }
        self.routes.clear();
        Ok(self)
    }

    /// Like [`parse`](Self::parse), with another environment.
    pub fn parse_with(
        service: &ServiceName,
        file: &Path,
        text: &str,
        host: &Config,
        environment: &dyn Fn(&str) -> Result<String, VarError>,
    ) -> Result<Self, ConfigError> {
        raw::manifest(service, file, text, host, environment)
    }
}

impl Instances {
    /// What holds unless the manifest says otherwise, on this host.
    pub(super) fn default_on(host: &Config) -> Self {
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
    /// What holds unless the manifest says otherwise, on this host.
    pub(super) fn default_on(host: &Config) -> Self {
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
