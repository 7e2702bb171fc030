//! What a second core brings.

use crate::contest::{self, Standing, compete};
use crate::machine::cores;
use crate::options::Options;
use crate::peers::{NATIVE, Peer};
use crate::report;
use crate::table::{Table, number, ratio};
use crate::workload::Workload;
use crate::wrk::Pressure;

/// Whose worker threads can be counted, being tokio's.
const SCALED: [&str; 3] = [NATIVE, "wharf-p2", "wharf-p3"];

/// Measures the servers with one and with two worker threads, in turn, under a load from two
/// threads.
pub(crate) fn run(options: &Options, peers: &[&'static Peer]) -> String {
    let scaled: Vec<_> = peers
        .iter()
        .filter(|peer| SCALED.contains(&peer.name))
        .copied()
        .collect();
    let (mut one, mut left_out) = contest::start(&scaled, Workload::Hello, Some(1));
    let (mut two, also_left_out) = contest::start(&scaled, Workload::Hello, Some(2));
    left_out.extend(also_left_out);
    let pressure = Pressure {
        threads: 2,
        connections: options.connections.get().max(2),
        seconds: options.seconds.get(),
    };
    for round in 1..=options.rounds.get() {
        for server in one.iter_mut().chain(&mut two) {
            compete(server, Workload::Hello, pressure, round);
        }
    }
    let table = table(
        one.iter().map(|(_, one)| one),
        two.iter().map(|(_, two)| two),
    );
    let failures = one.iter().chain(&two).flat_map(|(_, it)| it.notes());
    let notes = report::list(&left_out.into_iter().chain(failures).collect::<Vec<_>>());
    format!(
        "## Scaling: hello with one and with two worker threads\n\n\
         wrk presses with two threads, on the same {} cores as the server: what its CPU time takes \
         away, the second worker can't have. The last column is what is left, all cores' time \
         over what server and wrk use together for a request, as a multiple of what one worker did.\n\n\
         {table}\n{notes}",
        cores()
    )
}

fn table<'a>(
    one: impl Iterator<Item = &'a Standing>,
    two: impl Iterator<Item = &'a Standing>,
) -> Table {
    let mut table = Table::new([
        "server",
        "req/s, 1 worker",
        "req/s, 2 workers",
        "ratio",
        "server CPU µs/request",
        "wrk CPU µs/request",
        "the cores allow",
    ]);
    for (one, two) in one.zip(two) {
        let rates = [one, two].map(|standing| standing.median(|sample| sample.rate));
        let cpu = two.median(|sample| sample.cpu);
        let load_cpu = two.median(|sample| sample.load_cpu);
        let all = two.median(|sample| sample.cpu + sample.load_cpu);
        let microseconds = 1e6 * f64::from(u32::try_from(cores()).unwrap_or(u32::MAX));
        table.row([
            one.peer.title.to_owned(),
            number(rates[0], 0),
            number(rates[1], 0),
            ratio(rates[1], rates[0]),
            number(cpu, 1),
            number(load_cpu, 1),
            ratio(all.map(|all| microseconds / all), rates[0]),
        ]);
    }
    table
}
