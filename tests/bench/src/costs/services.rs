//! Many services on one host.

use std::fs;
use std::time::Duration;

use anyhow::Result;

use super::PATIENCE;
use super::home::Home;
use crate::contest::{Sample, measure};
use crate::options::Options;
use crate::peers::{Generation, guest};
use crate::proc;
use crate::process::Process;
use crate::table::{Table, median, mib, number};
use crate::workload::Workload;
use crate::wrk::{self, Pressure};

/// Of each service.
const INSTANCES: usize = 2;

/// A host with so many services, and how it went.
struct Host {
    home: Home,
    process: Process,
    /// The one in the middle, which is put under load.
    target: String,
    ready: Duration,
    resident: u64,
    samples: Vec<Sample>,
}

pub(super) fn run(options: &Options) -> Result<String> {
    let component = fs::read(guest(Workload::Hello, Generation::P2)?)?;
    let counts = [1, options.services.get()];
    let hosts = counts.map(|count| Host::start(&component, count, options));
    let mut hosts = hosts.into_iter().collect::<Result<Vec<_>>>()?;
    let pressure = Pressure {
        threads: 1,
        connections: options.connections.get(),
        seconds: options.seconds.get(),
    };
    for _ in 0..options.rounds.get() {
        for host in &mut hosts {
            let sample = measure(std::slice::from_ref(&host.process), || {
                wrk::run(host.home.addr, &host.target, Workload::Hello, pressure)
            })?;
            host.samples.push(sample);
        }
    }
    let mut table = Table::new([
        "services",
        "ready s",
        "RSS MiB",
        "req/s",
        "CPU µs/request",
        "p50 µs",
    ]);
    for (count, host) in counts.iter().zip(&hosts) {
        let middle = |of: fn(&Sample) -> f64| median(host.samples.iter().map(of));
        table.row([
            count.to_string(),
            number(Some(host.ready.as_secs_f64()), 2),
            number(Some(mib(host.resident)), 0),
            number(middle(|sample| sample.rate), 0),
            number(middle(|sample| sample.cpu), 1),
            number(middle(|sample| sample.p50), 0),
        ]);
    }
    Ok(format!(
        "## Many services\n\n\
         Copies of hello (0.2) under names of their own, {INSTANCES} instances each, from an empty \
         data directory until everything is ready; then a load on one of them, in turn.\n\n{table}"
    ))
}

impl Host {
    fn start(component: &[u8], count: usize, options: &Options) -> Result<Self> {
        eprintln!("wharf starts {count} services");
        let home = Home::new()?;
        // As many again, for swaps.
        let instances = (2 * count * INSTANCES).max(100);
        home.settings(&format!("[sandbox]\nmax_instances = {instances}\n"))?;
        for number in 0..count {
            let manifest = format!("[instances]\ncount = {INSTANCES}\n");
            home.service(&format!("s{number:05}"), component, &manifest)?;
        }
        let patience = PATIENCE + Duration::from_secs(2) * u32::try_from(count)?;
        let process = home.start(patience)?;
        let ready = process.started.elapsed();
        let target = format!("/s{:05}", count / 2);
        let warm_up = Pressure {
            threads: 1,
            connections: options.connections.get(),
            seconds: 1,
        };
        let resident = proc::resident(&process.pids()?)?;
        wrk::run(home.addr, &target, Workload::Hello, warm_up)?;
        Ok(Self {
            home,
            process,
            target,
            ready,
            resident,
            samples: Vec::new(),
        })
    }
}
