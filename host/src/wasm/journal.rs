//! What one instance writes to its log: in the service's pages, and in the host's log.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tracing::{info, warn};

use super::active::Active;
use super::state::Blueprint;
use crate::dispatch::RequestId;
use crate::service::exit::{InstanceId, unix_seconds};
use crate::telemetry::logbook::{LineLevel, LogLine, Source};

/// See the module. All that one instance writes counts together.
pub(super) struct Journal {
    blueprint: Arc<Blueprint>,
    id: InstanceId,
    active: Active,
    pace: Mutex<Pace>,
}

/// How much was written in this second.
struct Pace {
    second: Instant,
    lines: u32,
    dropped: u64,
}

impl Journal {
    pub(super) fn new(blueprint: &Arc<Blueprint>, id: InstanceId, active: Active) -> Arc<Self> {
        Arc::new(Self {
            blueprint: Arc::clone(blueprint),
            id,
            active,
            pace: Mutex::new(Pace {
                second: Instant::now(),
                lines: 0,
                dropped: 0,
            }),
        })
    }

    /// Bytes of one line; of a longer one the rest is another.
    pub(super) fn longest(&self) -> usize {
        self.blueprint.log.guest_line_bytes.max(1)
    }

    /// Writes a line, unless there are too many.
    pub(super) fn write(&self, source: Source, level: Option<LineLevel>, line: &[u8]) {
        if line.is_empty() || !self.allowed() {
            return;
        }
        let text = printable(line);
        // of several requests nothing tells which one it is about
        let request = self.active.only_request();
        let service = &self.blueprint.service;
        info!(target: "guest", service = %service, instance = %self.id, request = request.as_ref().map(RequestId::as_str),
            stream = source.word(), level = level.map(LineLevel::word), "{text}");
        self.blueprint.pages.write(LogLine {
            at: unix_seconds(SystemTime::now()),
            service: self.blueprint.pages.service().clone(),
            release: Arc::clone(&self.blueprint.release),
            instance: self.id.to_string().into(),
            request: request.map(|id| id.as_str().into()),
            source,
            level,
            text,
        });
    }

    fn allowed(&self) -> bool {
        let mut pace = self.pace.lock();
        if pace.second.elapsed() >= Duration::from_secs(1) {
            if pace.dropped > 0 {
                warn!(target: "guest", service = %self.blueprint.service, instance = %self.id, dropped = pace.dropped,
                    "the guest logs too fast; lines were dropped");
            }
            *pace = Pace {
                second: Instant::now(),
                lines: 0,
                dropped: 0,
            };
        }
        pace.lines += 1;
        let allowed = pace.lines <= self.blueprint.log.guest_lines_per_second.get();
        pace.dropped += u64::from(!allowed);
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
