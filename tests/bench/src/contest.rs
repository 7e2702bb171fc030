//! Several servers under the same load, in turn.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::options::Options;
use crate::peers::{Peer, Server};
use crate::process::Process;
use crate::table::{float, median, mib, micros};
use crate::workload::Workload;
use crate::wrk::{self, Pressure};
use crate::{proc, report};

/// One server in one round.
pub(crate) struct Sample {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Its CPU time per request, in microseconds.
    pub(crate) cpu: f64,
    /// That of the load generator.
    pub(crate) load_cpu: f64,
    /// Latencies in microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Resident memory afterwards, in MiB.
    pub(crate) resident: f64,
}

/// One server in all rounds.
pub(crate) struct Standing {
    pub(crate) peer: &'static Peer,
    pub(crate) samples: Vec<Sample>,
    /// Why rounds don't count.
    pub(crate) failures: Vec<String>,
}

/// All servers that could be started, and why the others couldn't.
pub(crate) struct Outcome {
    pub(crate) standings: Vec<Standing>,
    pub(crate) left_out: Vec<String>,
}

impl Standing {
    /// The median of one of the numbers over all rounds that count.
    pub(crate) fn median(&self, number: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(self.samples.iter().map(number))
    }

    /// What is to be said about its failures.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> {
        let failures = self.failures.iter();
        failures.map(|why| format!("{}: a round failed: {why}", self.peer.title))
    }
}

impl Outcome {
    /// The standing of the peer of that name.
    pub(crate) fn of(&self, name: &str) -> Option<&Standing> {
        let mut standings = self.standings.iter();
        standings.find(|standing| standing.peer.name == name)
    }

    /// What a reader has to know besides the numbers, as a list.
    pub(crate) fn notes(&self) -> String {
        let failures = self.standings.iter().flat_map(Standing::notes);
        let left_out = self.left_out.iter().cloned();
        report::list(&left_out.chain(failures).collect::<Vec<_>>())
    }
}

/// Starts all peers that have this workload, and lets them compete.
pub(crate) fn run(
    options: &Options,
    peers: &[&'static Peer],
    workload: Workload,
    connections: NonZeroUsize,
) -> Outcome {
    let (mut servers, left_out) = start(peers, workload, None);
    let pressure = Pressure {
        threads: 1,
        connections: connections.get(),
        seconds: options.seconds.get(),
    };
    let target = format!("/{}", workload.name());
    let warm_up = Pressure {
        seconds: 1,
        ..pressure
    };
    for (server, standing) in &servers {
        progress(standing.peer, "warms up");
        // If it fails, its rounds will say so.
        let _warm = wrk::run(server.addr, &target, workload, warm_up);
    }
    for round in 1..=options.rounds.get() {
        for server in &mut servers {
            compete(server, workload, pressure, round);
        }
    }
    Outcome {
        standings: servers.into_iter().map(|(_, standing)| standing).collect(),
        left_out,
    }
}

/// One round of one server.
pub(crate) fn compete(
    (server, standing): &mut (Server, Standing),
    workload: Workload,
    pressure: Pressure,
    round: usize,
) {
    let name = workload.name();
    progress(standing.peer, &format!("{name}, round {round}"));
    match measure(std::slice::from_ref(&server.process), || {
        wrk::run(server.addr, &format!("/{name}"), workload, pressure)
    }) {
        Ok(sample) => standing.samples.push(sample),
        Err(error) => standing.failures.push(report::one_line(&error)),
    }
}

/// The servers that start, and why the others don't.
pub(crate) fn start(
    peers: &[&'static Peer],
    workload: Workload,
    workers: Option<usize>,
) -> (Vec<(Server, Standing)>, Vec<String>) {
    let (mut servers, mut left_out) = (Vec::new(), Vec::new());
    for &peer in peers {
        if !peer.workloads.contains(&workload) {
            continue;
        }
        progress(peer, "starts");
        match peer.start(workload, workers) {
            Ok(server) => servers.push((
                server,
                Standing {
                    peer,
                    samples: Vec::new(),
                    failures: Vec::new(),
                },
            )),
            Err(error) => {
                let why = report::one_line(&error);
                left_out.push(format!("left out: {}: {why}", peer.title));
            }
        }
    }
    (servers, left_out)
}

/// What a server used while it was under load.
pub(crate) fn measure(
    processes: &[Process],
    load: impl FnOnce() -> Result<wrk::Outcome>,
) -> Result<Sample> {
    let pids = || -> Result<Vec<u32>> {
        let trees = processes.iter().map(Process::pids);
        Ok(trees.collect::<Result<Vec<_>>>()?.concat())
    };
    let before = (proc::cpu(&pids()?)?, proc::cpu_of_ended_children()?);
    let outcome = load()?;
    let pids = pids()?;
    let after = (proc::cpu(&pids)?, proc::cpu_of_ended_children()?);
    if let Some(failure) = outcome.failure {
        bail!("{failure}");
    }
    let requests = float(outcome.requests);
    let per_request =
        |after: Duration, before: Duration| micros(after.saturating_sub(before)) / requests;
    Ok(Sample {
        rate: requests / outcome.took.as_secs_f64(),
        cpu: per_request(after.0, before.0),
        load_cpu: per_request(after.1, before.1),
        p50: micros(outcome.p50),
        p99: micros(outcome.p99),
        resident: mib(proc::resident(&pids)?),
    })
}

/// Says what goes on, beside the results.
pub(crate) fn progress(peer: &Peer, what: &str) {
    eprintln!("{}: {what}", peer.name);
}
