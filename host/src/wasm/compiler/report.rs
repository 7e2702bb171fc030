//! What the process that compiles says at its end: a line of JSON, and behind it the code, if there is
//! some.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::Compiled;
use crate::wasm::component::ComponentError;
use crate::wasm::engine::Concurrency;

/// The line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// So many bytes of code follow, for an engine of that kind.
    Compiled {
        concurrency: Concurrency,
        bytes: usize,
    },
    /// The component is not valid, for this reason.
    Invalid(String),
    /// There was not enough memory.
    Memory,
    /// Something else went wrong, which is no fault of the component.
    Failed(String),
}

/// What became of a component.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// It was compiled.
    Compiled(Compiled),
    /// It is refused.
    Invalid(String),
    /// There was not enough memory.
    Memory,
    /// There is no telling.
    Failed(String),
}

impl Report {
    /// What is to be said of an outcome.
    pub(super) fn of(outcome: Result<Compiled, ComponentError>) -> Self {
        match outcome {
            Ok(compiled) => Self::Compiled(compiled),
            Err(ComponentError::Invalid(reason)) => Self::Invalid(reason),
            Err(ComponentError::NoMemory) => Self::Memory,
            Err(error) => Self::Failed(format!("{error:#}")),
        }
    }

    /// Writes it down.
    ///
    /// # Errors
    ///
    /// It can't be written.
    pub(super) fn write(self, mut to: impl Write) -> io::Result<()> {
        let (line, code) = match self {
            Self::Compiled(Compiled { concurrency, code }) => {
                let bytes = code.len();
                (Line::Compiled { concurrency, bytes }, code)
            }
            Self::Invalid(reason) => (Line::Invalid(reason), Vec::new()),
            Self::Memory => (Line::Memory, Vec::new()),
            Self::Failed(reason) => (Line::Failed(reason), Vec::new()),
        };
        let mut line = serde_json::to_vec(&line)?;
        line.push(b'\n');
        to.write_all(&line)?;
        to.write_all(&code)
    }

    /// Reads what was written, which must be all of it. `None` if it isn't.
    pub(super) fn read(mut written: Vec<u8>) -> Option<Self> {
        let end = memchr::memchr(b'\n', &written)?;
        match serde_json::from_slice(written.get(..end)?).ok()? {
            Line::Compiled { concurrency, bytes } => {
                let code = written.split_off(end + 1);
                (code.len() == bytes).then_some(Self::Compiled(Compiled { concurrency, code }))
            }
            Line::Invalid(reason) => Some(Self::Invalid(reason)),
            Line::Memory => Some(Self::Memory),
            Line::Failed(reason) => Some(Self::Failed(reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled() -> Report {
        Report::Compiled(Compiled {
            concurrency: Concurrency::On,
            code: b"\x7fELF\n\0\n".to_vec(),
        })
    }

    fn written(report: Report) -> Vec<u8> {
        let mut bytes = Vec::new();
        report.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Report::read(written(compiled())), Some(compiled()));
        let reasons = || {
            [
                Report::Invalid("two\nlines and \"quotes\"".to_owned()),
                Report::Memory,
                Report::Failed("é".to_owned()),
            ]
        };
        for (report, expected) in reasons().into_iter().zip(reasons()) {
            assert_eq!(Report::read(written(report)), Some(expected));
        }
    }

    #[test]
    fn what_was_cut_off_is_not_read() {
        let whole = written(compiled());
        for length in 0..whole.len() {
            assert_eq!(Report::read(whole[..length].to_vec()), None, "{length}");
        }
    }
}
