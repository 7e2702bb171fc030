//! `wasi:logging/logging` (0.1.0-draft): a guest's messages, with a level and a context.

use wasmtime::component::{HasSelf, Linker};

use super::state::State;
use crate::telemetry::logbook::{LineLevel, Source};

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/logging",
        world: "imports",
        imports: { default: trappable },
    });
}

use bindings::wasi::logging::logging::{self, Level};

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    logging::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

impl logging::Host for State {
    fn log(&mut self, level: Level, context: String, message: String) -> wasmtime::Result<()> {
        let level = match level {
            Level::Trace => LineLevel::Trace,
            Level::Debug => LineLevel::Debug,
            Level::Info => LineLevel::Info,
            Level::Warn => LineLevel::Warn,
            Level::Error => LineLevel::Error,
            Level::Critical => LineLevel::Critical,
        };
        let text = if context.is_empty() {
            message
        } else {
            format!("{context}: {message}")
        };
        let longest = self.journal.longest();
        let pieces = text
            .lines()
            .flat_map(|line| line.as_bytes().chunks(longest));
        for piece in pieces {
            self.journal.write(Source::Log, Some(level), piece);
        }
        Ok(())
    }
}
