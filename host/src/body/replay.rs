//! A request's body, kept for a second try.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::{Body, BodyError, empty, full};

/// A request body that can be read again from its start while it fits in a bounded memory.
///
/// [`reader`](Self::reader) gives each attempt a body of its own: it reads what is kept, then goes
/// on with the client's stream. A new reader supersedes the one before, so that two attempts never
/// share a stream.
#[derive(Clone)]
pub struct ReplayBody(Arc<Mutex<Source>>);

struct Source {
    stream: Option<Body>,
    /// The rest of a stream that was too large.
    unwanted: Option<Body>,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    trailers: Option<HeaderMap>,
    /// Bytes were passed on that are not kept: no reader can start over.
    spilled: bool,
    broken: Option<Broken>,
    seen: u64,
    reader: u64,
    keep: usize,
    limit: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Broken {
    TooLarge,
    Client,
}

impl ReplayBody {
    /// Keeps up to `keep` bytes of `stream` for a replay and refuses more than `limit` in all.
    pub fn new(stream: Body, keep: usize, limit: u64) -> Self {
        let ended = stream.is_end_stream();
        Self(Arc::new(Mutex::new(Source {
            stream: (!ended).then_some(stream),
            unwanted: None,
            kept: Vec::new(),
            kept_bytes: 0,
            trailers: None,
            spilled: false,
            broken: None,
            seen: 0,
            reader: 0,
            keep,
            limit,
        })))
    }

    /// Whether a new reader would see the whole body.
    pub fn replayable(&self) -> bool {
        let source = self.0.lock();
        !source.spilled && source.broken.is_none()
    }

    /// All of the body, in the pieces in which it came; `None` if some of it is not here, or not yet.
    pub fn whole(&self) -> Option<Vec<Bytes>> {
        let source = self.0.lock();
        let whole = source.stream.is_none() && !source.spilled && source.broken.is_none();
        whole.then(|| source.kept.clone())
    }

    /// Whether the client sent more than the limit.
    pub fn too_large(&self) -> bool {
        self.0.lock().broken == Some(Broken::TooLarge)
    }

    /// Whether the client broke its body off, or sent one that cannot be parsed.
    pub fn client_broke_off(&self) -> bool {
        self.0.lock().broken == Some(Broken::Client)
    }

    /// The most bytes the client may send.
    pub fn limit(&self) -> u64 {
        self.0.lock().limit
    }

    /// Reads the whole stream into what is kept. For a body known to be short, so that a slow
    /// sender doesn't hold an instance.
    ///
    /// # Errors
    ///
    /// [`BodyError::TooLarge`] or [`BodyError::Client`].
    pub async fn buffer(&self) -> Result<(), BodyError> {
        let mut reader = self.reader();
        while let Some(frame) = reader.frame().await {
            frame?;
        }
        Ok(())
    }

    /// The answer is over: readers that are left get nothing more, whoever still holds them.
    pub fn close(&self) {
        let mut source = self.0.lock();
        source.reader += 1;
        source.close();
    }

