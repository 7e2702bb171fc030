//! What one more service in between costs: A answers with what it asks B.
//!
//! A hop is what both sides together use for a request that goes from A to B, without what A uses for
//! one that it answers alone.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::client;
use crate::contest::{Sample, measure};
use crate::costs::home::Home;
use crate::options::Options;
use crate::peers::{go, guest_named, installed, native, printed};
use crate::process::{Process, free_addr};
use crate::report;
use crate::table::{Table, median, number, ratio};
use crate::workload::Workload;
use crate::wrk::{self, Pressure};

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_mins(1);
/// Two services, one of which asks the other.
struct Pair {
    title: &'static str,
    /// Of A, where `/hello` is its own.
    addr: SocketAddr,
    /// Where it asks B.
    relay: String,
    /// A, and B if that is another process.
    processes: Vec<Process>,
    _home: Home,
    alone: Vec<Sample>,
    through: Vec<Sample>,
}

pub(crate) fn run(options: &Options) -> Result<String> {
    let (mut pairs, mut left_out) = (Vec::new(), Vec::new());
    for (title, start) in KINDS {
        match start(title) {
            Ok(pair) => pairs.push(pair),
            Err(error) => left_out.push(format!("left out: {title}: {}", report::one_line(&error))),
        }
    }
    let pressure = Pressure {
        threads: 1,
        connections: options.connections.get(),
        seconds: options.seconds.get(),
    };
    for round in 0..=options.rounds.get() {
        for pair in &mut pairs {
            eprintln!("{}: hop, round {round}", pair.title);
            let alone = pair.sample("/hello", pressure)?;
            let through = pair.sample(&pair.relay, pressure)?;
            // the first warms up
            if round > 0 {
                pair.alone.push(alone);
                pair.through.push(through);
            }
        }
    }
    let mut table = Table::new([
        "A -> B",
        "A alone µs",
        "A and B µs",
        "a hop µs",
        "× Go",
        "p50 of a hop µs",
    ]);
    let cpu = |sample: &Sample| sample.cpu;
    let of_go = pairs.iter().find(|pair| pair.title == GO);
    let of_go = of_go.and_then(|pair| pair.hop(cpu));
    for pair in &pairs {
        table.row([
            pair.title.to_owned(),
            number(median(pair.alone.iter().map(cpu)), 1),
            number(median(pair.through.iter().map(cpu)), 1),
            number(pair.hop(cpu), 1),
            ratio(pair.hop(cpu), of_go),
            number(pair.hop(|sample| sample.p50), 0),
        ]);
    }
    Ok(format!(
        "## A hop: CPU time per request of both sides, and latency; {} connections\n\n{table}\n{}",
        options.connections,
        report::list(&left_out)
    ))
}

const GO: &str = "Go net/http, over loopback";

type Start = fn(&'static str) -> Result<Pair>;

/// The composed component is no two services: it is what a call costs without a sandbox in between.
const KINDS: [(&str, Start); 5] = [
    ("one component, composed with wac", |title| {
        composed(title, "relay-typed", "greeter")
    }),
    ("Wharf, 0.2 guests, by type", |title| {
        in_process(title, "relay-typed", "greeter")
    }),
    ("Wharf, 0.2 guests, HTTP by name", |title| {
        in_process(title, "relay", "hello")
    }),
    (GO, |title| over_loopback(title, go::command_at)),
    ("hyper 1, over loopback", |title| {
        over_loopback(title, native::command_at)
    }),
];

/// Of each pool.
const INSTANCES: &str = "[instances]\ncount = 4\n";

/// `hello` is there for what A does alone; `relay` has `asked` within it.
fn composed(title: &'static str, relay: &'static str, asked: &str) -> Result<Pair> {
    let home = Home::new()?;
    let whole = home.path().join("composed.wasm");
    let mut wac = Command::new(installed().join("bin/wac"));
    wac.arg("plug").arg(guest_named(relay)?);
    wac.arg("--plug").arg(guest_named(asked)?);
    printed(wac.arg("--output").arg(&whole))?;
    home.service("hello", &fs::read(guest_named("hello")?)?, INSTANCES)?;
    home.service(relay, &fs::read(whole)?, INSTANCES)?;
    let process = home.start(PATIENCE)?;
    Ok(Pair::new(title, home.addr, relay, vec![process], home))
}

/// `hello` is there for what A does alone; `relay` asks `asked`.
fn in_process(title: &'static str, relay: &'static str, asked: &str) -> Result<Pair> {
    let home = Home::new()?;
    let mut manifest = INSTANCES.to_owned();
    for name in ["hello", asked] {
        home.service(name, &fs::read(guest_named(name)?)?, &manifest)?;
    }
    write!(manifest, "[grants]\nservices = [\"{asked}\"]\n")?;
    home.service(relay, &fs::read(guest_named(relay)?)?, &manifest)?;
    let process = home.start(PATIENCE)?;
    Ok(Pair::new(title, home.addr, relay, vec![process], home))
}

fn over_loopback(
    title: &'static str,
    command: impl Fn(SocketAddr) -> Result<Command>,
) -> Result<Pair> {
    let home = Home::new()?;
    let (a, b) = (free_addr()?, free_addr()?);
    let mut processes = Vec::new();
    for (addr, argument) in [(b, None), (a, Some(format!("http://{b}/hello")))] {
        let mut command = command(addr)?;
        command.args(argument);
        let mut process = home.spawn(&mut command)?;
        process.wait_for(PATIENCE, |_| client::get(addr, "/hello"))?;
        processes.push(process);
    }
    Ok(Pair::new(title, a, "relay", processes, home))
}

impl Pair {
    fn new(
        title: &'static str,
        addr: SocketAddr,
        relay: &str,
        processes: Vec<Process>,
        home: Home,
    ) -> Self {
        Self {
            title,
            addr,
            relay: format!("/{relay}"),
            processes,
            _home: home,
            alone: Vec::new(),
            through: Vec::new(),
        }
    }

    fn sample(&self, target: &str, pressure: Pressure) -> Result<Sample> {
        let answer = client::get(self.addr, target)?;
        ensure!(answer.body == "Hello, World!", "it answered {answer:?}");
        measure(&self.processes, || {
            wrk::run(self.addr, target, Workload::Hello, pressure)
        })
    }

    /// How much more there is of something with B than without.
    fn hop(&self, of: impl Fn(&Sample) -> f64) -> Option<f64> {
        let middle = |samples: &[Sample]| median(samples.iter().map(&of));
        Some(middle(&self.through)? - middle(&self.alone)?)
    }
}
