//! What a service can be asked for: the answer to a request, or the result of a function that it exports.
//!
//! The way through the instances is the same for both ([`Service::dispatch`](super::Service::dispatch));
//! here is what differs: what a try is given, what it gives, and what may be done when it is interrupted.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::drive::Hold;
use super::exit::Death;
use super::guarded::Guarded;
use super::lane::Lane;
use super::lease::Lease;
use crate::calls::TRACE;
use crate::dispatch::{
    Answer, AttemptError, Caller, DispatchError, Exchange, Job, Line, Noted, RequestId, Work,
};
use crate::telemetry::otlp::Trace;

/// The place where what comes of a try is waited for.
pub type Awaited<T> = oneshot::Receiver<Result<T, AttemptError>>;

/// One piece of work for a service. It stays with whoever waits for it, across all tries.
pub trait Errand: Sync {
    /// What an instance gives for it.
    type Outcome: Send;
    /// What whoever asked gets.
    type Answer: Send;

    /// Names the request that it is, or is part of.
    fn id(&self) -> &RequestId;

    /// When it must be over.
    fn deadline(&self) -> Instant;

    /// The share of all requests that it belongs to.
    fn lane(&self) -> Lane;

    /// The service that asks, if it is one.
    fn caller(&self) -> Option<&Caller>;

    /// What it is, for exit records.
    fn line(&self) -> Line;

    /// What one try is given, whose spans are part of `trace`.
    fn work(&self, trace: Option<&Trace>) -> (Work, Awaited<Self::Outcome>);

    /// Makes the answer of what an instance gave, whose place in it is `lease`. What the instance does
    /// after that is not to be seen before, so it is on `hold` until then, or until the answer needs it.
    ///
    /// # Errors
    ///
    /// The instance died over it, and nothing of it has gone on to whoever asked.
    fn finish(
        &self,
        outcome: Self::Outcome,
        lease: Arc<Lease>,
        hold: Option<Hold<'_>>,
    ) -> impl Future<Output = Result<Self::Answer, Death>> + Send;

    /// Whether what an instance gives says that the guest failed.
    fn is_failure(_outcome: &Self::Outcome) -> bool {
        false
    }

    /// What whoever asked did wrong; an instance can't be blamed for it.
    fn fault(&self) -> Option<DispatchError> {
        None
    }

    /// Whether to do it twice is the same as to do it once.
    fn is_idempotent(&self) -> bool;

    /// Whether all of it is still at hand.
    fn is_replayable(&self) -> bool;

    /// What whoever records it wants to know; `None` if nobody does.
    fn noted(&self) -> Option<&Noted> {
        None
    }

    /// The request, if it is one, for the quarantine.
    fn request(&self) -> Option<&Job> {
        None
    }

    /// The time left before the deadline.
    fn time_left(&self) -> Duration {
        self.deadline().saturating_duration_since(Instant::now())
    }
}

impl Errand for Job {
    type Outcome = Answer;
    type Answer = Answer;

    fn id(&self) -> &RequestId {
        &self.id
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn lane(&self) -> Lane {
        self.lane
    }

    fn caller(&self) -> Option<&Caller> {
        self.caller.as_deref()
    }

    fn line(&self) -> Line {
        Line::new(&self.head)
    }

    fn work(&self, trace: Option<&Trace>) -> (Work, Awaited<Answer>) {
        let (reply, answer) = oneshot::channel();
        let mut head = self.head.give();
        let traced = match trace {
            Some(trace) => {
                trace.inject(&mut head.headers);
                TRACE.each_ref().map(|name| head.headers.get(name).cloned())
            }
            None => self.head.trace.clone(),
        };
        let exchange = Exchange {
            head,
            reader: self.body.reader(),
            body: self.body.clone(),
            trace: traced.iter().any(Option::is_some).then(|| traced.into()),
            reply,
        };
        (Work::Http(exchange), answer)
    }

    async fn finish(
        &self,
        response: Answer,
        lease: Arc<Lease>,
        hold: Option<Hold<'_>>,
    ) -> Result<Answer, Death> {
        lease.note_answer(Self::is_failure(&response));
        let request = self.body.clone();
        Guarded::wrap(response, (lease, hold), request, self.deadline).await
    }

    /// A status can say that: not that the guest refuses for reasons of its own.
    fn is_failure(response: &Answer) -> bool {
        let said = [StatusCode::NOT_IMPLEMENTED, StatusCode::SERVICE_UNAVAILABLE];
        response.status().is_server_error() && !said.contains(&response.status())
    }

    /// A body that is too large, or that its client broke off.
    fn fault(&self) -> Option<DispatchError> {
        if self.body.too_large() {
            Some(DispatchError::TooLarge {
                limit: self.body.limit(),
            })
        } else if self.body.client_broke_off() {
            Some(DispatchError::ClientBody)
        } else {
            None
        }
    }

    fn is_idempotent(&self) -> bool {
        self.head.method.is_idempotent()
    }

    fn is_replayable(&self) -> bool {
        self.body.replayable()
    }

    fn noted(&self) -> Option<&Noted> {
        Some(&self.noted)
    }

    fn request(&self) -> Option<&Job> {
        Some(self)
    }
}
