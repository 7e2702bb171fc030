//! A response's body on its way to the client: it holds its place in the instance until it is over,
//! and ends at the request's deadline whoever is slow.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, Sleep, sleep_until};

use super::pool::Lease;
use crate::body::{Body, BodyError};

/// See the module.
pub(super) struct Guarded {
    inner: Body,
    lease: Option<Arc<Lease>>,
    deadline: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    pub(super) fn wrap(inner: Body, lease: Arc<Lease>, deadline: Instant) -> Body {
        let mut guarded = Self {
            inner,
            lease: Some(lease),
            deadline,
            alarm: None,
        };
        if guarded.inner.is_end_stream() {
            guarded.finish();
        }
        guarded.boxed_unsync()
    }

    /// The request was answered in full.
    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.mark_served();
        }
    }

    /// The deadline is looked at only while the body has to wait, so that a short answer costs no
    /// timer.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        self.alarm
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)))
            .as_mut()
            .poll(cx)
    }
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                if self.inner.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.lease = None;
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => self.poll_deadline(cx).map(|()| {
                self.lease = None;
                Some(Err(BodyError::Deadline))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
