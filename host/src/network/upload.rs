//! The request's body on its way out. It notes how far it has come, so that a wait is laid to the
//! right side: a peer that takes nothing is timed out, and a guest that has nothing to give isn't.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::error::NetworkError;

/// See the module.
pub(super) struct Upload {
    body: UnsyncBoxBody<Bytes, NetworkError>,
    progress: Arc<Progress>,
}

/// How far an [`Upload`] has come.
pub(super) struct Progress(Mutex<Mark>);

#[derive(Clone, Copy)]
struct Mark {
    side: Side,
    since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// The next bytes are the guest's to give.
    Guest,
    /// The last bytes are the peer's to take.
    Peer,
    /// All bytes were taken: the peer has to answer.
    Over,
}

impl Upload {
    /// A body to be sent, and how far it has come.
    pub(super) fn new<B>(body: B) -> (Self, Arc<Progress>)
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let side = if body.is_end_stream() {
            Side::Over
        } else {
            Side::Peer
        };
        let since = Instant::now();
        let progress = Arc::new(Progress(Mutex::new(Mark { side, since })));
        let body = body
            .map_err(|error| NetworkError::RequestBody(error.into().to_string()))
            .boxed_unsync();
        let upload = Self {
            body,
            progress: Arc::clone(&progress),
        };
        (upload, progress)
    }
}

impl Progress {
    fn note(&self, side: Side) {
        let mut mark = self.0.lock();
        // Being asked again and again is no progress
        if mark.side != side || side == Side::Peer {
            *mark = Mark {
                side,
                since: Instant::now(),
            };
        }
    }

    /// When to look again whether the peer, connected at `connected`, is late.
    pub(super) fn due(&self, connected: Instant, patience: Duration) -> Instant {
        let mark = *self.0.lock();
        // An absurd wait is a wait without end
        let patience = patience.min(Duration::from_hours(365 * 24));
        match mark.side {
            Side::Peer | Side::Over => mark.since.max(connected) + patience,
            // However short the wait, nobody looks all the time
            Side::Guest => Instant::now() + patience.max(Duration::from_millis(10)),
        }
    }

    /// What to tell the guest if the peer is late now.
    pub(super) fn late(&self, connected: Instant, patience: Duration) -> Option<NetworkError> {
        let side = self.0.lock().side;
        let late = self.due(connected, patience) <= Instant::now();
        late.then_some(if side == Side::Over {
            NetworkError::ReadTimeout
        } else {
            NetworkError::WriteTimeout
        })
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = NetworkError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NetworkError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.progress.note(match &polled {
            Poll::Pending => Side::Guest,
            Poll::Ready(Some(Ok(_))) if !self.body.is_end_stream() => Side::Peer,
            Poll::Ready(_) => Side::Over,
        });
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
