//! What the kernel knows about a process and its children.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// A process with all that descend from it.
pub(crate) fn tree(root: u32) -> Result<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that has ended meanwhile is nobody's child.
        if let Ok(parent) = field(pid, 1) {
            children
                .entry(u32::try_from(parent)?)
                .or_default()
                .push(pid);
        }
    }
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(pid) = tree.get(next) {
        tree.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    Ok(tree)
}

/// The CPU time that these processes have used, of all their threads, in user and in kernel mode.
pub(crate) fn cpu(pids: &[u32]) -> Result<Duration> {
    let ticks = pids
        .iter()
        .map(|&pid| Ok(field(pid, 11)? + field(pid, 12)?));
    Ok(to_duration(ticks.sum::<Result<u64>>()?))
}

/// The CPU time of all children of this process that have ended and been waited for.
pub(crate) fn cpu_of_ended_children() -> Result<Duration> {
    let own = std::process::id();
    Ok(to_duration(field(own, 13)? + field(own, 14)?))
}

/// Resident memory of these processes, in bytes.
pub(crate) fn resident(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|&pid| memory(pid, "VmRSS:")).sum()
}

/// The most that each of these processes has had resident since [`forget_peak`], in bytes.
pub(crate) fn peak(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|&pid| memory(pid, "VmHWM:")).sum()
}

/// Starts to watch the peak of resident memory anew.
pub(crate) fn forget_peak(pids: &[u32]) -> Result<()> {
    for pid in pids {
        fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
    }
    Ok(())
}

/// A number in the process's `stat`, counted from behind the name, which may contain anything.
fn field(pid: u32, index: usize) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, behind) = stat.rsplit_once(')').context("no name in stat")?;
    let field = behind.split_whitespace().nth(index);
    Ok(field.context("a short line in stat")?.parse()?)
}

fn memory(pid: u32, key: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    Ok(kib.context("no memory in status")?.parse::<u64>()? * 1024)
}

fn to_duration(ticks: u64) -> Duration {
    Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second())
}
