//! What the end-to-end tests stand on: Wharf's real binary on ports of its own, guests built by
//! cargo, and a client that notices everything.
//!
//! ```ignore
//! let wharf = Wharf::builder().service("fault", fault()).start().await;
//! assert_eq!(wharf.get("/fault/hello").await.status, 200);
//! ```
//!
//! Nothing here is decided by the speed of the machine: what takes time is waited for, with a bound
//! ([`PATIENCE`]) that only a hang reaches.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking, and a message that says what was expected is worth a lot"
)]

pub mod build;
pub mod client;
pub mod collector;
mod compiled;
pub mod held;
pub mod load;
mod output;
pub mod seen;
mod server;
pub mod upstream;
pub mod wharf;

use std::time::Duration;

pub use build::{guest, test_guest};
pub use client::{Client, Reply, Target, streamed, whole};
pub use collector::Collector;
pub use held::Held;
pub use load::{Load, Tally};
pub use seen::Seen;
pub use upstream::Upstream;
pub use wharf::{Builder, Wharf};

/// How long anything may take before it counts as hung.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until `look` finds what it looks for, and gives it back.
///
/// # Panics
///
/// After [`PATIENCE`], naming `what` was waited for.
pub async fn wait_for<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < patience,
            "waited {PATIENCE:?} in vain until {what}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until `look` says yes; else as [`wait_for`].
pub async fn wait_until<F>(what: &str, mut look: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    wait_for(what, || {
        let looking = look();
        async { looking.await.then_some(()) }
    })
    .await;
}
