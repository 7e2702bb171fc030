//! Log lines: structured, on standard error, as text or JSON.

use anyhow::{Context as _, Result};
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// Sets the process's log up. The variable `WHARF_LOG` overrides the filter of the configuration.
///
/// # Errors
///
/// A filter that can't be parsed, or a log set up already.
pub fn init(log: &Log) -> Result<()> {
    let directives = std::env::var("WHARF_LOG").unwrap_or_else(|_| log.level.clone());
    let filter = EnvFilter::try_new(&directives)
        .with_context(|| format!("the log filter {directives:?} is not valid; allowed: a level such as \"info\", or \"wharf=debug,warn\""))?;
    let line = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let set = match log.format {
        LogFormat::Text => line.with_ansi(ansi).try_init(),
        LogFormat::Json => line.json().flatten_event(true).try_init(),
    };
    set.map_err(|error| anyhow::anyhow!("the log could not be set up: {error}"))
}
