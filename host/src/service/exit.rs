//! How an instance ended, and the last of such ends.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

/// Names one instance for as long as the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, example = "12")]
pub struct InstanceId(pub u64);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Serialize for InstanceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why an instance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// It ended in good order: too many requests served, too much memory, a drain.
    Retired,
    /// It failed far more of its requests than the others, and was put out.
    Ejected,
    /// The guest trapped.
    Trap,
    /// A request's deadline passed while the guest worked on it.
    Deadline,
    /// The guest asked for more memory or table space than its limit.
    Memory,
    /// It could not be instantiated.
    Start,
    /// An operator ended it, or a drain ran out of time.
    Killed,
    /// Its clients had gone, and the guest didn't come to an end by itself.
    Abandoned,
    /// A call of a function that another service exports came to no result.
    Call,
    /// Such a call reached nobody: the service is not there, or takes no more.
    Unavailable,
    /// The host's own code failed. A bug of Wharf.
    Host,
}

/// How an instance ended under a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// Why.
    pub reason: ExitReason,
    /// Other requests were in the instance, and any of them may have been the cause.
    pub in_company: bool,
    /// The guest was running, not waiting for something.
    pub computing: bool,
}

impl Death {
    /// The end of an instance in which nothing else was known to go on.
    pub fn of(reason: ExitReason) -> Self {
        Self {
            reason,
            in_company: false,
            computing: false,
        }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl ExitReason {
    /// All reasons, for metrics that start at zero.
    pub const ALL: [Self; 11] = [
        Self::Retired,
        Self::Ejected,
        Self::Trap,
        Self::Deadline,
        Self::Memory,
        Self::Start,
        Self::Killed,
        Self::Abandoned,
        Self::Call,
        Self::Unavailable,
        Self::Host,
    ];

    /// The reason as one word, for metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Retired => "retired",
            Self::Ejected => "ejected",
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Start => "start",
            Self::Killed => "killed",
            Self::Abandoned => "abandoned",
            Self::Call => "call",
            Self::Unavailable => "unavailable",
            Self::Host => "host",
        }
    }

    /// Whether the guest is to blame.
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Self::Trap | Self::Deadline | Self::Memory | Self::Start | Self::Host
        )
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retired => "it was retired",
            Self::Ejected => "it failed too many of its requests",
            Self::Trap => "it trapped",
            Self::Deadline => "it ran past a deadline",
            Self::Memory => "it asked for more memory than its limit",
            Self::Start => "it could not be started",
            Self::Killed => "it was killed",
            Self::Abandoned => "its clients had gone",
            Self::Call => "a call of another service failed",
            Self::Unavailable => "a service that it calls can't be had",
            Self::Host => "the host failed",
        })
    }
}

/// How one instance ended, as the instance itself tells it.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Why.
    pub reason: ExitReason,
    /// The cause in words, without anything of a request's content.
    pub message: String,
    /// The guest's frames, innermost first; empty where there are none.
    pub backtrace: Vec<String>,
    /// The requests it was working on, as `METHOD /path`.
    pub requests: Vec<String>,
}

impl Exit {
    /// An exit without backtrace and requests.
    pub fn plain(reason: ExitReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            backtrace: Vec::new(),
            requests: Vec::new(),
        }
    }
}

/// One exit as it is kept for the operator.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExitRecord {
    /// The service's name.
    pub service: String,
    /// The digest of the release, as hex.
    pub release: String,
    /// The instance.
    pub instance: InstanceId,
    /// Why it ended.
    pub reason: ExitReason,
    /// The cause in words.
    pub message: String,
    /// The guest's frames, innermost first.
    pub backtrace: Vec<String>,
    /// The requests it was working on, as `METHOD /path`.
    pub requests: Vec<String>,
    /// The age it reached, in seconds.
    pub age_seconds: f64,
    /// How many requests it had served.
    pub served: u64,
    /// When it ended, in seconds since 1970-01-01 UTC.
    pub at: f64,
}

/// Seconds since 1970-01-01 UTC, as the API gives times.
pub fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs_f64()
}

/// The last exits of all services, newest first.
#[derive(Debug, Default)]
pub struct ExitLog(Mutex<VecDeque<ExitRecord>>);

impl ExitLog {
    /// How many are kept.
    pub const KEPT: usize = 100;

    /// Keeps a record. Beyond [`Self::KEPT`] the oldest orderly exit is forgotten first, so that a
    /// busy day of deploys doesn't wash the evidence of a crash away.
    pub fn push(&self, record: ExitRecord) {
        let mut records = self.0.lock();
        if records.len() >= Self::KEPT {
            let oldest_orderly = records
                .iter()
                .rposition(|record| record.reason == ExitReason::Retired);
            records.remove(oldest_orderly.unwrap_or(Self::KEPT - 1));
        }
        records.push_front(record);
    }

    /// What is kept, newest first.
    pub fn snapshot(&self) -> Vec<ExitRecord> {
        self.0.lock().iter().cloned().collect()
    }
}
