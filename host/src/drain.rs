//! When to stop: on SIGTERM or SIGINT in good order, on a second one at once.

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

/// The signals that end the process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from the system's default, which is to end at once.
    ///
    /// # Errors
    ///
    /// A system that doesn't let it.
    pub fn take() -> Result<Self> {
        let take = |kind| signal(kind).context("signals can't be handled");
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
        })
    }

    /// Waits for one of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Says `stop` at the first signal and returns at the second.
    pub async fn drive(mut self, stop: watch::Sender<bool>) {
        self.next().await;
        info!("stopping: no new connections; requests in flight are finished");
        stop.send_replace(true);
        self.next().await;
        warn!("a second signal: stopping at once");
    }
}
