//! A response's body on its way to the client: it holds its place in the instance until it is over,
//! and ends at the request's deadline whoever is slow.
//!
//! Most guests are done when their response is looked at. Then the whole body is taken at once: the
//! place in the instance is free again however slow the client is, and what goes on to it is one
//! buffer of a known length.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, Sleep, sleep_until};

use super::ahead::{Ahead, Frames};
use super::drive::Hold;
use super::exit::Death;
use super::lease::Lease;
use crate::body::{Body, BodyError, ReplayBody, full};
use crate::dispatch::Answer;

/// See the module.
pub(super) struct Guarded {
    /// What was taken of the body ahead of need.
    ahead: Frames,
    inner: Body,
    lease: Option<Arc<Lease>>,
    /// The request's body; what is left of it is of no use once the answer is over.
    request: ReplayBody,
    /// Bytes left of an announced length.
    announced: Option<u64>,
    deadline: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    /// Guards a response whose place in an instance is `lease`, made from the body `request`.
    ///
    /// # Errors
    ///
    /// The instance died over it, and nothing of it has gone on to the client.
    pub(super) async fn wrap(
        mut response: Answer,
        (lease, hold): (Arc<Lease>, Option<Hold<'_>>),
        request: ReplayBody,
        deadline: Instant,
    ) -> Result<Answer, Death> {
        let mut inner = std::mem::take(response.body_mut());
        let length = response.headers().get(CONTENT_LENGTH);
        let announced = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let taken = Ahead::take(&mut inner, &lease, hold).await;
        if let Some(Err(BodyError::Died(death))) = taken.frames.last() {
            return Err(*death);
        }
        let whole = taken.over && announced.is_none_or(|length| length == taken.bytes as u64);
        if whole && let Some(bytes) = taken.join() {
            lease.mark_served();
            request.close();
            *response.body_mut() = full(bytes);
            return Ok(response);
        }
        let mut guarded = Self {
            ahead: taken.frames,
            inner,
            lease: Some(lease),
            request,
            announced,
            deadline,
            alarm: None,
        };
        if whole || announced == Some(0) {
            guarded.finish();
        } else if let Some(lease) = &guarded.lease {
            lease.note_streaming();
        }
        *response.body_mut() = Body::stream(guarded);
        Ok(response)
    }

    /// Counts what has been sent. With a length announced nobody asks for what comes after it.
    fn is_over_after(&mut self, frame: &Frame<Bytes>) -> bool {
        if let (Some(left), Some(data)) = (&mut self.announced, frame.data_ref()) {
            *left = left.saturating_sub(data.len() as u64);
        }
        self.announced == Some(0) || self.is_end_stream()
    }

    /// The request was answered in full.
    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.mark_served();
            self.request.close();
        }
    }

    /// What the guest has made, or makes at once when it is let.
    fn poll_inner(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(lease) = &self.lease else {
            return Pin::new(&mut self.inner).poll_frame(cx);
        };
        let _held = lease.hold();
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if polled.is_ready() {
            return polled;
        }
        lease.lend();
        Pin::new(&mut self.inner).poll_frame(cx)
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

impl Drop for Guarded {
    /// The client went away, or wants no body (HEAD). What the guest still sends is taken and
    /// thrown away: many guests trap when they can't write. It ends when the guest does, which the
    /// instance sees to.
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else {
            return;
        };
        lease.abandon();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let rest = Self {
            ahead: Frames::default(),
            inner: std::mem::take(&mut self.inner),
            lease: None,
            request: self.request.clone(),
            announced: None,
            deadline: self.deadline,
            alarm: self.alarm.take(),
        };
        runtime.spawn(async move {
            let mut rest = rest;
            loop {
                match rest.frame().await {
                    Some(Ok(_)) => {}
                    Some(Err(_)) => return,
                    None => break,
                }
            }
            lease.mark_served();
        });
    }
}

/// Abandons a lease if the wait for its answer is given up.
pub(super) struct Waiting(Option<Arc<Lease>>);

impl Waiting {
    pub(super) fn on(lease: &Arc<Lease>) -> Self {
        Self(Some(Arc::clone(lease)))
    }

    /// The wait is over.
    pub(super) fn over(mut self) {
        self.0 = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(lease) = self.0.take() {
            lease.abandon();
        }
    }
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match self.ahead.pop() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => self.poll_inner(cx),
        };
        match polled {
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                if self.is_over_after(&frame) {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.lease = None;
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => self
                .poll_deadline(cx)
                .map(|()| Some(Err(BodyError::Deadline))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.ahead.iter().flatten().filter_map(Frame::data_ref);
        let ahead: u64 = ahead.map(|data| data.len() as u64).sum();
        let mut hint = self.inner.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + ahead);
        }
        hint.set_lower(hint.lower() + ahead);
        hint
    }
}
