//! `wharf-bench instructions`: how many instructions a request takes, counted by valgrind.
//!
//! The count hardly varies from run to run, and no other program on the machine changes it, so that
//! a regression shows in CI, where timing is worth nothing. It is that of one worker thread and one
//! connection, in user mode; without the pool of sandboxes, whose address space valgrind can't give.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::client;
use crate::costs::home::Home;
use crate::peers::{Generation, guest, printed};
use crate::process::Process;
use crate::table::float;
use crate::workload::Workload;

/// How long the server may take until it answers: it compiles, many times slower than usual.
const PATIENCE: Duration = Duration::from_mins(10);
const WARM_UP: usize = 200;
const REQUESTS: usize = 500;
/// Deadlines are out of place on so slow a machine.
const MANIFEST: &str = "[limits]\nstart = \"10m\"\ntimeout = \"10m\"\n";

const GUESTS: [(&str, Workload, Generation); 4] = [
    ("hello, 0.2", Workload::Hello, Generation::P2),
    ("hello, 0.3", Workload::Hello, Generation::P3),
    ("echo, 0.2", Workload::Echo, Generation::P2),
    ("echo, 0.3", Workload::Echo, Generation::P3),
];

pub(crate) fn run() -> Result<()> {
    printed(Command::new("valgrind").arg("--version"))
        .context("instructions are counted by valgrind: apt-get install valgrind")?;
    for (title, workload, generation) in GUESTS {
        let instructions = count(workload, generation)?;
        println!("{title}: {instructions:.0} instructions per request");
    }
    Ok(())
}

fn count(workload: Workload, generation: Generation) -> Result<f64> {
    let home = Home::new()?;
    let component = fs::read(guest(workload, generation)?)?;
    home.service(workload.name(), &component, MANIFEST)?;
    let mut process = home.spawn(&mut watched(&home))?;
    process.wait_for(PATIENCE, |_| workload.check(home.addr))?;
    control(&process, "--instr=on")?;
    client::repeat(home.addr, workload, WARM_UP)?;
    control(&process, "--zero")?;
    client::repeat(home.addr, workload, REQUESTS)?;
    control(&process, "--dump")?;
    let total = total(home.path())?;
    Ok(float(total) / float(u64::try_from(REQUESTS)?))
}

/// The server under valgrind, which at first doesn't count: compiling goes faster so.
fn watched(home: &Home) -> Command {
    let serve = home.command();
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--instr-atstart=no"])
        .arg("--callgrind-out-file=counted")
        .arg(serve.get_program())
        .args(serve.get_args())
        .current_dir(home.path())
        .env("TOKIO_WORKER_THREADS", "1");
    command
}

/// Tells the running valgrind to do something.
fn control(process: &Process, action: &str) -> Result<()> {
    let pid = process.id().to_string();
    printed(Command::new("callgrind_control").args([action, &pid]))?;
    Ok(())
}

/// The instructions in the first dump.
fn total(dir: &Path) -> Result<u64> {
    let dump = fs::read_to_string(dir.join("counted.1"))?;
    let mut lines = dump.lines();
    let total = lines.find_map(|line| line.strip_prefix("summary: "));
    let total = total.context("callgrind's dump has no summary")?;
    let total = total.trim().parse()?;
    ensure!(total > 0, "callgrind counted nothing");
    Ok(total)
}
