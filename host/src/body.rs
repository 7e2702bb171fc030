//! Message bodies on their way through the host.
//!
//! [`Body`] is what travels in both directions. [`ReplayBody`] keeps the first bytes of a request's
//! body at hand, so that a second instance can be given the same request again.

pub mod patient;
mod replay;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

pub use replay::ReplayBody;

use crate::service::exit::Death;

/// A body, whoever makes it. Most have no bytes, or all of them at hand, and cost no box.
#[derive(Default)]
pub struct Body(Content);

#[derive(Default)]
enum Content {
    #[default]
    Over,
    Bytes(Bytes),
    Stream(UnsyncBoxBody<Bytes, BodyError>),
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The request's body is larger than its service takes.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// `limits.request_body` of the service, in bytes.
        limit: u64,
    },
    /// The request's deadline passed while the body was on its way.
    #[error("the request's deadline passed while its body was on its way")]
    Deadline,
    /// The client stopped sending, or sent something that is no body.
    #[error("the client's body broke off: {0}")]
    Client(String),
    /// The guest stopped sending, or broke its own `Content-Length`.
    #[error("the guest's body broke off: {0}")]
    Guest(String),
    /// The instance that was making the body ended.
    #[error("the instance that was making the body ended: {0}")]
    Died(Death),
    /// An earlier attempt's body was read after the request had been handed to another instance.
    #[error("this attempt was given up; its body went to another")]
    Superseded,
}

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    let bytes = bytes.into();
    Body(if bytes.is_empty() {
        Content::Over
    } else {
        Content::Bytes(bytes)
    })
}

/// A body without bytes.
pub fn empty() -> Body {
    Body(Content::Over)
}

impl Body {
    /// A body that comes bit by bit.
    pub fn stream(
        body: impl http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static,
    ) -> Self {
        Self(Content::Stream(body.boxed_unsync()))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Content::Stream(body) => Pin::new(body).poll_frame(cx),
            content => Poll::Ready(match std::mem::take(content) {
                Content::Bytes(bytes) => Some(Ok(Frame::data(bytes))),
                _ => None,
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Over => true,
            Content::Bytes(_) => false,
            Content::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Over => SizeHint::with_exact(0),
            Content::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(body) => body.size_hint(),
        }
    }
}
