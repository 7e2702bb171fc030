//! What the service asks of whoever runs instances. It is all that `service` knows of them, so that
//! its tests run instances of their own making, without WebAssembly.

use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::exit::{Exit, InstanceId};
use super::lease::Vitals;
use super::mailbox::Inbox;
use super::meter::Meter;

/// What a new instance is given.
pub struct Seat {
    /// Its name.
    pub id: InstanceId,
    /// Its attempts. It ends when the instance is to.
    pub inbox: Inbox,
    /// Where it tells about itself.
    pub vitals: Arc<Vitals>,
    /// What it uses of the processors.
    pub meter: Arc<Meter>,
    /// To be sent when it can take attempts.
    pub ready: oneshot::Sender<()>,
}

/// Runs instances.
pub trait Launch: Send + Sync + 'static {
    /// Requests one instance may hold at once.
    fn concurrency(&self) -> NonZeroUsize;

    /// Runs one instance until its inbox ends or something ends it. Attempts it hadn't started
    /// by then are answered [`NotStarted`](crate::dispatch::AttemptError::NotStarted).
    fn run(&self, seat: Seat) -> BoxFuture<'static, Ended>;
}

/// How an instance ended, with what the restart policy must know.
pub struct Ended {
    /// For the operator.
    pub exit: Exit,
    /// The requests it was working on are to blame: they had killed another instance before, or
    /// their clients broke them.
    pub blameless: bool,
    /// What is left of it. Dropping it tells those who wait for an answer, so that is done after
    /// the exit is recorded: who hears of a death can look it up.
    pub remains: Box<dyn Send>,
}

impl Ended {
    /// An end that nobody waits for.
    pub fn quietly(exit: Exit) -> Self {
        Self {
            exit,
            blameless: false,
            remains: Box::new(()),
        }
    }
}
