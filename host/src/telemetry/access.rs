//! The access log: one line for each request that was answered at the front.
//!
//! A line says who asked for what, what came of it, and where and how fast; never a query, a header
//! field or anything of a body. Whoever answers hands an [`Access`] over and goes on: a thread of its
//! own makes the lines and writes them, and if it can't keep up, lines are dropped and counted.
//! Without a log, all of it is one branch.

mod format;
mod sink;
mod writer;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::uri::PathAndQuery;
use http::{Method, StatusCode, Version};

use self::writer::Writer;
use crate::config::{self, AccessOutput, ServiceName};
use crate::dispatch::RequestId;
use crate::service::exit::InstanceId;

/// One request that was answered.
#[derive(Clone, Debug)]
pub struct Access {
    /// When it came.
    pub at: SystemTime,
    /// Names it.
    pub request: RequestId,
    /// Its method.
    pub method: Method,
    /// What it asked for; the query is never written.
    pub target: Option<PathAndQuery>,
    /// The version of HTTP that its client spoke.
    pub version: Version,
    /// Whose connection it came on.
    pub remote: IpAddr,
    /// The status of the answer.
    pub status: StatusCode,
    /// Who answered, if it was one.
    pub served: Option<Served>,
    /// Bytes of the request's body that were read.
    pub bytes_in: u64,
    /// Bytes of the response's body that were sent.
    pub bytes_out: u64,
    /// From when it came to the head of its response.
    pub head: Duration,
    /// From when it came to the end of its response's body.
    pub duration: Duration,
    /// The response's body was sent to its end.
    pub complete: bool,
}

/// Who answered a request.
#[derive(Clone, Debug)]
pub struct Served {
    /// The service.
    pub service: ServiceName,
    /// The digest of its release's component, as hex.
    pub digest: Arc<str>,
    /// The number of the release, if it has one.
    pub revision: Option<u64>,
    /// The instance of the last try; `None` if there was no place in any.
    pub instance: Option<InstanceId>,
    /// How often it was tried.
    pub tries: u32,
}

/// See the module. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct AccessLog(Option<Arc<Writer>>);

impl AccessLog {
    /// How long [`close`](Self::close) waits at most.
    pub const CLOSING: Duration = Duration::from_secs(2);

    /// No log.
    pub fn off() -> Self {
        Self(None)
    }

    /// The log that the operator wants.
    ///
    /// # Errors
    ///
    /// A file that can't be opened, or a system that gives no thread.
    pub fn open(settings: &config::AccessLog) -> io::Result<Self> {
        let sink = match &settings.output {
            AccessOutput::Off => return Ok(Self::off()),
            AccessOutput::Stdout => sink::Sink::Stdout,
            AccessOutput::Stderr => sink::Sink::Stderr,
            AccessOutput::File(path) => sink::Sink::file(path)?,
        };
        let writer = Writer::spawn(sink, settings.format)?;
        Ok(Self(Some(Arc::new(writer))))
    }

    /// Whether there is a log: without one, nothing of an [`Access`] needs to be known.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Has a line written. Never waits.
    pub fn write(&self, access: Access) {
        if let Some(writer) = &self.0 {
            writer.write(access);
        }
    }

    /// Waits until the lines so far are written, but not for ever. It blocks its thread.
    pub fn close(&self) {
        if let Some(writer) = &self.0 {
            writer.flush(Self::CLOSING);
        }
    }
}

#[cfg(test)]
mod tests;
