//! What of a response's body is there before its client asks for it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;

use super::drive::Hold;
use super::lease::Lease;
use crate::body::{Body, BodyError};

/// The most bytes that are taken before the client asks for them.
const MOST: usize = 64 << 10;

/// What a body gives.
type Given = Result<Frame<Bytes>, BodyError>;

/// What a guest has made of a body, in its order.
#[derive(Default)]
pub(super) struct Frames {
    /// Apart, for most bodies have but one.
    first: Option<Given>,
    /// There are none without a first.
    more: VecDeque<Given>,
}

impl Frames {
    pub(super) fn push(&mut self, frame: Given) {
        if self.first.is_none() {
            self.first = Some(frame);
        } else {
            self.more.push_back(frame);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Given> {
        let next = self.more.pop_front();
        std::mem::replace(&mut self.first, next)
    }

    pub(super) fn last(&self) -> Option<&Given> {
        self.more.back().or(self.first.as_ref())
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Given> {
        self.first.iter().chain(&self.more)
    }
}

/// What was taken of a body without waiting for more.
#[derive(Default)]
pub(super) struct Ahead {
    /// As the guest made them.
    pub(super) frames: Frames,
    /// In all of the frames.
    pub(super) bytes: usize,
    /// There is no more.
    pub(super) over: bool,
}

impl Ahead {
    /// Takes what is there, and what the guest makes when it has room again. Whoever reads on is
    /// woken for the rest as usual. Meanwhile the guest is on `hold`: how it ends after a whole body is not
    /// known before that is taken.
    pub(super) async fn take(body: &mut Body, lease: &Lease, mut hold: Option<Hold<'_>>) -> Self {
        let mut ahead = Self::default();
        loop {
            let before = ahead.frames.len();
            hold = hold.or_else(|| lease.hold());
            let mut may_come = ahead.poll(body);
            if may_come && lease.is_over() {
                drop(hold.take());
                // the guest has come to its end in the middle of this: how, is known in a moment
                may_come = ahead.add(body.frame().await);
            } else if let (true, Some(hold)) = (may_come || ahead.over, &hold) {
                // otherwise there is enough, and what the guest does next need not be waited for
                hold.settle();
            }
            if !may_come || ahead.frames.len() == before {
                return ahead;
            }
        }
    }

    /// All data in one piece; `None` if there are trailers.
    pub(super) fn join(&self) -> Option<Bytes> {
        fn data(frame: &Given) -> Option<&Bytes> {
            frame.as_ref().ok()?.data_ref()
        }
        if let (Some(only), 1) = (&self.frames.first, self.frames.len()) {
            return data(only).cloned();
        }
        let mut whole = BytesMut::with_capacity(self.bytes);
        for frame in self.frames.iter() {
            whole.extend_from_slice(data(frame)?);
        }
        Some(whole.freeze())
    }

    /// Takes what is there. `false` if it was enough, or the last.
    fn poll(&mut self, body: &mut Body) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        while self.bytes < MOST {
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(&mut cx) else {
                return true;
            };
            if !self.add(frame) {
                return false;
            }
        }
        false
    }

    /// Takes a frame, or the end. `false` if it was the last.
    fn add(&mut self, frame: Option<Given>) -> bool {
        let Some(frame) = frame else {
            self.over = true;
            return false;
        };
        let data = frame.as_ref().ok().and_then(Frame::data_ref);
        self.bytes += data.map_or(0, Bytes::len);
        let broken = frame.is_err();
        self.frames.push(frame);
        !broken
    }
}
