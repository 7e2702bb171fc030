//! A server's process: what it prints goes to a file, and it ends with us.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use crate::proc;

/// How long a server may take to stop before it is killed.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long to wait before looking again: what is timed is known as exactly as this.
const PAUSE: Duration = Duration::from_millis(1);
/// Lines of the log to show when something went wrong.
const TAIL: usize = 8;

/// A running server.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    /// When it was started.
    pub(crate) started: Instant,
}

impl Process {
    /// Starts it; its outputs go into a file in `dir`.
    pub(crate) fn spawn(command: &mut Command, dir: &Path) -> Result<Self> {
        let log = dir.join("log");
        let output = File::create(&log)?;
        let started = Instant::now();
        let child = command
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{} does not start", command.get_program().display()))?;
        Ok(Self {
            child,
            log,
            started,
        })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Itself and its children.
    pub(crate) fn pids(&self) -> Result<Vec<u32>> {
        proc::tree(self.id())
    }

    /// What it has printed so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `look` succeeds, and gives back what it found.
    ///
    /// # Errors
    ///
    /// The last one of `look`, with the end of the log, when the process ends or time is up.
    pub(crate) fn wait_for<T>(
        &mut self,
        patience: Duration,
        mut look: impl FnMut(&Self) -> Result<T>,
    ) -> Result<T> {
        let patience = Instant::now() + patience;
        loop {
            let error = match look(self) {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > patience {
                let why = ended.map_or("it took too long".to_owned(), |how| how.to_string());
                let log = self.log();
                let lines: Vec<_> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
                bail!("{why}: {error:#}\n{tail}");
            }
            thread::sleep(PAUSE);
        }
    }

    /// Asks it to stop, and insists if it doesn't.
    pub(crate) fn stop(&mut self) -> Result<()> {
        // One that has ended already is where the signal wanted it.
        let _ended = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > FAREWELL {
                self.child.kill()?;
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("a server could not be stopped: {error:#}");
        }
    }
}

/// An address that nobody listens on.
pub(crate) fn free_addr() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Lets this process and its children open as many files as they may: a thousand connections take
/// more than the usual limit.
pub(crate) fn raise_file_limit() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}
