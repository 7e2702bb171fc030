//! What travels from the ingress to an instance, and what comes back.
//!
//! A [`Job`] is one request on its way: it stays with whoever dispatches it, across all tries. Each
//! try hands one instance an [`Attempt`], a request of its own with a channel for the answer; calls
//! of exported functions travel in attempts, too. The
//! [`Effects`] of a try are recorded before they happen, so that "no effect" is never said too early.
//! A job of one service for another knows its [`Caller`].

mod attempt;
mod caller;
mod effects;
mod head;

use std::fmt;
use std::time::Duration;

pub use attempt::{Answer, Attempt, Exchange, Line, Message, Particulars, Reply, Work};
pub use caller::Caller;
pub use effects::{Effect, Effects, Superseded};
pub use head::Head;

use bytes::Bytes;
use http::header::HeaderValue;
use http::request::Parts;
use tokio::time::{Instant, timeout_at};

use crate::body::{Body, ReplayBody};
use crate::config::Limits;
use crate::service::exit::{Death, ExitReason};
use crate::service::lane::Lane;
use crate::telemetry::otlp::Trace;
use crate::telemetry::record::Progress;

/// Names one request in answers, logs and exit records. 1 to 64 of `[A-Za-z0-9._-]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// A new random id of 128 bits, as 32 hex digits.
    pub fn random() -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text
            .as_chunks_mut::<2>()
            .0
            .iter_mut()
            .zip(rand::random::<[u8; 16]>())
        {
            *pair = [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ];
        }
        // shared from the start, for an id is copied several times
        let value = HeaderValue::from_maybe_shared(Bytes::from_owner(text));
        Self(value.unwrap_or_else(|_| HeaderValue::from_static("-")))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id as the value of a header field.
    pub fn value(&self) -> &HeaderValue {
        &self.0
    }

    /// The same, for who needs the id no more.
    pub fn into_value(self) -> HeaderValue {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that can't be a request id.
#[derive(Debug, thiserror::Error)]
#[error("a request id is 1 to 64 of A-Z a-z 0-9 . _ -")]
pub struct InvalidRequestId;

impl TryFrom<HeaderValue> for RequestId {
    type Error = InvalidRequestId;

    fn try_from(value: HeaderValue) -> Result<Self, InvalidRequestId> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
        if (1..=64).contains(&value.len()) && value.as_bytes().iter().all(allowed) {
            Ok(Self(value))
        } else {
            Err(InvalidRequestId)
        }
    }
}

/// One request on its way, kept by its dispatcher until it is answered. What is large of it is boxed, for it
/// is moved several times before it comes to rest.
pub struct Job {
    /// Names the request.
    pub id: RequestId,
    /// The head, as the guest is to see it.
    pub head: Box<Head>,
    /// The body, with what is kept of it for a replay.
    pub body: ReplayBody,
    /// When the request must be over, its body included.
    pub deadline: Instant,
    /// The share of all requests that it belongs to.
    pub lane: Lane,
    /// The service that asks; `None` for a request from outside.
    pub caller: Option<Box<Caller>>,
    /// What whoever records it wants to know.
    pub noted: Noted,
}

/// What is noted of a request on its way, if anybody wants to know.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// Where it got to.
    pub progress: Progress,
    /// What its spans are part of.
    pub trace: Trace,
}

impl Job {
    /// Makes a job of a request. A body that is announced to be short is waited for here, so that a
    /// slow sender holds no instance.
    ///
    /// # Errors
    ///
    /// What is wrong with the body.
    pub async fn arrive(
        id: RequestId,
        head: Box<Parts>,
        stream: Body,
        deadline: Instant,
        limits: &Limits,
        (lane, caller, noted): (Lane, Option<Box<Caller>>, Noted),
    ) -> Result<Self, DispatchError> {
        let head = Box::new(Head::new(head));
        let announced = head.length;
        if announced.is_some_and(|length| length > limits.request_body) {
            return Err(DispatchError::TooLarge {
                limit: limits.request_body,
            });
        }
        let body = ReplayBody::new(stream, limits.replay_body, limits.request_body);
        let keep = limits.replay_body as u64;
        if announced.is_some_and(|length| (1..=keep).contains(&length)) {
            match timeout_at(deadline, body.buffer()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(DispatchError::ClientBody),
                Err(_) => return Err(DispatchError::ClientTooSlow),
            }
        }
        Ok(Self {
            id,
            head,
            body,
            deadline,
            lane,
            caller,
            noted,
        })
    }

    /// The time left before the deadline.
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// Why a try brought no response.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// The instance ended before it looked at the request.
    #[error("the instance ended before the request was started")]
    NotStarted,
    /// The instance ended while it worked on the request.
    #[error("the instance ended: {0}")]
    Died(Death),
    /// The guest answered with an error of its interface instead of a response, or with nothing.
    /// The instance lives on.
    #[error("{0}")]
    Guest(String),
}

/// Why a job got no response from its service.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The queue of the service was full, or the wait in it too long.
    #[error("all instances are busy, and more already wait than can be answered in time")]
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
    /// All instances wait for one another, through calls between services: none could ever take
    /// the job.
    #[error("all instances wait, through calls between services, for one another")]
    Stuck,
    /// The service is shutting down or was removed.
    #[error("the service is being removed")]
    Gone,
    /// The deadline passed.
    #[error("the service did not answer in time")]
    Deadline,
    /// Requests like this one have ended one instance after the other.
    #[error(
        "requests like this one ended one instance of the service after the other; they are refused for a while"
    )]
    Quarantined {
        /// When one is let through again, to see whether that has changed.
        retry_after: Duration,
    },
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
    fn request_ids_from_outside_are_checked() {
        let parse =
            |text: &str| RequestId::try_from(HeaderValue::from_bytes(text.as_bytes()).unwrap());
        assert_eq!(parse("abc-1._Z").unwrap().as_str(), "abc-1._Z");
        for bad in ["", "a b", "a\t", "é", &"x".repeat(65)] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(RequestId::random().as_str().len(), 32);
    }
}
