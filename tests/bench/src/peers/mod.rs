//! The servers that are compared. Each can be missing; the report then says why.

pub(crate) mod floor;
pub(crate) mod go;
pub(crate) mod native;
mod nginx;
mod wasmtime;
pub(crate) mod wharf;
mod workerd;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use wharf_tests::build::{build_guests, root};

use crate::process::{Process, free_addr};
use crate::workload::Workload;
use wasmtime::Reuse;
use wharf::Isolation;

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_mins(1);

/// A kind of server, in one of its settings.
pub(crate) struct Peer {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// What the tables call it.
    pub(crate) title: &'static str,
    /// The workloads it has; the load generator's ceiling has no echo.
    pub(crate) workloads: &'static [Workload],
    /// Its command, with all files it needs in the directory.
    command: fn(Setting<'_>) -> Result<Command>,
    /// What it is exactly.
    pub(crate) version: fn() -> Result<String>,
}

/// What one server is started with.
#[derive(Clone, Copy)]
struct Setting<'a> {
    workload: Workload,
    addr: SocketAddr,
    /// Empty, for its configuration.
    dir: &'a Path,
}

/// The generation of `wasi:http` that a guest is written for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    P2,
    P3,
}

use Workload::{Echo, Hello, Stream};

pub(crate) const ALL: &[Peer] = &[
    Peer {
        name: NATIVE,
        title: "hyper 1, native",
        workloads: &[Hello, Echo, Stream],
        command: native::command,
        version: native::version,
    },
    Peer {
        name: "hyper-loops",
        title: "hyper 1, native, in event loops as Wharf",
        workloads: &[Hello, Echo, Stream],
        command: native::in_loops,
        version: native::version,
    },
    Peer {
        name: "go",
        title: "Go net/http, native",
        workloads: &[Hello, Echo, Stream],
        command: go::command,
        version: go::version,
    },
    Peer {
        name: "wharf-p2",
        title: "Wharf, 0.2 guest",
        workloads: &[Hello, Echo, Stream],
        command: |setting| wharf::command(setting, Generation::P2, Isolation::Instance),
        version: wharf::version,
    },
    Peer {
        name: "wharf-p3",
        title: "Wharf, 0.3 guest",
        workloads: &[Hello, Echo, Stream],
        command: |setting| wharf::command(setting, Generation::P3, Isolation::Instance),
        version: wharf::version,
    },
    Peer {
        name: "wharf-fresh-p2",
        title: "Wharf, 0.2 guest, fresh instance per request",
        workloads: &[Hello, Echo],
        command: |setting| wharf::command(setting, Generation::P2, Isolation::Request),
        version: wharf::version,
    },
    Peer {
        name: "floor-p2",
        title: "the floor: hyper and wasmtime alone, 0.2 guest",
        workloads: &[Hello, Echo],
        command: |setting| floor::command(setting, Generation::P2, Isolation::Instance),
        version: floor::version,
    },
    Peer {
        name: "floor-p3",
        title: "the floor, 0.3 guest",
        workloads: &[Hello, Echo],
        command: |setting| floor::command(setting, Generation::P3, Isolation::Instance),
        version: floor::version,
    },
    Peer {
        name: "floor-fresh-p2",
        title: "the floor, 0.2 guest, fresh instance per request",
        workloads: &[Hello, Echo],
        command: |setting| floor::command(setting, Generation::P2, Isolation::Request),
        version: floor::version,
    },
    Peer {
        name: "wasmtime-p2",
        title: "wasmtime serve, 0.2 guest, instances reused",
        workloads: &[Hello, Echo, Stream],
        command: |setting| wasmtime::command(setting, Generation::P2, Reuse::Pooled),
        version: wasmtime::version,
    },
    Peer {
        name: "wasmtime-p3",
        title: "wasmtime serve, 0.3 guest, instances reused",
        workloads: &[Hello, Echo, Stream],
        command: |setting| wasmtime::command(setting, Generation::P3, Reuse::Pooled),
        version: wasmtime::version,
    },
    Peer {
        name: "wasmtime-fresh-p2",
        title: "wasmtime serve, 0.2 guest, its default: fresh instance per request",
        workloads: &[Hello, Echo],
        command: |setting| wasmtime::command(setting, Generation::P2, Reuse::Default),
        version: wasmtime::version,
    },
    Peer {
        name: "workerd",
        title: "workerd, JavaScript",
        workloads: &[Hello, Echo],
        command: workerd::command,
        version: workerd::version,
    },
    Peer {
        name: "nginx",
        title: "nginx, fixed answer (the load generator's ceiling)",
        workloads: &[Hello],
        command: nginx::command,
        version: nginx::version,
    },
];

/// The peer that all others are compared with.
pub(crate) const NATIVE: &str = "hyper";

/// A server that answers as it should.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) addr: SocketAddr,
    _dir: TempDir,
}

impl Peer {
    /// Starts it for one workload, with so many worker threads if it lets that be said, and waits
    /// until it answers rightly.
    pub(crate) fn start(&self, workload: Workload, workers: Option<usize>) -> Result<Server> {
        let dir = tempfile::Builder::new().prefix("wharf-bench-").tempdir()?;
        let addr = free_addr()?;
        let mut command = (self.command)(Setting {
            workload,
            addr,
            dir: dir.path(),
        })?;
        if let Some(workers) = workers {
            command.env("TOKIO_WORKER_THREADS", workers.to_string());
        }
        let mut process = Process::spawn(&mut command, dir.path())?;
        process.wait_for(PATIENCE, |_| workload.check(addr))?;
        Ok(Server {
            process,
            addr,
            _dir: dir,
        })
    }
}

/// A guest, the same for every host of components.
pub(crate) fn guest(workload: Workload, generation: Generation) -> Result<PathBuf> {
    let mut name = workload.name().to_owned();
    if generation == Generation::P3 {
        name += "-p3";
    }
    guest_named(&name)
}

/// The guest of a package.
pub(crate) fn guest_named(name: &str) -> Result<PathBuf> {
    static BUILT: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build_guests(&root().join("tests/bench/guests")));
    let guest = built.get(name).cloned();
    guest.with_context(|| format!("no guest {name:?} was built"))
}

/// Where peers are installed that this repository doesn't build; `tests/bench/run` fills it.
pub(crate) fn installed() -> PathBuf {
    root().join("target/bench-peers")
}

/// A peer that is built with this program, beside it.
fn own(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    let built = path.exists();
    ensure!(
        built,
        "{name} is not built: tests/bench/pgo builds it, or cargo build --profile dist --workspace"
    );
    Ok(path)
}

/// The version of a crate that is built with this repository.
fn locked(name: &str) -> Result<String> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock"))?;
    let (mut lines, name) = (lock.lines(), format!("name = \"{name}\""));
    lines.find(|line| **line == name);
    let version = lines.next().and_then(|line| line.split('"').nth(1));
    Ok(version
        .with_context(|| format!("no {name} is locked"))?
        .to_owned())
}

/// What a command prints, on whichever output.
pub(crate) fn printed(command: &mut Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let output = command
        .output()
        .with_context(|| format!("{program} is not to be found"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    write!(text, "{}", String::from_utf8_lossy(&output.stderr))?;
    ensure!(output.status.success(), "{program} fails: {text}");
    Ok(text.trim().to_owned())
}
