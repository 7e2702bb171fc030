//! The terminal as a whole, given back as it was.

use std::io::{self, Stdout, Write as _};

use anstream::ColorChoice;
use anyhow::{Context as _, Result};
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};

/// Where lines are shown.
pub(super) trait Draw {
    /// Columns and lines.
    fn size(&self) -> (usize, usize);

    /// Shows these lines, which fit, and nothing else.
    fn draw(&mut self, lines: &[String]) -> io::Result<()>;
}

/// The terminal. Dropping it brings back what was on it.
pub(super) struct Screen {
    out: Stdout,
    colours: bool,
}

impl Screen {
    /// Takes it: no echo, no cursor, keys as they are pressed.
    pub(super) fn take() -> Result<Self> {
        let out = io::stdout();
        let colours = anstream::AutoStream::choice(&out) != ColorChoice::Never;
        enable_raw_mode().context("this terminal gives no keys; `wharf status` needs none")?;
        // from here on it is given back whatever happens
        let mut screen = Self { out, colours };
        execute!(screen.out, EnterAlternateScreen, Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // a terminal that is gone needs nothing back
        let _ = execute!(self.out, Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

impl Draw for Screen {
    fn size(&self) -> (usize, usize) {
        match size() {
            Ok((columns, lines)) if columns > 0 && lines > 0 => (columns.into(), lines.into()),
            _ => (80, 24),
        }
    }

    fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        queue!(self.out, BeginSynchronizedUpdate)?;
        for (row, line) in lines.iter().enumerate() {
            queue!(self.out, MoveTo(0, u16::try_from(row).unwrap_or(u16::MAX)))?;
            if self.colours {
                write!(self.out, "{line}")?;
            } else {
                write!(self.out, "{}", anstream::adapter::strip_str(line))?;
            }
            queue!(self.out, Clear(ClearType::UntilNewLine))?;
        }
        let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        if usize::from(rows) < self.size().1 {
            queue!(self.out, MoveTo(0, rows), Clear(ClearType::FromCursorDown))?;
        }
        queue!(self.out, EndSynchronizedUpdate)?;
        self.out.flush()
    }
}
