//! From nothing to the first answer.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::PATIENCE;
use super::home::Home;
use crate::options::Options;
use crate::peers::{Generation, guest};
use crate::table::{Table, median, millis, number};
use crate::workload::Workload;

/// What is started, and what it is called.
const GUESTS: [(&str, Workload, Generation); 4] = [
    ("hello, 0.2", Workload::Hello, Generation::P2),
    ("hello, 0.3", Workload::Hello, Generation::P3),
    ("echo, 0.2", Workload::Echo, Generation::P2),
    ("echo, 0.3", Workload::Echo, Generation::P3),
];

/// How many services a host has that is started again.
const SERVICES: usize = 50;

/// Until it says that it listens, and until it has answered.
struct Sample {
    listening: Duration,
    answered: Duration,
}

pub(super) fn run(options: &Options) -> Result<String> {
    let mut table = Table::new([
        "service",
        "cold: listening ms",
        "answered ms",
        "warm: listening ms",
        "answered ms",
    ]);
    for (title, workload, generation) in GUESTS {
        let component = fs::read(guest(workload, generation)?)?;
        let (mut cold, mut warm) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds.get() {
            let home = Home::new()?;
            home.service(workload.name(), &component, "")?;
            cold.push(start(&home, workload)?);
            warm.push(start(&home, workload)?);
        }
        let mut row = vec![title.to_owned()];
        for samples in [&cold, &warm] {
            row.push(middle(samples, |sample| sample.listening));
            row.push(middle(samples, |sample| sample.answered));
        }
        table.row(row);
    }
    let many = restart(options)?;
    Ok(format!(
        "## Start-up\n\n\
         From the start of the process until it prints `listening on`, and until it has answered a \
         request. Cold: with an empty data directory. Warm: once more with the same one.\n\n{table}\n\
         {SERVICES} services, each of a component of its own (0.2), with 2 instances; everything is ready \
         when it listens.\n\n{many}"
    ))
}

/// Many services, none of which has anything compiled for it by another.
fn restart(options: &Options) -> Result<Table> {
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    let hello = fs::read(guest(Workload::Hello, Generation::P2)?)?;
    for _ in 0..options.rounds.get() {
        let home = Home::new()?;
        home.service(Workload::Hello.name(), &hello, "")?;
        for number in 1..SERVICES {
            let own = with_section(&hello, number);
            home.service(&format!("s{number:02}"), &own, "")?;
        }
        cold.push(start(&home, Workload::Hello)?);
        warm.push(start(&home, Workload::Hello)?);
    }
    let mut table = Table::new(["first start ms", "restart ms"]);
    let listening = |samples: &[Sample]| middle(samples, |sample| sample.listening);
    table.row([listening(&cold), listening(&warm)]);
    Ok(table)
}

/// The same component with a custom section, which makes it another one.
fn with_section(component: &[u8], number: usize) -> Vec<u8> {
    let name = format!("s{number:02}");
    let mut own = component.to_vec();
    // the section's number, its size, the size of its name, and its name (all below 128: one byte each)
    own.extend([0, 4, 3]);
    own.extend(name.as_bytes());
    own
}

fn start(home: &Home, workload: Workload) -> Result<Sample> {
    let mut process = home.spawn(&mut home.command()?)?;
    process.wait_for(PATIENCE, |process| {
        ensure!(process.log().contains("listening on"), "it doesn't listen");
        Ok(())
    })?;
    let listening = process.started.elapsed();
    process.wait_for(PATIENCE, |_| workload.check(home.addr))?;
    let answered = process.started.elapsed();
    Ok(Sample {
        listening,
        answered,
    })
}

fn middle(samples: &[Sample], of: impl Fn(&Sample) -> Duration) -> String {
    number(median(samples.iter().map(|sample| millis(of(sample)))), 0)
}
