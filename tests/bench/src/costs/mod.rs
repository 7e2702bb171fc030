//! `wharf-bench costs`: what has no peer.

pub(crate) mod home;
mod memory;
mod services;
mod start;
mod swap;

use std::time::Duration;

use anyhow::Result;

use crate::machine;
use crate::options::{Options, Part};
use crate::peers::ALL;
use crate::report::{Report, one_line};

/// How long a few services may take until they are ready.
const PATIENCE: Duration = Duration::from_mins(2);

type Measure = fn(&Options) -> Result<String>;

const PARTS: [(Part, Measure); 4] = [
    (Part::Start, start::run),
    (Part::Swap, swap::run),
    (Part::Memory, memory::run),
    (Part::Services, services::run),
];

pub(crate) fn run(options: &Options) -> Result<()> {
    let wharf: Vec<_> = ALL.iter().filter(|peer| peer.name == "wharf-p2").collect();
    let mut report = Report::begin(options, "costs.md", "What Wharf costs besides requests")?;
    report.add(&machine::describe(options, &wharf))?;
    for (part, measure) in PARTS {
        if options.wants(part) {
            // What can't be measured keeps nothing else from being measured.
            let text = measure(options);
            report
                .add(&text.unwrap_or_else(|error| format!("- left out: {}\n", one_line(&error))))?;
        }
    }
    Ok(())
}