    /// A body that starts at the first byte. Any earlier reader fails from now on.
    pub fn reader(&self) -> Body {
        let mut source = self.0.lock();
        source.reader += 1;
        if source.is_whole() {
            match source.kept.as_slice() {
                [] => return empty(),
                [all] => return full(all.clone()),
                _ => {}
            }
        }
        Body::stream(Reader {
            source: Arc::clone(&self.0),
            number: source.reader,
            position: 0,
            trailers_given: false,
        })
    }
}

/// What a client may still send of a body that nobody wants any more, and how long it may take.
/// Closing the connection under a client that is still sending would lose it the answer (RFC 9112,
/// 9.6).
const LINGER_BYTES: usize = 16 << 20;
const LINGER: Duration = Duration::from_secs(2);

impl Drop for Source {
    fn drop(&mut self) {
        self.close();
    }
}

async fn drain(mut stream: Body) {
    let mut left = LINGER_BYTES;
    while let Some(Ok(frame)) = stream.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

impl Source {
    /// Whether all that there was is kept, and was nothing but data.
    fn is_whole(&self) -> bool {
        self.stream.is_none() && !self.spilled && self.broken.is_none() && self.trailers.is_none()
    }

    /// Lets the client finish what it is sending, within limits; nobody reads it.
    fn close(&mut self) {
        let rest = self.stream.take().or(self.unwanted.take());
        if let Some(rest) = rest
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(timeout(LINGER, drain(rest)));
        }
    }

    fn poll_stream(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(stream) = self.stream.as_mut() else {
            return Poll::Ready(None);
        };
        match std::task::ready!(Pin::new(stream).poll_frame(cx)) {
            Some(Ok(frame)) => Poll::Ready(Some(self.take(frame))),
            Some(Err(error)) => {
                self.stream = None;
                self.broken = Some(Broken::Client);
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.stream = None;
                Poll::Ready(None)
            }
        }
    }

    /// Counts a frame against the limit and keeps it if it fits.
    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        if let Some(data) = frame.data_ref() {
            self.seen += data.len() as u64;
            if self.seen > self.limit {
                self.unwanted = self.stream.take();
                self.broken = Some(Broken::TooLarge);
                return Err(BodyError::TooLarge { limit: self.limit });
            }
            if !self.spilled && self.kept_bytes + data.len() <= self.keep {
                self.kept_bytes += data.len();
                self.kept.push(data.clone());
            } else {
                self.spilled = true;
                self.kept = Vec::new();
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
            self.stream = None;
        }
        Ok(frame)
    }
}

struct Reader {
    source: Arc<Mutex<Source>>,
    number: u64,
    position: usize,
    trailers_given: bool,
}

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let mut source = this.source.lock();
        if source.reader != this.number {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        if let Some(data) = source.kept.get(this.position) {
            this.position += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        match source.broken {
            Some(Broken::TooLarge) => {
                return Poll::Ready(Some(Err(BodyError::TooLarge {
                    limit: source.limit,
                })));
            }
            Some(Broken::Client) => {
                return Poll::Ready(Some(Err(BodyError::Client("it ended early".into()))));
            }
            None => {}
        }
        if !this.trailers_given
            && let Some(trailers) = source.trailers.clone()
        {
            this.trailers_given = true;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let polled = source.poll_stream(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            this.position = source.kept.len();
            this.trailers_given |= frame.is_trailers();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let source = self.source.lock();
        source.reader == self.number
            && source.stream.is_none()
            && source.broken.is_none()
            && self.position >= source.kept.len()
            && (source.trailers.is_none() || self.trailers_given)
    }

    fn size_hint(&self) -> SizeHint {
        let source = self.source.lock();
        let ahead: u64 = source
            .kept
            .iter()
            .skip(self.position)
            .map(|data| data.len() as u64)
            .sum();
        let mut hint = source
            .stream
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + ahead);
        }
        hint.set_lower(hint.lower() + ahead);
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::StreamBody;

    fn stream(frames: Vec<Result<Frame<Bytes>, BodyError>>) -> Body {
        Body::stream(StreamBody::new(futures::stream::iter(frames)))
    }

    #[expect(clippy::unnecessary_wraps, reason = "the item type of a body's stream")]
    fn data(text: &'static str) -> Result<Frame<Bytes>, BodyError> {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    async fn read(body: Body) -> Result<(Bytes, Option<HeaderMap>), BodyError> {
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned();
        Ok((collected.to_bytes(), trailers))
    }

    #[tokio::test]
    async fn a_second_reader_sees_the_whole_body_with_its_trailers() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        let body = ReplayBody::new(
            stream(vec![
                data("ab"),
                data("cd"),
                Ok(Frame::trailers(trailers.clone())),
            ]),
            64,
            64,
        );
        let mut first = body.reader();
        assert_eq!(
            first.frame().await.unwrap().unwrap().into_data().unwrap(),
            "ab"
        );
        let (bytes, seen) = read(body.reader()).await.unwrap();
        assert_eq!(bytes, "abcd");
        assert_eq!(seen, Some(trailers.clone()));
        let (bytes, seen) = read(body.reader()).await.unwrap();
        assert_eq!(bytes, "abcd");
        assert_eq!(seen, Some(trailers));
    }

    #[tokio::test]
    async fn an_earlier_reader_cannot_steal_from_a_later_one() {
        let body = ReplayBody::new(stream(vec![data("ab"), data("cd")]), 64, 64);
        let mut first = body.reader();
        let second = body.reader();
        assert!(matches!(
            first.frame().await,
            Some(Err(BodyError::Superseded))
        ));
        assert_eq!(read(second).await.unwrap().0, "abcd");
    }

    #[tokio::test]
    async fn a_body_beyond_what_is_kept_is_passed_on_once() {
        let body = ReplayBody::new(stream(vec![data("abc"), data("def")]), 4, 64);
        assert!(body.replayable());
        assert_eq!(read(body.reader()).await.unwrap().0, "abcdef");
        assert!(!body.replayable());
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_fails_and_says_so() {
        let body = ReplayBody::new(stream(vec![data("abc"), data("def")]), 64, 5);
        assert!(matches!(
            read(body.reader()).await,
            Err(BodyError::TooLarge { limit: 5 })
        ));
        assert!(body.too_large());
        assert!(!body.replayable());
        assert!(matches!(
            read(body.reader()).await,
            Err(BodyError::TooLarge { limit: 5 })
        ));
    }

    #[tokio::test]
    async fn a_body_that_broke_off_is_not_replayed_as_if_it_were_whole() {
        let body = ReplayBody::new(
            stream(vec![data("abc"), Err(BodyError::Client("reset".into()))]),
            64,
            64,
        );
        assert!(read(body.reader()).await.is_err());
        assert!(!body.replayable());
        assert!(body.client_broke_off());
        assert!(read(body.reader()).await.is_err());
    }
}
