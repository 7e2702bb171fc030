//! What travels from the ingress to an instance, and what comes back.
//!
//! A [`Job`] is one request on its way: it stays with whoever dispatches it, across all tries. Each
//! try hands one instance an [`Attempt`], a copy of the request with a channel for the answer. The
//! [`Effects`] of a try are recorded before they happen, so that "no effect" is never said too early.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::body::{Body, ReplayBody};
use crate::service::exit::ExitReason;
use crate::service::lease::Lease;

/// Names one request in answers, logs and exit records. 1 to 64 of `[A-Za-z0-9._-]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A new random id of 128 bits.
    pub fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()).into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that can't be a request id.
#[derive(Debug, thiserror::Error)]
#[error("a request id is 1 to 64 of A-Z a-z 0-9 . _ -")]
pub struct InvalidRequestId;

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidRequestId)
        }
    }
}

/// What a try did that the world outside its instance can see.
#[derive(Debug, Default)]
pub struct Effects(AtomicU8);

/// One kind of visible effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Effect {
    /// A write to a key-value bucket was asked for.
    Write = 1,
    /// A request to another service or the network was sent.
    Outbound = 2,
    /// The head of the response was given to the client.
    Head = 4,
}

impl Effects {
    /// Records an effect. Call it before the effect happens.
    pub fn record(&self, effect: Effect) {
        self.0.fetch_or(effect as u8, Ordering::Release);
    }

    /// Whether nothing has become visible.
    pub fn none(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

/// One request on its way, kept by its dispatcher until it is answered.
pub struct Job {
    /// Names the request.
    pub id: RequestId,
    /// The head, as the guest is to see it.
    pub head: Parts,
    /// The body, with what is kept of it for a replay.
    pub body: ReplayBody,
    /// When the request must be over, its body included.
    pub deadline: Instant,
    /// How many services called one another before this one.
    pub hops: u8,
}

impl Job {
    /// `METHOD /path` without the query, which may hold secrets.
    pub fn line(&self) -> Arc<str> {
        format!("{} {}", self.head.method, self.head.uri.path()).into()
    }

    /// The time left before the deadline.
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// A copy of the request for one try.
    pub fn request(&self) -> Request<Body> {
        Request::from_parts(self.head.clone(), self.body.reader())
    }
}

/// One try of a job, as an instance gets it.
pub struct Attempt {
    /// Names the request.
    pub id: RequestId,
    /// `METHOD /path`, for exit records.
    pub line: Arc<str>,
    /// The request itself.
    pub request: Request<Body>,
    /// Its body as the client sends it, to tell whom to blame.
    pub body: ReplayBody,
    /// When the request must be over.
    pub deadline: Instant,
    /// The number of this try; 1 for the first.
    pub tries: u32,
    /// Where this try's effects are recorded.
    pub effects: Arc<Effects>,
    /// Where the answer goes.
    pub reply: Reply,
    /// The place in the instance; held until its work for this try is done.
    pub lease: Arc<Lease>,
}

/// The answering end of an attempt.
pub type Reply = oneshot::Sender<Result<Response<Body>, AttemptError>>;

/// Why a try brought no response.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// The instance ended before it looked at the request.
    #[error("the instance ended before the request was started")]
    NotStarted,
    /// The instance ended while it worked on the request.
    #[error("the instance ended: {0}")]
    Died(ExitReason),
    /// The guest answered with an error of its interface instead of a response, or with nothing.
    /// The instance lives on.
    #[error("{0}")]
    Guest(String),
}

/// Why a job got no response from its service.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The queue of the service was full, or the wait in it too long.
    #[error("all instances are busy and the queue is full")]
    Overloaded {
        /// When another try may succeed.
        retry_after: Duration,
    },
    /// The service crashed too often and rests.
    #[error("the service failed repeatedly and is resting")]
    Broken {
        /// When the service is tried again.
        retry_after: Duration,
    },
    /// The service is shutting down or was removed.
    #[error("the service is being removed")]
    Gone,
    /// The deadline passed.
    #[error("the service did not answer in time")]
    Deadline,
    /// The instance ended while it worked on the request, and a replay was not allowed.
    #[error("the instance that worked on the request ended: {reason}; {verdict}")]
    Interrupted {
        /// What ended the last instance that tried.
        reason: ExitReason,
        /// Why there was no further try.
        verdict: crate::service::failover::Refusal,
    },
    /// The guest answered with an error of its interface, or with nothing.
    #[error("the service answered without a response: {0}")]
    Guest(String),
    /// The request's body was larger than the service takes.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The largest body allowed, in bytes.
        limit: u64,
    },
    /// The client did not send its body before the deadline.
    #[error("the request body did not arrive in time")]
    ClientTooSlow,
    /// The client broke off its body.
    #[error("the request body broke off")]
    ClientBody,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_once_recorded_stays() {
        let effects = Effects::default();
        assert!(effects.none());
        effects.record(Effect::Write);
        effects.record(Effect::Head);
        assert!(!effects.none());
    }

    #[test]
    fn request_ids_from_outside_are_checked() {
        assert!("abc-1._Z".parse::<RequestId>().is_ok());
        for bad in ["", "a b", "a\n", "é", &"x".repeat(65)] {
            assert!(bad.parse::<RequestId>().is_err(), "{bad:?}");
        }
        assert_eq!(RequestId::random().as_str().len(), 32);
    }
}
