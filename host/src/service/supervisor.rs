//! The operator's end of the task that keeps a pool's instances alive ([`keeper`](super::keeper)).

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::warn;

use super::exit::{Exit, InstanceId};
use super::gate::Share;
use super::keeper::Keeper;
use super::launch::Launch;
use super::pool::Pool;
use super::{Ledger, ReleaseInfo};
use crate::config::Restart;
use crate::telemetry::metrics::ServiceMetrics;

/// What a supervisor works with.
pub struct Crew {
    /// Where ready instances go.
    pub pool: Arc<Pool>,
    /// Who runs them.
    pub launcher: Arc<dyn Launch>,
    /// How many are to be there.
    pub count: NonZeroUsize,
    /// When the dead are replaced.
    pub restart: Restart,
    /// What they run, for records.
    pub release: Arc<ReleaseInfo>,
    /// Where exits are recorded.
    pub ledger: Arc<Ledger>,
    /// Where starts and exits are counted.
    pub metrics: ServiceMetrics,
    /// What pays for the processors that they use.
    pub share: Arc<Share>,
}

/// What the supervisor is told.
pub(super) enum Command {
    Ready(InstanceId),
    Kill(InstanceId, oneshot::Sender<bool>),
    Drain(Instant),
}

/// The operator's end of a supervisor.
pub struct Supervisor {
    commands: mpsc::UnboundedSender<Command>,
    task: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

impl Supervisor {
    /// Starts `count` instances. The receiver hears when all of them are ready, or how the first
    /// that wasn't ended; in that case the supervisor is over.
    pub fn start(crew: Crew) -> (Self, oneshot::Receiver<Result<(), Exit>>) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (warm, warmed) = oneshot::channel();
        let keeper = Keeper::new(crew, commands.downgrade(), warm);
        let task = tokio::spawn(keeper.run(inbox));
        (
            Self {
                commands,
                task: parking_lot::Mutex::new(Some(task)),
            },
            warmed,
        )
    }

    /// Ends one instance at once. `false` if there is none of that name.
    pub async fn kill(&self, id: InstanceId) -> bool {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Kill(id, reply)).is_ok() && answer.await.unwrap_or(false)
    }

    /// Lets the pool finish what it has, then ends it; at `until` whatever is left is killed.
    pub fn drain(&self, until: Instant) {
        // a supervisor that is over has nothing left to drain
        let _ = self.commands.send(Command::Drain(until));
    }

    /// Waits until the supervisor is over.
    pub async fn ended(&self) {
        let task = self.task.lock().take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            warn!(%error, "a supervisor failed");
        }
    }
}
