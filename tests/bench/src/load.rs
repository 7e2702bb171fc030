//! `wharf-bench load`: servers side by side.

use std::num::NonZeroUsize;

use anyhow::Result;

use crate::contest::{self, Outcome, Standing};
use crate::options::{Options, Part};
use crate::peers::{NATIVE, Peer};
use crate::report::{self, Report};
use crate::table::{Table, number, ratio};
use crate::workload::Workload;
use crate::{chart, hops, machine, peers, scaling, streaming, wrk};

/// So many connections have to be served without a collapse.
const CROWDS: [usize; 2] = [256, 1000];
/// Who has to: Wharf, and whom it is compared with.
const CROWDED: [&str; 3] = [NATIVE, "wharf-p2", "wharf-p3"];

pub(crate) fn run(options: &Options) -> Result<()> {
    wrk::version()?;
    let peers = options.peers();
    let (file, title) = if options.parts == [Part::Hops] {
        ("hops.md", "A hop from service to service, beside others")
    } else {
        ("load.md", "Wharf under load, beside others")
    };
    let mut report = Report::begin(options, file, title)?;
    report.add(&machine::describe(options, &peers))?;
    report.add(&format!(
        "wrk presses with one thread. CPU is the server's own, user and kernel, of all its threads \
         and children. A pool of Wharf's has {} instances; `wasmtime serve` makes as many as it \
         wants. The floor is the least that stands on hyper and wasmtime: an instance for each \
         connection, called in the connection's own task, and no router, pool, deadline or limit.\n",
        peers::wharf::INSTANCES
    ))?;
    let mut charted = Vec::new();
    for (part, workload) in [(Part::Hello, Workload::Hello), (Part::Echo, Workload::Echo)] {
        if options.wants(part) {
            let outcome = contest::run(options, &peers, workload, options.connections);
            report.add(&section(workload, options.connections, &outcome))?;
            charted.push((workload, outcome));
        }
    }
    if options.wants(Part::Connections) {
        crowds(options, &peers, &mut report)?;
    }
    if options.wants(Part::Streaming) {
        report.add(&streaming::run(options, &peers))?;
    }
    if options.wants(Part::Scaling) {
        report.add(&scaling::run(options, &peers))?;
    }
    if options.wants(Part::Hops) {
        report.add(&hops::run(options)?)?;
    }
    if charted.is_empty() {
        return Ok(());
    }
    report::write_beside(options, "cpu.svg", &chart::draw(&charted))
}

fn crowds(options: &Options, peers: &[&'static Peer], report: &mut Report) -> Result<()> {
    let crowded: Vec<_> = peers
        .iter()
        .filter(|peer| CROWDED.contains(&peer.name))
        .copied()
        .collect();
    for connections in CROWDS.into_iter().filter_map(NonZeroUsize::new) {
        let outcome = contest::run(options, &crowded, Workload::Hello, connections);
        report.add(&section(Workload::Hello, connections, &outcome))?;
    }
    Ok(())
}

fn section(workload: Workload, connections: NonZeroUsize, outcome: &Outcome) -> String {
    let what = match workload {
        Workload::Hello => "Hello: GET, 13 bytes",
        Workload::Echo => "Echo: POST, 1 KiB of JSON parsed, changed and answered",
        Workload::Stream => "Large bodies",
    };
    let table = table(outcome);
    let notes = outcome.notes();
    format!("## {what}; {connections} connections\n\n{table}\n{notes}")
}

fn table(outcome: &Outcome) -> Table {
    let native = outcome.of(NATIVE);
    let native = native.and_then(|standing| standing.median(|sample| sample.cpu));
    let mut table = Table::new([
        "server",
        "req/s",
        "CPU µs/request",
        "× native",
        "p50 µs",
        "p99 µs",
        "RSS MiB",
    ]);
    for standing in &outcome.standings {
        table.row(row(standing, native));
    }
    table
}

fn row(standing: &Standing, native: Option<f64>) -> [String; 7] {
    let cpu = standing.median(|sample| sample.cpu);
    [
        standing.peer.title.to_owned(),
        number(standing.median(|sample| sample.rate), 0),
        number(cpu, 1),
        ratio(cpu, native),
        number(standing.median(|sample| sample.p50), 0),
        number(standing.median(|sample| sample.p99), 0),
        number(standing.median(|sample| sample.resident), 1),
    ]
}
