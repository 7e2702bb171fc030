//! wrk, the load generator.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use wharf_tests::build::root;

use crate::workload::Workload;

/// How hard to press.
#[derive(Clone, Copy)]
pub(crate) struct Pressure {
    pub(crate) threads: usize,
    pub(crate) connections: usize,
    pub(crate) seconds: usize,
}

/// What came of it.
pub(crate) struct Outcome {
    /// Answered well.
    pub(crate) requests: u64,
    pub(crate) took: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Why it doesn't count, if it doesn't.
    pub(crate) failure: Option<String>,
}

/// Puts a server under load with the requests of `workload` to `target`.
pub(crate) fn run(
    addr: SocketAddr,
    target: &str,
    workload: Workload,
    pressure: Pressure,
) -> Result<Outcome> {
    let mut command = Command::new("wrk");
    command
        .arg("--threads")
        .arg(pressure.threads.to_string())
        .arg("--connections")
        .arg(pressure.connections.to_string())
        .arg("--duration")
        .arg(format!("{}s", pressure.seconds))
        .arg("--script")
        .arg(root().join("tests/bench/wrk/load.lua"))
        .arg(format!("http://{addr}{target}"));
    if let Some(posted) = workload.posted() {
        command.arg("--").arg(posted);
    }
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.context("wrk is not to be found: apt-get install wrk")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk failed: {printed}");
    let line = printed.lines().find_map(|line| line.strip_prefix("bench "));
    parse(line.with_context(|| format!("wrk printed no result: {printed}"))?)
}

/// Reads what `load.lua` prints.
fn parse(line: &str) -> Result<Outcome> {
    let numbers = line.split(' ').map(str::parse);
    let numbers: Vec<u64> = numbers.collect::<Result<_, _>>()?;
    let [requests, took, p50, p99, refused, broken] = numbers[..] else {
        anyhow::bail!("six numbers were expected in {line:?}");
    };
    let failed = requests == 0 || refused + broken > 0;
    Ok(Outcome {
        requests,
        took: Duration::from_micros(took),
        p50: Duration::from_micros(p50),
        p99: Duration::from_micros(p99),
        failure: failed.then(|| {
            format!("{requests} answers, of which {refused} were no success, and {broken} broken connections or timeouts")
        }),
    })
}

/// What wrk is exactly.
pub(crate) fn version() -> Result<String> {
    // It prints its version with its usage, and calls that a failure.
    let output = Command::new("wrk").arg("-v").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.split_whitespace().take(2).collect::<Vec<_>>();
    Ok(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_rounds_count() {
        let outcome = parse("1000 2000000 150 900 0 0").unwrap();
        assert_eq!(outcome.requests, 1000);
        assert_eq!(outcome.took, Duration::from_secs(2));
        assert_eq!(outcome.p99, Duration::from_micros(900));
        assert_eq!(outcome.failure, None);
    }

    #[test]
    fn bad_rounds_say_why() {
        for line in [
            "0 2000000 0 0 0 0",
            "9 2000000 1 1 3 0",
            "9 2000000 1 1 0 1",
        ] {
            assert!(parse(line).unwrap().failure.is_some(), "{line}");
        }
        assert!(parse("1 2 3").is_err());
        assert!(parse("1 2 3 4 5 six").is_err());
    }
}
