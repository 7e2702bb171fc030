//! `[rollout]`: how a new release takes over from the one that runs.

use std::num::NonZeroU16;
use std::time::Duration;

use http::HeaderName;

/// How a new release takes over. Without the section it does so at once, when it is warm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// The share of the requests that it gets first.
    pub canary: Share,
    /// How long it has to stand up to the running release with that share; 30 s.
    pub lasts: Duration,
    /// It is taken back when more of its requests fail than this, whatever the comparison says.
    /// `None`: the comparison alone decides.
    pub max_failures: Option<u64>,
    /// What of a request decides whether it belongs to the share.
    pub by: Key,
}

impl Rollout {
    /// How long a canary lasts unless the manifest says otherwise.
    pub const LASTS: Duration = Duration::from_secs(30);
}

/// A part of all requests, in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(NonZeroU16);

impl Share {
    /// All requests.
    pub const WHOLE: u16 = 10_000;

    /// So many hundredths of a percent. `None` for no share, or for all and more.
    pub fn new(hundredths: u16) -> Option<Self> {
        NonZeroU16::new(hundredths)
            .filter(|share| share.get() < Self::WHOLE)
            .map(Self)
    }

    /// In hundredths of a percent.
    pub fn hundredths(self) -> u16 {
        self.0.get()
    }

    /// As a part of 1.
    pub fn part(self) -> f64 {
        f64::from(self.0.get()) / f64::from(Self::WHOLE)
    }
}

/// What of a request decides whether it belongs to a canary's share. Requests that agree in it go to
/// the same release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Key {
    /// The client's address.
    #[default]
    Address,
    /// The value of a header field; the address where there is none.
    Header(HeaderName),
    /// The request itself: each is drawn by lot.
    Request,
}
