//! What can happen, and how much it matters.

use serde::Serialize;
use utoipa::ToSchema;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The host takes requests.
    HostStarted,
    /// The host takes no more requests and finishes those that it has.
    HostStopping,
    /// A release on its way, at a [`Stage`].
    Deploy,
    /// A new release gets a share of the requests.
    CanaryStarted,
    /// A new release did well with its share and gets all requests.
    CanaryPassed,
    /// The release before runs again.
    RolledBack,
    /// A service was removed.
    Removed,
    /// The operator holds the deploys of a service.
    Held,
    /// The operator holds them no more.
    Resumed,
    /// An instance can take requests.
    InstanceStarted,
    /// An instance ended.
    InstanceEnded,
    /// A service failed so often that it rests.
    BreakerOpened,
    /// A service that rested serves again.
    BreakerClosed,
    /// A request that ends one instance after the other is refused for a while.
    Quarantined,
    /// The operator changed something.
    Operator,
    /// Events that a follower missed; nobody else gets this one.
    Missed,
}

impl Kind {
    /// The kind as one word, for logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::HostStarted => "host_started",
            Self::HostStopping => "host_stopping",
            Self::Deploy => "deploy",
            Self::CanaryStarted => "canary_started",
            Self::CanaryPassed => "canary_passed",
            Self::RolledBack => "rolled_back",
            Self::Removed => "removed",
            Self::Held => "held",
            Self::Resumed => "resumed",
            Self::InstanceStarted => "instance_started",
            Self::InstanceEnded => "instance_ended",
            Self::BreakerOpened => "breaker_opened",
            Self::BreakerClosed => "breaker_closed",
            Self::Quarantined => "quarantined",
            Self::Operator => "operator",
            Self::Missed => "missed",
        }
    }

    /// How much an event of this kind matters if nothing else is said.
    pub(super) fn level(self) -> Level {
        match self {
            Self::RolledBack | Self::Held | Self::Quarantined | Self::Missed => Level::Warning,
            Self::BreakerOpened => Level::Error,
            _ => Level::Info,
        }
    }
}

/// How far a release has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its manifest and its component are checked.
    Validating,
    /// Its component is compiled.
    Compiling,
    /// Its instances are started.
    Warming,
    /// Requests go over to it.
    Shifting,
    /// It has all requests.
    Live,
    /// It was not taken.
    Refused,
    /// It waits for the operator.
    Held,
}

impl Stage {
    /// The stage as one word, for logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::Compiling => "compiling",
            Self::Warming => "warming",
            Self::Shifting => "shifting",
            Self::Live => "live",
            Self::Refused => "refused",
            Self::Held => "held",
        }
    }

    /// How much it matters that a release is there.
    pub(super) fn level(self) -> Level {
        match self {
            Self::Refused => Level::Error,
            Self::Held => Level::Warning,
            _ => Level::Info,
        }
    }
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It is as it should be.
    Info,
    /// Somebody should look at it.
    Warning,
    /// Somebody should do something.
    Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: impl Serialize) -> String {
        serde_json::to_string(&value).unwrap()
    }

    #[test]
    fn words_are_those_of_the_api() {
        for kind in [Kind::HostStarted, Kind::RolledBack, Kind::InstanceEnded] {
            assert_eq!(json(kind), format!("{:?}", kind.word()));
        }
        for stage in [Stage::Validating, Stage::Live, Stage::Refused] {
            assert_eq!(json(stage), format!("{:?}", stage.word()));
        }
        assert_eq!(json(Level::Warning), "\"warning\"");
    }
}
