//! `wharf-bench instructions`: how many instructions a request takes, and whose, counted by valgrind.
//!
//! The count hardly varies from run to run, and no other program on the machine changes it, so that
//! a regression shows in CI, where timing is worth nothing. It is that of one worker thread and one
//! connection, in user mode: what the kernel does for a request (for a fresh sandbox, its pages) is
//! not in it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::client;
use crate::costs::home::Home;
use crate::peers::wharf::Isolation;
use crate::peers::{Generation, floor, guest, native, printed};
use crate::process::Process;
use crate::profile::{Part, Profile};
use crate::table::Table;
use crate::workload::Workload;

/// How long the server may take until it answers: it compiles, many times slower than usual.
const PATIENCE: Duration = Duration::from_mins(10);
const WARM_UP: usize = 200;
const REQUESTS: u32 = 500;
/// Deadlines are out of place on so slow a machine.
const MANIFEST: &str = "[limits]\nstart = \"10m\"\ntimeout = \"10m\"\n";
/// A pool of sandboxes that fits into the address space which valgrind can give; and compiling is slow, too.
const SETTINGS: &str = "[sandbox]\nmax_instances = 6\n[deploy]\ncompile_timeout = \"10m\"\n";

/// What is counted.
#[derive(Clone, Copy)]
enum Server {
    Native,
    Floor(Generation, Isolation),
    Wharf(Generation, Isolation),
}

use Generation::{P2, P3};
use Isolation::{Instance, Request};
use Workload::{Echo, Hello};

/// Connections that the floor is made for; each needs address space, of which valgrind has little.
const CONNECTIONS: u32 = 4;

const SUBJECTS: [(&str, Workload, Server); 14] = [
    ("hello, hyper 1, native", Hello, Server::Native),
    ("hello, 0.2, the floor", Hello, Server::Floor(P2, Instance)),
    ("hello, 0.2", Hello, Server::Wharf(P2, Instance)),
    ("hello, 0.3, the floor", Hello, Server::Floor(P3, Instance)),
    ("hello, 0.3", Hello, Server::Wharf(P3, Instance)),
    (
        "hello, 0.2, fresh, the floor",
        Hello,
        Server::Floor(P2, Request),
    ),
    ("hello, 0.2, fresh", Hello, Server::Wharf(P2, Request)),
    ("echo, hyper 1, native", Echo, Server::Native),
    ("echo, 0.2, the floor", Echo, Server::Floor(P2, Instance)),
    ("echo, 0.2", Echo, Server::Wharf(P2, Instance)),
    ("echo, 0.3, the floor", Echo, Server::Floor(P3, Instance)),
    ("echo, 0.3", Echo, Server::Wharf(P3, Instance)),
    (
        "echo, 0.2, fresh, the floor",
        Echo,
        Server::Floor(P2, Request),
    ),
    ("echo, 0.2, fresh", Echo, Server::Wharf(P2, Request)),
];

pub(crate) fn run() -> Result<()> {
    printed(Command::new("valgrind").arg("--version"))
        .context("instructions are counted by valgrind: apt-get install valgrind")?;
    let columns = ["instructions per request", "all"].into_iter();
    let mut table = Table::new(columns.chain(Part::ALL.map(Part::title)));
    for (title, workload, server) in SUBJECTS {
        let profile = count(workload, server)?;
        let each = |count: u64| (count / u64::from(REQUESTS)).to_string();
        let parts = Part::ALL.map(|part| each(profile.part(part)));
        table.row(
            [title.to_owned(), each(profile.total())]
                .into_iter()
                .chain(parts),
        );
    }
    println!("{table}");
    Ok(())
}

fn count(workload: Workload, server: Server) -> Result<Profile> {
    let home = Home::new()?;
    let command = match server {
        Server::Native => native::command_at(home.addr)?,
        Server::Floor(generation, isolation) => {
            floor::command_at(home.addr, workload, generation, isolation, CONNECTIONS)?
        }
        Server::Wharf(generation, isolation) => {
            let component = fs::read(guest(workload, generation)?)?;
            let manifest = format!("{}{MANIFEST}", isolation.line());
            home.service(workload.name(), &component, &manifest)?;
            home.settings(SETTINGS)?;
            home.command()?
        }
    };
    let mut process = home.spawn(&mut watched(&command, home.path()))?;
    process.wait_for(PATIENCE, |_| workload.check(home.addr))?;
    control(&process, "--instr=on")?;
    client::repeat(home.addr, workload, WARM_UP)?;
    control(&process, "--zero")?;
    client::repeat(home.addr, workload, usize::try_from(REQUESTS)?)?;
    control(&process, "--dump")?;
    let counted = format!("counted.{}.1", process.id());
    Profile::read(&fs::read_to_string(home.path().join(counted))?)
}

/// A server under valgrind, which at first doesn't count. The process that compiles is under it, too: it is
/// to compile for the processor that valgrind shows.
fn watched(server: &Command, dir: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--instr-atstart=no"])
        .arg("--trace-children=yes")
        .arg(format!("--callgrind-out-file={}/counted.%p", dir.display()))
        .arg(server.get_program())
        .args(server.get_args())
        .current_dir(dir)
        .env("TOKIO_WORKER_THREADS", "1");
    command
}

/// Tells the running valgrind to do something.
fn control(process: &Process, action: &str) -> Result<()> {
    let pid = process.id().to_string();
    printed(Command::new("callgrind_control").args([action, &pid]))?;
    Ok(())
}
