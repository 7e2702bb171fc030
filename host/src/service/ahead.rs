//! What of a response's body is there before its client asks for it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;

use super::lease::Lease;
use crate::body::{Body, BodyError};

/// The most bytes that are taken before the client asks for them.
const MOST: usize = 64 << 10;

/// What was taken of a body without waiting for more.
#[derive(Default)]
pub(super) struct Ahead {
    /// As the guest made them.
    pub(super) frames: VecDeque<Result<Frame<Bytes>, BodyError>>,
    /// In all of the frames.
    pub(super) bytes: usize,
    /// There is no more.
    pub(super) over: bool,
}

impl Ahead {
    /// Takes what is there, and what the guest makes when it has room again. Whoever reads on is
    /// woken for the rest as usual.
    pub(super) async fn take(body: &mut Body, lease: &Lease) -> Self {
        let mut ahead = Self::default();
        loop {
            let before = ahead.frames.len();
            let mut may_come = ahead.poll(body);
            if may_come && lease.is_over() {
                // the guest has come to its end in the middle of this: how, is known in a moment
                may_come = ahead.add(body.frame().await);
            }
            if !may_come || ahead.frames.len() == before {
                return ahead;
            }
            lease.lend();
        }
    }

    /// All data in one piece; `None` if there are trailers.
    pub(super) fn join(&self) -> Option<Bytes> {
        let data =
            |frame: &Result<Frame<Bytes>, BodyError>| frame.as_ref().ok()?.data_ref().cloned();
        if let [frame] = self.frames.as_slices().0 {
            return data(frame);
        }
        let mut whole = BytesMut::with_capacity(self.bytes);
        for frame in &self.frames {
            whole.extend_from_slice(&data(frame)?);
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
    fn add(&mut self, frame: Option<Result<Frame<Bytes>, BodyError>>) -> bool {
        let Some(frame) = frame else {
            self.over = true;
            return false;
        };
        let data = frame.as_ref().ok().and_then(Frame::data_ref);
        self.bytes += data.map_or(0, Bytes::len);
        let broken = frame.is_err();
        self.frames.push_back(frame);
        !broken
    }
}
