//! A guest's standard output and error, as log lines with the service's name.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use tracing::{info, warn};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use super::state::Blueprint;
use crate::service::exit::InstanceId;

/// One stream of one instance.
#[derive(Clone)]
pub(super) struct GuestLog(Arc<Mutex<Lines>>);

struct Lines {
    service: Arc<str>,
    instance: InstanceId,
    /// Bytes of one line; a longer one is broken.
    most_bytes: usize,
    /// Lines a second; the rest is counted and dropped.
    most_a_second: u32,
    stream: &'static str,
    partial: Vec<u8>,
    second: Instant,
    this_second: u32,
    dropped: u64,
}

impl GuestLog {
    pub(super) fn new(blueprint: &Blueprint, instance: InstanceId, stream: &'static str) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            service: Arc::clone(&blueprint.service),
            instance,
            most_bytes: blueprint.log.guest_line_bytes.max(1),
            most_a_second: blueprint.log.guest_lines_per_second.get(),
            stream,
            partial: Vec::new(),
            second: Instant::now(),
            this_second: 0,
            dropped: 0,
        })))
    }
}

impl Lines {
    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            for chunk in text.chunks(self.most_bytes) {
                if self.partial.len() + chunk.len() > self.most_bytes {
                    self.flush();
                }
                self.partial.extend_from_slice(chunk);
            }
            if ends {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let line = std::mem::take(&mut self.partial);
        if line.is_empty() || !self.allowed() {
            return;
        }
        let line = printable(&line);
        info!(target: "guest", service = %self.service, instance = %self.instance, stream = self.stream, "{}", line);
    }

    fn allowed(&mut self) -> bool {
        if self.second.elapsed() >= Duration::from_secs(1) {
            if self.dropped > 0 {
                warn!(target: "guest", service = %self.service, instance = %self.instance, dropped = self.dropped,
                    "the guest logs too fast; lines were dropped");
            }
            self.second = Instant::now();
            self.this_second = 0;
            self.dropped = 0;
        }
        self.this_second += 1;
        let allowed = self.this_second <= self.most_a_second;
        self.dropped += u64::from(!allowed);
        allowed
    }
}

/// Text without anything that could forge or overwrite another line.
fn printable(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for character in String::from_utf8_lossy(line).trim_end().chars() {
        if character.is_control() && character != '\t' {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.flush();
    }
}

impl IsTerminal for GuestLog {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestLog {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for GuestLog {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestLog {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.0.lock().write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(64 * 1024)
    }
}

impl AsyncWrite for GuestLog {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.0.lock().write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
