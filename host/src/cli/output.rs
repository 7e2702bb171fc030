//! Where the commands print: results to standard output, and what is only for the person at the
//! terminal to standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;

use super::text::{fit, json, width_of, wrap};

/// The width of a terminal that doesn't tell its own.
const WIDTH: usize = 80;

/// Why results can't be printed.
#[derive(Debug, Error)]
pub(super) enum Unprinted {
    /// Nobody reads them. That is no failure: `wharf logs shop | head` has seen enough.
    #[error("nobody reads the output")]
    ReaderGone,
    /// There is no room for them, or the like.
    #[error("the output can't be written")]
    Failed(#[source] io::Error),
}

/// Both outputs. Colours are dropped where they are not wanted.
pub(super) struct Output {
    results: Box<dyn Write>,
    notes: Box<dyn Write>,
    /// The columns of the terminal that results go to; `None` if they go elsewhere.
    width: Option<usize>,
    /// Notes go to a terminal, where a line can be written over.
    overwrites: bool,
    /// The width of the line of progress that stands there.
    progress: usize,
    clock: fn() -> f64,
}

impl Output {
    /// Those of the process.
    pub(super) fn standard() -> Self {
        let size = || crossterm::terminal::size().ok();
        let columns = || size().map_or(WIDTH, |(columns, _)| usize::from(columns));
        Self {
            width: io::stdout()
                .is_terminal()
                .then(columns)
                .map(|width| if width == 0 { WIDTH } else { width }),
            overwrites: io::stderr().is_terminal(),
            results: Box::new(anstream::stdout()),
            notes: Box::new(anstream::stderr()),
            progress: 0,
            clock: now,
        }
    }

    /// Others.
    #[cfg(test)]
    pub(super) fn new(
        results: impl Write + 'static,
        notes: impl Write + 'static,
        width: Option<usize>,
        clock: fn() -> f64,
    ) -> Self {
        Self {
            results: Box::new(results),
            notes: Box::new(notes),
            width,
            overwrites: width.is_some(),
            progress: 0,
            clock,
        }
    }

    /// The columns of the terminal; `None` where lines may have any length.
    pub(super) fn width(&self) -> Option<usize> {
        self.width
    }

    /// Whether a person reads the results as they come.
    pub(super) fn is_terminal(&self) -> bool {
        self.width.is_some()
    }

    /// The time, in seconds since 1970.
    pub(super) fn now(&self) -> f64 {
        (self.clock)()
    }

    /// Prints a result; it is harmless and ends its last line.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Unprinted> {
        self.clear_progress();
        let written = self.results.write_all(text.as_bytes());
        written
            .and_then(|()| self.results.flush())
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Unprinted::ReaderGone,
                _ => Unprinted::Failed(error),
            })
    }

    /// Prints a JSON document as the host sent it.
    pub(super) fn json(&mut self, document: &str) -> Result<(), Unprinted> {
        self.text(&format!("{}\n", json(document)))
    }

    /// Prints one message of a stream as a line. Line feeds are only between the values of a document.
    pub(super) fn json_line(&mut self, document: &str) -> Result<(), Unprinted> {
        self.json(&document.replace('\n', " "))
    }

    /// Tells the person at the terminal something; it is harmless.
    pub(super) fn note(&mut self, text: impl Display) {
        self.clear_progress();
        let width = self.overwrites.then(|| self.width.unwrap_or(WIDTH));
        for (index, line) in text.to_string().lines().enumerate() {
            let first = if index == 0 { "wharf: " } else { "  " };
            for line in wrap(line.trim_start(), first, "  ", width) {
                let _ = writeln!(self.notes, "{line}");
            }
        }
    }

    /// Tells a step of what is done, in a line of its own; it is harmless.
    pub(super) fn step(&mut self, text: impl Display) {
        let _ = writeln!(self.notes, "{text}");
    }

    /// Tells how far something is: in one line that changes on a terminal. Elsewhere nothing is said;
    /// see [`overwrites`](Self::overwrites).
    pub(super) fn progress(&mut self, text: &str) {
        if self.overwrites {
            // a line that the terminal breaks can't be written over
            let text = fit(text, self.width.unwrap_or(WIDTH) - 1);
            let width = width_of(&text);
            let rest = " ".repeat(self.progress.saturating_sub(width));
            let _ = write!(self.notes, "\r{text}{rest}\r");
            let _ = self.notes.flush();
            self.progress = width;
        }
    }

    /// Whether [`progress`](Self::progress) is seen.
    pub(super) fn overwrites(&self) -> bool {
        self.overwrites
    }

    fn clear_progress(&mut self) {
        if self.progress > 0 {
            self.progress("");
        }
    }
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}
