//! The thread that writes lines, and the way to it, which is bounded.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tracing::warn;

use super::sink::Sink;
use super::{Access, format};
use crate::config::LogFormat;

/// Lines that may wait to be written.
const WAITING: usize = 8192;

/// Bytes that are written at once.
const AT_ONCE: usize = 64 << 10;

/// How often it is looked whether the file was moved away, and said that lines were lost.
const LOOK: Duration = Duration::from_secs(1);

/// The near end of the way to the thread. The thread ends with it.
#[derive(Debug)]
pub(super) struct Writer {
    to: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

// most of them are lines
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is by far the more frequent"
)]
enum Message {
    Line(Access),
    Flush(SyncSender<()>),
}

/// The far end.
struct Thread {
    from: Receiver<Message>,
    sink: Sink,
    format: LogFormat,
    lost: Arc<AtomicU64>,
    /// Lines that are made and not written.
    lines: String,
    count: u64,
    looked: Instant,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn spawn(sink: Sink, format: LogFormat) -> io::Result<Self> {
        let (writer, thread) = Self::new(sink, format, WAITING);
        let builder = std::thread::Builder::new().name("access-log".to_owned());
        builder.spawn(|| thread.run())?;
        Ok(writer)
    }

    fn new(sink: Sink, format: LogFormat, waiting: usize) -> (Self, Thread) {
        let (to, from) = sync_channel(waiting);
        let lost = Arc::new(AtomicU64::new(0));
        let thread = Thread {
            from,
            sink,
            format,
            lost: Arc::clone(&lost),
            lines: String::new(),
            count: 0,
            looked: Instant::now(),
        };
        (Self { to, lost }, thread)
    }

    /// Sends a line on its way, if there is room.
    pub(super) fn write(&self, access: Access) {
        if self.to.try_send(Message::Line(access)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was sent is written, or until `patience` is over.
    pub(super) fn flush(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let (done, over) = sync_channel(1);
        let mut flush = Message::Flush(done);
        while let Err(TrySendError::Full(back)) = self.to.try_send(flush) {
            if Instant::now() >= until {
                return;
            }
            flush = back;
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = over.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

impl Thread {
    fn run(mut self) {
        while let Ok(message) = self.from.recv() {
            self.take(message);
            // as long as more is there, it is written together
            while let Ok(message) = self.from.try_recv() {
                self.take(message);
            }
            self.write();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Line(access) => {
                format::line(&access, self.format, &mut self.lines);
                self.count += 1;
                if self.lines.len() >= AT_ONCE {
                    self.write();
                }
            }
            Message::Flush(done) => {
                self.write();
                let _ = done.send(());
            }
        }
    }

    fn write(&mut self) {
        self.look();
        if let Err(error) = self.sink.write(self.lines.as_bytes()) {
            // a full disk is no reason to stop serving
            let before = self.lost.fetch_add(self.count, Ordering::Relaxed);
            if before == 0 {
                warn!(%error, "the access log can't be written");
            }
        }
        self.lines.clear();
        self.count = 0;
    }

    /// What is done now and then.
    fn look(&mut self) {
        if self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        if let Err(error) = self.sink.reopen_if_moved() {
            warn!(%error, "the access log was moved away and can't be opened again where it was");
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            warn!(lost, "lines of the access log were lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::access;
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_lost_and_counted() {
        let (writer, thread) = Writer::new(Sink::Stderr, LogFormat::Text, 3);
        (0..10).for_each(|_| writer.write(access()));
        assert_eq!(writer.lost.load(Ordering::Relaxed), 7);
        drop(thread);
        writer.write(access());
        assert_eq!(writer.lost.load(Ordering::Relaxed), 8);
    }

    #[test]
    fn a_writer_that_hangs_is_not_waited_for() {
        let (writer, _thread) = Writer::new(Sink::Stderr, LogFormat::Text, 1);
        writer.flush(Duration::ZERO);
        writer.flush(Duration::ZERO);
    }

    #[test]
    fn a_disk_that_is_full_costs_the_lines_and_nothing_else() {
        let full = Sink::file("/dev/full".as_ref()).unwrap();
        let (writer, mut thread) = Writer::new(full, LogFormat::Text, 3);
        thread.take(Message::Line(access()));
        thread.write();
        assert_eq!(writer.lost.load(Ordering::Relaxed), 1);
        assert!(thread.lines.is_empty());
    }
}
