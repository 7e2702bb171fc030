//! The response's body on its way in, with a limit to how long the next part may take. Only a
//! reader's waiting counts: one that takes its time with the parts before costs the peer nothing.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use super::error::NetworkError;
use super::failure;

/// See the module.
pub struct Download {
    incoming: Incoming,
    patience: Duration,
    /// While the next part is waited for.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Download {
    pub(super) fn new(incoming: Incoming, patience: Duration) -> Self {
        Self {
            incoming,
            patience,
            alarm: None,
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = NetworkError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NetworkError>>> {
        let this = &mut *self;
        if let Poll::Ready(part) = Pin::new(&mut this.incoming).poll_frame(cx) {
            this.alarm = None;
            return Poll::Ready(part.map(|part| part.map_err(|error| failure::of_body(&error))));
        }
        let patience = this.patience;
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(alarm.as_mut().poll(cx));
        Poll::Ready(Some(Err(NetworkError::ReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
