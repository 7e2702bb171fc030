//! One event, and how it is made.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::kind::{Kind, Level, Stage};
use crate::config::ServiceName;
use crate::service::ReleaseInfo;
use crate::service::exit::InstanceId;
use crate::telemetry::feed::Entry;

/// Names one event: a number that grows by one, after some digits that differ from process to process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    pub(super) boot: u32,
    pub(super) number: u64,
}

/// Something that happened, for people and for programs that watch the host.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Event {
    /// Its name; given when it is told.
    #[schema(value_type = Option<String>, example = "5f3a2b-17")]
    pub(super) id: Option<EventId>,
    /// When, in seconds since 1970-01-01 UTC; set when it is told.
    pub at: f64,
    /// What it is about.
    pub kind: Kind,
    /// The service, if it is about one.
    pub service: Option<ServiceName>,
    /// How much it matters.
    pub level: Level,
    /// What happened, in one sentence for people.
    pub message: String,
    /// The revision of the release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The digest of the release's component, as hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Arc<str>>,
    /// The instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// How far the release has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Event {
    /// The bytes of a message or a reason that are kept.
    pub const LONGEST: usize = 4 << 10;

    /// An event of this kind that says nothing yet.
    #[must_use]
    pub fn of(kind: Kind) -> Self {
        Self {
            id: None,
            at: 0.0,
            kind,
            service: None,
            level: kind.level(),
            message: String::new(),
            revision: None,
            digest: None,
            instance: None,
            stage: None,
            reason: None,
        }
    }

    /// A release at this stage of its way.
    #[must_use]
    pub fn deploy(stage: Stage) -> Self {
        Self {
            stage: Some(stage),
            level: stage.level(),
            ..Self::of(Kind::Deploy)
        }
    }

    /// It is about this service.
    #[must_use]
    pub fn service(mut self, name: &ServiceName) -> Self {
        self.service = Some(name.clone());
        self
    }

    /// It matters as much as this, not as much as its kind does mostly.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// It is about this release.
    #[must_use]
    pub fn release(self, release: &ReleaseInfo) -> Self {
        let event = self.service(&release.service);
        event.revision(release.revision).digest(&release.digest)
    }

    /// It is about the release of this revision.
    #[must_use]
    pub fn revision(mut self, revision: u64) -> Self {
        self.revision = Some(revision);
        self
    }

    /// It is about the release of this digest.
    #[must_use]
    pub fn digest(mut self, digest: &Arc<str>) -> Self {
        self.digest = Some(Arc::clone(digest));
        self
    }

    /// It is about this instance.
    #[must_use]
    pub fn instance(mut self, instance: InstanceId) -> Self {
        self.instance = Some(instance);
        self
    }

    /// Why it happened.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(cut(reason.into()));
        self
    }

    /// What happened, in one sentence for people.
    #[must_use]
    pub fn say(mut self, message: impl Into<String>) -> Self {
        self.message = cut(message.into());
        self
    }

    /// It is no line of the log by itself: a step on the way to another event, or told there with more.
    pub(super) fn is_quiet(&self) -> bool {
        let steps = [
            Stage::Validating,
            Stage::Compiling,
            Stage::Warming,
            Stage::Shifting,
        ];
        let instances = [Kind::InstanceStarted, Kind::InstanceEnded];
        instances.contains(&self.kind) || self.stage.is_some_and(|stage| steps.contains(&stage))
    }

    /// Its name, once it is told.
    pub fn id(&self) -> Option<EventId> {
        self.id
    }
}

/// What the log keeps of a text that is too long.
fn cut(mut text: String) -> String {
    if text.len() > Event::LONGEST {
        text.truncate(text.floor_char_boundary(Event::LONGEST));
        text.push('…');
    }
    text
}

impl Entry for Event {
    fn bytes(&self) -> usize {
        let reason = self.reason.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.message.len() + reason
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06x}-{}", self.boot, self.number)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that names no event.
#[derive(Debug, thiserror::Error)]
#[error("the id of an event is some hex digits, \"-\" and a number")]
pub struct InvalidEventId;

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        let (boot, number) = text.split_once('-').ok_or(InvalidEventId)?;
        Ok(Self {
            boot: u32::from_str_radix(boot, 16).map_err(|_| InvalidEventId)?,
            number: number.parse().map_err(|_| InvalidEventId)?,
        })
    }
}
