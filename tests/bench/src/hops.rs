//! What one more service in between costs: A answers with what it asks B.
//!
//! A hop is what both sides together use for a request that goes from A to B, without what A uses for
//! one that it answers alone.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::client;
use crate::contest::measure;
use crate::costs::home::Home;
use crate::options::Options;
use crate::peers::{go, guest_named, native};
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
    alone: Vec<f64>,
    through: Vec<f64>,
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
            let alone = pair.cpu("/hello", pressure)?;
            let through = pair.cpu(&pair.relay, pressure)?;
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
        "× Wharf by name",
    ]);
    let hop = |pair: &Pair| {
        Some(median(pair.through.iter().copied())? - median(pair.alone.iter().copied())?)
    };
    let own = pairs.iter().find(|pair| pair.title == WHARF).and_then(hop);
    for pair in &pairs {
        table.row([
            pair.title.to_owned(),
            number(median(pair.alone.iter().copied()), 1),
            number(median(pair.through.iter().copied()), 1),
            number(hop(pair), 1),
            ratio(hop(pair), own),
        ]);
    }
    Ok(format!(
        "## A hop: CPU time per request of both sides; {} connections\n\n{table}\n{}",
        options.connections,
        report::list(&left_out)
    ))
}

const WHARF: &str = "Wharf, 0.2 guests, HTTP by name";

type Start = fn(&'static str) -> Result<Pair>;

const KINDS: [(&str, Start); 4] = [
    ("Wharf, 0.2 guests, by type", |title| {
        in_process(title, "relay-typed", "greeter")
    }),
    (WHARF, |title| in_process(title, "relay", "hello")),
    ("Go net/http, over loopback", |title| {
        over_loopback(title, go::command_at)
    }),
    ("hyper 1, over loopback", |title| {
        over_loopback(title, |addr| Ok(native::command_at(addr)))
    }),
];

/// `hello` is there for what A does alone; `relay` asks `asked`.
fn in_process(title: &'static str, relay: &'static str, asked: &str) -> Result<Pair> {
    let home = Home::new()?;
    let mut manifest = "[instances]\ncount = 4\n".to_owned();
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
    command: impl Fn(SocketAddr) -> Result<std::process::Command>,
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

    /// Microseconds of CPU time per request, of all processes.
    fn cpu(&self, target: &str, pressure: Pressure) -> Result<f64> {
        let answer = client::get(self.addr, target)?;
        ensure!(answer.body == "Hello, World!", "it answered {answer:?}");
        let sample = measure(&self.processes, || {
            wrk::run(self.addr, target, Workload::Hello, pressure)
        })?;
        Ok(sample.cpu)
    }
}
