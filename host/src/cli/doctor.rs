//! `wharf doctor`: what the machine lacks, and how to mend it.
//!
//! What is found out ([`facts`], which looks) is apart from what it means ([`building`] and
//! [`serving`], which only judge).

mod building;
mod facts;
mod serving;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::Style;
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use self::facts::Facts;
use super::output::Output;
use super::serve::{Addresses, small_runtime};
use super::text::{BAD, BOLD, GOOD, QUIET, WARN, line, paint, wrap};
use crate::config::Config;

/// What `doctor` takes.
#[derive(Args)]
#[command(
    after_help = "Give it what you give `wharf serve`. A warning is about something that works,\n\
    but not as it could, or that not everyone needs.\n\
    \n\
    Exit code: 0 nothing failed, 1 a check failed, 2 wrong arguments.\n\
    \n\
    Examples:\n\
    \x20 wharf doctor\n\
    \x20 wharf doctor /srv/services --listen 0.0.0.0:80 --data /var/lib/wharf"
)]
pub(super) struct Arguments {
    /// The services directory [default: services]
    dir: Option<PathBuf>,
    #[command(flatten)]
    addresses: Addresses,
    /// The server's own settings; `wharf.toml` is read if it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the checks as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let overrides = arguments.addresses.overrides(arguments.dir);
    let config = Config::load(arguments.config.as_deref(), overrides)?;
    let runtime = small_runtime()?;
    let facts = runtime.block_on(Facts::gather(&config));
    let checks = checks(&facts);
    let mut out = Output::standard();
    // whoever stops reading has seen enough, and the exit code says the rest
    let _ = if arguments.json {
        out.json(&serde_json::json!({ "checks": checks }).to_string())
    } else {
        out.text(&report(&checks, out.width()))
    };
    Ok(exit_code(&checks))
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// What was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    /// What it is needed for.
    part: &'static str,
    /// What was looked at.
    name: String,
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do, unless all is well.
    fix: Option<String>,
}

impl Check {
    fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            part: "",
            name: name.into(),
            verdict: Verdict::Ok,
            found: found.into(),
            fix: None,
        }
    }

    fn warn(name: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warn,
            fix: Some(fix.into()),
            ..Self::ok(name, found)
        }
    }

    fn fail(name: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(name, found, fix)
        }
    }
}

fn checks(facts: &Facts) -> Vec<Check> {
    let of =
        |part, checks: Vec<Check>| checks.into_iter().map(move |check| Check { part, ..check });
    of("building", building::checks(&facts.toolchain))
        .chain(of("serving", serving::checks(facts)))
        .collect()
}

fn exit_code(checks: &[Check]) -> ExitCode {
    if checks.iter().any(|check| check.verdict == Verdict::Fail) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn report(checks: &[Check], width: Option<usize>) -> String {
    let mut text = String::new();
    let names = checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or_default();
    let indent = " ".repeat(10 + names);
    let room = width.map(|width| width.saturating_sub(indent.len()));
    let mut part = "";
    for check in checks {
        if check.part != part {
            part = check.part;
            let _ = writeln!(text, "{}", paint(BOLD, part));
        }
        let (style, word) = match check.verdict {
            Verdict::Ok => (GOOD, "ok  "),
            Verdict::Warn => (WARN, "warn"),
            Verdict::Fail => (BAD, "fail"),
        };
        let name = format!("{:<names$}", check.name);
        let _ = write!(text, "  {}  {name}", paint(style, word));
        paragraph(&mut text, &check.found, "  ", &indent, room, Style::new());
        if let Some(fix) = &check.fix {
            paragraph(
                &mut text,
                fix,
                &format!("{indent}→ "),
                &format!("{indent}  "),
                room.map(|room| room - 2),
                QUIET,
            );
        }
    }
    let failed = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Fail)
        .count();
    if failed > 0 {
        let _ = writeln!(text, "\n{failed} of {} checks failed", checks.len());
    }
    text
}

/// Writes wrapped lines, the first after `first`.
fn paragraph(
    text: &mut String,
    words: &str,
    first: &str,
    others: &str,
    room: Option<usize>,
    style: Style,
) {
    for (index, part) in wrap(&line(words), "", "", room).iter().enumerate() {
        let indent = if index == 0 { first } else { others };
        let _ = writeln!(text, "{indent}{}", paint(style, part));
    }
}

#[cfg(test)]
mod tests;
