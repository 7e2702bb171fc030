//! Where it was measured, and what exactly.

use std::fs;
use std::process::Command;
use std::thread;

use anyhow::Result;
use wharf_tests::build::root;

use crate::options::Options;
use crate::peers::Peer;
use crate::{report, wrk};

/// All that a reader has to know to judge the numbers, as a list.
pub(crate) fn describe(options: &Options, peers: &[&Peer]) -> String {
    let mut versions: Vec<String> = Vec::new();
    for peer in peers {
        let version = (peer.version)()
            .unwrap_or_else(|error| format!("no {}: {}", peer.name, report::one_line(&error)));
        let line = version.lines().next().unwrap_or_default().to_owned();
        if !versions.contains(&line) {
            versions.push(line);
        }
    }
    versions.extend(wrk::version());
    format!(
        "- machine: {}, {} cores, Linux {}\n\
         - load average before: {}\n\
         - commit: {}\n\
         - versions: {}\n\
         - {} rounds of {} s a server in turn; medians\n",
        processor(),
        cores(),
        read("/proc/sys/kernel/osrelease"),
        read("/proc/loadavg"),
        commit().unwrap_or_else(|_| "unknown".to_owned()),
        versions.join(", "),
        options.rounds,
        options.seconds,
    )
}

pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn processor() -> String {
    let info = read("/proc/cpuinfo");
    let mut lines = info.lines();
    let model = lines.find_map(|line| line.strip_prefix("model name"));
    let model = model.unwrap_or("an unknown processor");
    model.trim_start_matches([' ', '\t', ':']).to_owned()
}

fn read(file: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.trim().to_owned()
}

fn commit() -> Result<String> {
    let output = Command::new("git")
        .current_dir(root())
        .args(["describe", "--always", "--dirty"])
        .output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
