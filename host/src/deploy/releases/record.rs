//! What is known of one release, and what was decided about a service.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::super::fingerprint::Fingerprint;

/// What became of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It serves. One per service at the most.
    Live,
    /// It is tried beside the live one. One per service at the most.
    Canary,
    /// It can be run again.
    Kept,
    /// The host took it back. It is run again only if an operator names it.
    TakenBack,
    /// It waits for the operator. One per service at the most.
    Held,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Live => "live",
            Self::Canary => "canary",
            Self::Kept => "kept",
            Self::TakenBack => "taken_back",
            Self::Held => "held",
        })
    }
}

/// One release that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Counts the releases of a service from 1; never used again for another content.
    pub revision: u64,
    /// The component's and the manifest's SHA-256.
    pub content: Fingerprint,
    /// Of the component.
    pub size_bytes: u64,
    /// When it was last accepted from the services directory, to the millisecond.
    pub accepted_at: SystemTime,
    /// What became of it.
    pub state: State,
    /// Why it has that state, for people.
    pub note: Option<String>,
    /// The release that it came after: what was live when it was accepted.
    pub before: Option<u64>,
}

impl Record {
    /// Whether a rollback that names no release may end here.
    pub(super) fn is_good(&self) -> bool {
        matches!(self.state, State::Live | State::Kept)
    }

    /// Whether pruning leaves it alone for what it does now.
    pub(super) fn is_in_use(&self) -> bool {
        matches!(self.state, State::Live | State::Canary | State::Held)
    }
}

/// Who decided that a service doesn't run what lies in the services directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Why {
    /// The operator rolled back.
    #[serde(rename = "rollback-by-operator")]
    Operator,
    /// The host took a release back that failed.
    #[serde(rename = "taken-back")]
    TakenBack,
    /// The host holds a release until the operator says so.
    #[serde(rename = "held")]
    Held,
}

/// A decision that a service runs a release from the store, until its files change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// What lay in the services directory when it was decided.
    pub seen: Fingerprint,
    /// The revision that runs instead.
    pub run: u64,
    /// Who decided.
    pub why: Why,
    /// The revision that was taken back, if that is why.
    pub taken_back: Option<u64>,
    /// Why, for people.
    pub reason: String,
    /// When, to the millisecond.
    pub at: SystemTime,
}

impl Pin {
    /// Whether the decision still stands: the services directory holds `there` now.
    pub fn holds(&self, there: &Fingerprint) -> bool {
        self.seen == *there
    }
}

/// What of a time is kept: milliseconds since 1970.
pub(super) fn whole_milliseconds(at: SystemTime) -> SystemTime {
    from_milliseconds(milliseconds(at))
}

/// Milliseconds since 1970; 0 for what was before.
pub(super) fn milliseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time so many milliseconds after 1970.
pub(super) fn from_milliseconds(milliseconds: u64) -> SystemTime {
    let since = Duration::from_millis(milliseconds);
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

/// Whether this is a SHA-256 as this server writes it, and so a safe name for a file.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The name of a component's file.
pub(super) fn component_file(digest: &Arc<str>) -> String {
    format!("{digest}.wasm")
}

/// The name of a manifest's file.
pub(super) fn manifest_file(digest: &Arc<str>) -> String {
    format!("{digest}.toml")
}
