//! What can be asked for.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::peers::{self, Peer};

/// Measures what Wharf costs, beside other servers.
#[derive(Parser)]
pub(crate) struct Options {
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    pub(crate) command: Command,
    /// How often each server is measured; medians are shown
    #[arg(long, default_value = "5")]
    pub(crate) rounds: NonZeroUsize,
    /// How long each server is under load in one round
    #[arg(long, default_value = "3")]
    pub(crate) seconds: NonZeroUsize,
    /// From how many connections
    #[arg(long, default_value = "16")]
    pub(crate) connections: NonZeroUsize,
    /// Only servers whose names begin with one of these, such as `hyper,wharf`
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// Only these parts
    #[arg(long, value_delimiter = ',', value_name = "PART")]
    pub(crate) parts: Vec<Part>,
    /// How many services one host is given, in the costs
    #[arg(long, default_value = "1000")]
    pub(crate) services: NonZeroUsize,
    /// Where the results are written [default: tests/bench/results]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Command {
    /// Servers under load, side by side
    Load,
    /// Start-up, swap, memory, many services
    Costs,
    /// Both of these
    All,
    /// Instructions per request, counted by valgrind
    Instructions,
    /// Everything that Wharf does often, for a build that is guided by its profile
    Train,
}

/// A table of its own.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    // of the load
    Hello,
    Echo,
    Connections,
    Streaming,
    Scaling,
    Hops,
    // of the costs
    Start,
    Swap,
    Memory,
    Services,
}

impl Options {
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    /// The same, for one round of so many seconds with these servers.
    pub(crate) fn training(&self, only: &[&str], seconds: NonZeroUsize) -> Self {
        Self {
            rounds: NonZeroUsize::MIN,
            seconds,
            only: only.iter().map(|&name| name.to_owned()).collect(),
            parts: Vec::new(),
            out: None,
            ..*self
        }
    }

    /// The servers that were asked for.
    pub(crate) fn peers(&self) -> Vec<&'static Peer> {
        let wanted = |peer: &&Peer| {
            let mut only = self.only.iter();
            self.only.is_empty() || only.any(|name| peer.name.starts_with(name.as_str()))
        };
        peers::ALL.iter().filter(wanted).collect()
    }
}
