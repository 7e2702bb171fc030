//! Large bodies, down and up, on one connection.

use std::convert::Infallible;
use std::iter::repeat_n;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::stream;
use http::Method;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Frame;

use crate::contest::{progress, start};
use crate::options::Options;
use crate::peers::{NATIVE, Peer, Server};
use crate::table::{Table, mean, median, mib, millis, number, ratio};
use crate::workload::Workload;
use crate::{client, proc, report};

const BYTES: usize = 256 << 20;
const FRAME: usize = 64 << 10;
const MIB: f64 = 256.0;

/// One body.
struct Sample {
    took: Duration,
    cpu: Duration,
    /// The most that was resident, in bytes.
    peak: u64,
}

/// What one server has done.
struct Standing {
    server: Server,
    peer: &'static Peer,
    /// Down and up.
    samples: [Vec<Sample>; 2],
}

type Transfer = fn(SocketAddr) -> Result<()>;
const TRANSFERS: [Transfer; 2] = [down, up];

/// Lets all peers that can send and receive bodies of 256 MiB.
pub(crate) fn run(options: &Options, peers: &[&'static Peer]) -> String {
    let (servers, mut notes) = start(peers, Workload::Stream, None);
    let mut standings: Vec<_> = servers
        .into_iter()
        .map(|(server, standing)| Standing {
            server,
            peer: standing.peer,
            samples: [Vec::new(), Vec::new()],
        })
        .collect();
    for round in 1..=options.rounds.get() {
        for standing in &mut standings {
            progress(standing.peer, &format!("streaming, round {round}"));
            for (transfer, samples) in TRANSFERS.iter().zip(&mut standing.samples) {
                match measure(&standing.server, *transfer) {
                    Ok(sample) => samples.push(sample),
                    Err(error) => notes.push(format!(
                        "{}: a round failed: {}",
                        standing.peer.title,
                        report::one_line(&error)
                    )),
                }
            }
        }
    }
    let notes = report::list(&notes);
    format!(
        "## Streaming: 256 MiB, one connection\n\n\
         The client is this program's own, hyper again.\n\n{}\n{notes}",
        table(&standings)
    )
}

fn measure(server: &Server, transfer: Transfer) -> Result<Sample> {
    let pids = server.process.pids()?;
    proc::forget_peak(&pids)?;
    let cpu = proc::cpu(&pids)?;
    let started = Instant::now();
    transfer(server.addr)?;
    Ok(Sample {
        took: started.elapsed(),
        cpu: proc::cpu(&pids)?.saturating_sub(cpu),
        peak: proc::peak(&pids)?,
    })
}

fn down(addr: SocketAddr) -> Result<()> {
    let target = format!("/down?bytes={BYTES}");
    let bytes = client::wait(async {
        let response = client::send(addr, Method::GET, &target, Empty::<Bytes>::new()).await?;
        let mut body = response.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(bytes)
    })?;
    ensure!(bytes == BYTES, "{bytes} bytes came instead of {BYTES}");
    Ok(())
}

fn up(addr: SocketAddr) -> Result<()> {
    let counted = client::wait(async {
        let frame = Bytes::from(vec![b'x'; FRAME]);
        let frames = repeat_n(frame, BYTES / FRAME);
        let frames = frames.map(|frame| Ok::<_, Infallible>(Frame::data(frame)));
        let body = StreamBody::new(stream::iter(frames));
        let response = client::send(addr, Method::POST, "/up", body).await?;
        Ok(response.into_body().collect().await?.to_bytes())
    })?;
    ensure!(
        counted == BYTES.to_string(),
        "{counted:?} were counted instead of {BYTES}"
    );
    Ok(())
}

fn table(standings: &[Standing]) -> Table {
    let mut table = Table::new([
        "server",
        "down MiB/s",
        "× native",
        "CPU ms",
        "peak MiB",
        "up MiB/s",
        "× native",
        "CPU ms",
        "peak MiB",
    ]);
    let native = standings
        .iter()
        .find(|standing| standing.peer.name == NATIVE);
    let native = native.map(|standing| standing.samples.each_ref().map(|samples| speed(samples)));
    for standing in standings {
        let mut row = vec![standing.peer.title.to_owned()];
        for (direction, samples) in standing.samples.iter().enumerate() {
            let speed = speed(samples);
            row.push(number(speed, 0));
            row.push(ratio(speed, native.and_then(|native| native[direction])));
            row.push(number(mean(samples.iter().map(|s| millis(s.cpu))), 0));
            row.push(number(median(samples.iter().map(|s| mib(s.peak))), 0));
        }
        table.row(row);
    }
    table
}

fn speed(samples: &[Sample]) -> Option<f64> {
    median(samples.iter().map(|sample| MIB / sample.took.as_secs_f64()))
}
