//! One client's connection: HTTP/1.1, or HTTP/2 by prior knowledge (RFC 9113, 3.3).

use std::convert::Infallible;
use std::net::TcpStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::pulse::{Busy, Pulse};
use super::wire::Strict;
use super::{Client, Ingress};
use crate::body::{Body, BodyError};
use crate::telemetry::record::Record;
use crate::threads::StreamExecutor;

/// Bytes that are read from a connection at once.
const READ_BUFFER: usize = 256 << 10;

/// How often an HTTP/2 client is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);

/// A response's body, with the connection busy until it is over.
struct Sent {
    body: Body,
    /// It is told when this is dropped.
    record: Record,
    _busy: Busy,
}

/// Serves one connection until its client leaves, or until `stop` and the last request are over. To be
/// awaited in the event loop that it is to belong to.
pub(super) async fn serve(
    ingress: &Arc<Ingress>,
    stream: TcpStream,
    client: Client,
    mut stop: watch::Receiver<bool>,
) {
    let stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return warn!(%error, "a connection could not be served"),
    };
    // small answers go out at once; a failure here only makes them slower
    let _ = stream.set_nodelay(true);
    let limits = &ingress.limits;
    let pulse = Pulse::new(limits.header_timeout, limits.idle_timeout);
    let builder = builder(ingress);
    let service = {
        let (ingress, pulse) = (Arc::clone(ingress), Arc::clone(&pulse));
        service_fn(move |request| {
            let ingress = Arc::clone(&ingress);
            let busy = pulse.enter();
            async move {
                let (response, record) = ingress.handle(client, request).await;
                Ok::<_, Infallible>(response.map(|body| Sent {
                    body,
                    record,
                    _busy: busy,
                }))
            }
        })
    };
    let stream = TokioIo::new(Strict::new(stream, Arc::clone(&pulse)));
    let mut connection = pin!(builder.serve_connection(stream, service));
    let mut alarm = pin!(sleep(pulse.patience()));
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    debug!(%error, "a connection ended early");
                }
                return;
            }
            () = alarm.as_mut() => {
                let ends_at = pulse.ends_at();
                if ends_at.is_some_and(|at| at <= Instant::now()) {
                    debug!("a client kept silent for too long");
                    return;
                }
                let next = Instant::now() + pulse.patience();
                alarm.as_mut().reset(ends_at.map_or(next, |at| at.min(next)));
            }
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let (bytes, over) = (
                    frame.data_ref().map_or(0, Bytes::len),
                    self.body.is_end_stream(),
                );
                self.record.sent(bytes, over);
            }
            Poll::Ready(None) => self.record.sent(0, true),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn builder(ingress: &Ingress) -> Builder<StreamExecutor> {
    let limits = &ingress.limits;
    let mut builder = Builder::new(ingress.loops.streams());
    builder
        .http1()
        // the pulse sees to that
        .header_read_timeout(None)
        .max_headers(limits.max_headers)
        // a head beyond the limit is refused when it is whole; large bodies want large reads
        .max_buf_size(limits.max_header_bytes.max(READ_BUFFER));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    builder
}
