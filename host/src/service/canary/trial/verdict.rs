//! Why a canary is taken back.

use std::fmt;
use std::time::Duration;

use super::Tally;

/// Why a canary is taken back. `Display` is one sentence for an operator, without a full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It fails more often than the running release.
    Failures {
        /// What was seen of the canary.
        canary: Tally,
        /// What was seen of the running release.
        running: Tally,
    },
    /// It is slower than the running release.
    Latency {
        /// Nine tenths of its answers took no longer.
        canary: Duration,
        /// The same of the running release, lately.
        running: Duration,
    },
    /// It failed more often than it may, whatever the running release did.
    TooMany {
        /// Failures of the canary.
        failures: u64,
        /// Failures that it may have.
        most: u64,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failures { canary, running } => write!(
                f,
                "it failed {} of its {} requests ({:.1} %), the running release {} of {} ({:.1} %)",
                canary.failures,
                canary.requests,
                percent(canary),
                running.failures,
                running.requests,
                percent(running),
            ),
            Self::Latency { canary, running } => write!(
                f,
                "it is slower: one in ten of its answers took longer than {:.1} ms, of the running \
                 release's longer than {:.1} ms",
                canary.as_secs_f64() * 1e3,
                running.as_secs_f64() * 1e3,
            ),
            Self::TooMany { failures, most } => {
                write!(f, "{failures} of its requests failed, and {most} may")
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people, with one decimal")]
fn percent(tally: &Tally) -> f64 {
    tally.failures as f64 / tally.requests.max(1) as f64 * 100.0
}
