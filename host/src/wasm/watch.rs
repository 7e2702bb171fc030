//! What ends guest code that doesn't end by itself.
//!
//! Code that runs is interrupted by the epoch ([`super::instance`]); code that waits is ended here:
//! at the first deadline of the requests in the instance, or when all their clients have gone. In a
//! 0.3 instance a guest that is busy, or in a host call that needs the whole store, keeps
//! `run_concurrent` from polling anything else (wasmtime issues 11869 and 11870), so this stands
//! around it and not in it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::active::Active;
use crate::service::lease::Vitals;
use crate::service::meter::Meter;

/// How long a guest may go on with requests whose clients have gone. Long enough to finish what is
/// nearly done, short enough that nobody can fill a pool by hanging up.
const LINGER: Duration = Duration::from_secs(2);

/// A request's deadline passed while the guest was working on it. Ends the instance.
#[derive(Debug, thiserror::Error)]
#[error("a request's deadline passed while the guest was working on it")]
pub(super) struct DeadlinePassed {
    /// The guest was running, not waiting for something.
    pub(super) computing: bool,
}

/// The clients of everything that the instance was working on have gone. Ends the instance.
#[derive(Debug, thiserror::Error)]
#[error("its clients went away and the guest went on for {LINGER:?}")]
pub(super) struct ClientsGone;

/// What the task around a store watches while guest code has the store.
pub(super) struct Watch {
    /// The requests being worked on.
    pub(super) active: Active,
    /// What the instance tells of itself.
    pub(super) vitals: Arc<Vitals>,
    /// What it uses of the processors.
    pub(super) meter: Arc<Meter>,
}

impl Watch {
    /// Lets the guest work, until it has to be ended.
    ///
    /// # Errors
    ///
    /// What ended the guest.
    pub(super) async fn over<T>(
        &self,
        work: impl Future<Output = wasmtime::Result<T>>,
    ) -> wasmtime::Result<T> {
        let mut work = pin!(work);
        let mut abandoned = pin!(self.abandoned());
        // Set once and left alone while deadlines only get later, which is nearly always: a timer
        // for each request would cost more than all the rest of this.
        let mut alarm = pin!(sleep_until(Instant::now()));
        let mut armed = false;
        poll_fn(|cx| {
            if let Poll::Ready(result) = work.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            if let Poll::Ready(gone) = abandoned.as_mut().poll(cx) {
                return Poll::Ready(Err(gone.into()));
            }
            loop {
                if let Some(first) = self.active.first_deadline()
                    && !(armed && alarm.deadline() <= first)
                {
                    alarm.as_mut().reset(first);
                    armed = true;
                }
                if !armed {
                    return Poll::Pending;
                }
                ready!(alarm.as_mut().poll(cx));
                armed = false;
                // it may have been set for a request that is over
                let first = self.active.first_deadline();
                if first.is_some_and(|first| first <= Instant::now()) {
                    return Poll::Ready(Err(DeadlinePassed { computing: false }.into()));
                }
            }
        })
        .await
    }

    /// Waits until the clients of all requests in the instance have been gone for [`LINGER`].
    async fn abandoned(&self) -> ClientsGone {
        loop {
            self.vitals.abandoned.notified().await;
            while self.active.is_abandoned() {
                sleep(LINGER).await;
                if self.active.is_abandoned() {
                    return ClientsGone;
                }
            }
        }
    }
}
