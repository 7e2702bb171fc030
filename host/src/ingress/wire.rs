//! What RFC 9112 wants refused on the wire and hyper lets pass: lines that end in a bare LF, both
//! `Content-Length` and `Transfer-Encoding` in one head, and chunks that are not well-formed.
//!
//! [`Strict`] looks at what a client sends on its way to hyper. It answers nothing itself: at the
//! first violation it makes the message one that hyper refuses, so that there is one parser that
//! decides and one place that answers. It knows where each message ends, by the same rules as
//! hyper, because in a body everything is allowed.

mod scan;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::scan::Scanner;
use super::pulse::Pulse;

/// What is no longer than this goes out in one piece: to copy so little, and have the system send it, takes
/// less than to have the system find the pieces together (a tenth of a short answer's time in the kernel).
const SHORT: usize = 4096;

/// What follows a violation. hyper parses a head when it has the end of it, and trailers too.
const END: &[u8] = b"\r\n\r\n";

/// A server's side of a connection whose client is held to RFC 9112.
///
/// Bytes pass as they are until the first violation, which is overwritten with a byte that hyper
/// refuses. hyper then answers a head with 400 and fails a body, and closes the connection. Nothing
/// that the client sent behind the violation is passed on: the stream ends there. HTTP/2 is not
/// looked at.
pub(super) struct Strict<IO> {
    io: IO,
    pulse: Arc<Pulse>,
    scanner: Scanner,
    /// After a violation, what of [`END`] is still to be read.
    end: Option<&'static [u8]>,
    /// Where pieces are put together that are [`SHORT`] in all.
    short: Vec<u8>,
}

impl<IO> Strict<IO> {
    /// Wraps a connection of which nothing has been read yet. What passes is told to `pulse`.
    pub(super) fn new(io: IO, pulse: Arc<Pulse>) -> Self {
        Self {
            io,
            pulse,
            scanner: Scanner::new(),
            end: None,
            short: Vec::new(),
        }
    }

    /// A write has to wait for the client.
    fn note(&self, waits: bool) {
        if waits {
            self.pulse.waits_to_write();
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Strict<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(end) = this.end {
            let (now, later) = end.split_at(end.len().min(buf.remaining()));
            buf.put_slice(now);
            this.end = Some(later);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        this.pulse.read();
        if let Err(violation) = this.scanner.scan(&buf.filled()[before..]) {
            let at = before + violation.at;
            buf.filled_mut()[at] = violation.refused_as;
            buf.set_filled(at + 1);
            this.end = Some(END);
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Strict<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_write(cx, buf);
        this.note(polled.is_pending());
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let io = Pin::new(&mut this.io);
        let polled = if bufs.iter().map(|buf| buf.len()).sum::<usize>() <= SHORT {
            this.short.clear();
            this.short.reserve_exact(SHORT);
            for buf in bufs {
                this.short.extend_from_slice(buf);
            }
            io.poll_write(cx, &this.short)
        } else {
            io.poll_write_vectored(cx, bufs)
        };
        this.note(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
