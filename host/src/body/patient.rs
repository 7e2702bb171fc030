//! A body on its way in, with a limit to how long the next part may take. Only a reader's waiting
//! counts: one that takes its time with the parts before costs the sender nothing.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// See the module.
pub struct Patient<B> {
    body: B,
    patience: Duration,
    /// While the next part is waited for.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// Why there is no next part.
#[derive(Debug, PartialEq, Eq)]
pub enum Late<E> {
    /// It took too long.
    TimedOut,
    /// The body broke off by itself.
    Body(E),
}

impl<B> Patient<B> {
    /// With so much patience for each part.
    pub fn new(body: B, patience: Duration) -> Self {
        Self {
            body,
            patience,
            alarm: None,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Patient<B> {
    type Data = Bytes;
    type Error = Late<B::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(part) = Pin::new(&mut this.body).poll_frame(cx) {
            this.alarm = None;
            return Poll::Ready(part.map(|part| part.map_err(Late::Body)));
        }
        let patience = this.patience;
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(alarm.as_mut().poll(cx));
        Poll::Ready(Some(Err(Late::TimedOut)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::unfold;
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_readers_waiting_counts() {
        let (to, parts) = mpsc::channel::<Result<_, ()>>(8);
        let mut body = Patient::new(
            StreamBody::new(Box::pin(unfold(parts, |mut parts| async {
                Some((parts.recv().await?, parts))
            }))),
            Duration::from_secs(1),
        );
        let part = || Ok(Frame::data(Bytes::from_static(b"x")));
        to.send(part()).await.unwrap();
        // nobody reads meanwhile
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert!(body.frame().await.unwrap().is_ok());
        let start = Instant::now();
        let late = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(900)).await;
            to.send(part()).await.unwrap();
            to
        });
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(start.elapsed(), Duration::from_millis(900));
        let _to = late.await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap_err(), Late::TimedOut);
        assert_eq!(start.elapsed(), Duration::from_millis(1900));
    }
}
