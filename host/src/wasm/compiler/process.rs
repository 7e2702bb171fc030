//! The server's side: starts the process that compiles, waits for it, and ends it.
//!
//! What goes to it and what comes from it are files without a name, in memory: nobody waits for anybody
//! to read, and nothing is left behind, however either of them ends. That it has ended is seen by its
//! standard error, a pipe, of which it holds the only other end.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, Read as _, Seek as _, Write as _};
use std::num::NonZero;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::process::Signal;
use tracing::debug;

use super::report::Report;
use super::{Bounds, Canceled, Compiled};
use crate::wasm::component::ComponentError;

/// What is kept of what the process says on standard error, in bytes. If it says anything, it says why
/// it gives up.
const SAID: usize = 4 << 10;

/// What Rust says before it aborts a process whose memory is used up.
const MEMORY_USED_UP: &str = "memory allocation of ";

/// What has the allocator take memory as it is needed, and give back what is not used any more. By itself it
/// takes more each time that it needs some, keeps it, and has threads with stacks of their own, all of which
/// costs nothing, but would count.
const ALLOCATOR: (&str, &str) = ("_RJEM_MALLOC_CONF", "retain:false,background_thread:false");

/// The memory for which there is one more thread, in bytes. Each has a stack and a heap of its own.
const MEMORY_OF_THREAD: u64 = 128 << 20;

/// What is run.
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

/// How a process ended.
enum End {
    Itself(ExitStatus),
    TimeUp,
    Canceled,
}

impl Program {
    /// This very program, even if another file has taken its place since it was started.
    pub(super) fn this() -> Self {
        // Below a program that runs others, such as valgrind or qemu, only what the link is read as leads
        // here: followed, it leads to that one. What has been replaced has no name any more.
        let named = env::current_exe().ok().filter(|path| path.exists());
        Self {
            path: named.unwrap_or_else(|| "/proc/self/exe".into()),
            arguments: vec!["compile".into()],
        }
    }

    /// A command that is given nothing but what it needs.
    fn command(&self, bounds: Bounds) -> Command {
        let mut command = Command::new(&self.path);
        command
            .arg0("wharf")
            .args(&self.arguments)
            .arg(format!("--time-ms={}", bounds.time.as_millis()))
            .arg(format!("--memory={}", bounds.memory))
            .arg(format!("--parent={}", std::process::id()))
            .env_clear()
            .env(ALLOCATOR.0, ALLOCATOR.1)
            .env("RAYON_NUM_THREADS", threads(bounds.memory).to_string())
            .current_dir("/")
            // an interrupt at the terminal is for the server, which decides what is to end and when
            .process_group(0);
        command
    }
}

/// How many threads compile: one for each processor, if there is memory for so many.
fn threads(memory: u64) -> u64 {
    let processors = available_parallelism().map_or(1, NonZero::get) as u64;
    (memory / MEMORY_OF_THREAD).clamp(1, processors)
}

/// Compiles a component in a process that is over when this returns.
///
/// # Errors
///
/// What the process says of the component, or how it ended.
pub(super) fn compile(
    program: &Program,
    bounds: Bounds,
    bytes: &[u8],
    canceled: &Canceled,
) -> Result<Compiled, ComponentError> {
    let start = Instant::now();
    let (end, said, mut output) =
        run(program, bounds, bytes, canceled, start).map_err(|error| {
            let program = program.path.display();
            ComponentError::Compiler(format!("{program} can't be run: {error}"))
        })?;
    let said = String::from_utf8_lossy(&said);
    debug!(
        seconds = start.elapsed().as_secs_f64(),
        said = said.trim_end(),
        "the process that compiles has ended"
    );
    match end {
        End::Itself(status) if status.success() => {}
        End::Itself(status) => return Err(failure(status, &said, bounds)),
        End::TimeUp => return Err(too_long(bounds)),
        End::Canceled => return Err(ComponentError::Canceled),
    }
    let mut written = Vec::new();
    output
        .rewind()
        .and_then(|()| output.read_to_end(&mut written))
        .map_err(|error| ComponentError::Compiler(format!("it can't be read from: {error}")))?;
    match Report::read(written) {
        Some(Report::Compiled(compiled)) => Ok(compiled),
        Some(Report::Invalid(reason)) => Err(ComponentError::Invalid(reason)),
        Some(Report::Memory) => Err(too_much_memory(bounds)),
        Some(Report::Failed(reason)) => Err(ComponentError::Compiler(reason)),
        None => Err(ComponentError::Compiler("it made no sense".to_owned())),
    }
}

/// Runs the program to its end or to ours: how it ended, what it said, and its output.
fn run(
    program: &Program,
    bounds: Bounds,
    bytes: &[u8],
    canceled: &Canceled,
    start: Instant,
) -> io::Result<(End, Vec<u8>, File)> {
    let (mut pipe, saying) = io::pipe()?;
    let output = unnamed("compiled")?;
    let mut command = program.command(bounds);
    command
        .stdin(input(bytes)?)
        .stdout(output.try_clone()?)
        .stderr(saying);
    let mut running = Running(command.spawn()?);
    // it holds the writing end of the pipe, whose only holder is to be the process
    drop(command);
    let mut said = Vec::new();
    let deadline = start.checked_add(bounds.time);
    let end = loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if let Some(end) = wait(&pipe, canceled, left)? {
            break end;
        }
        if !hear(&mut pipe, &mut said)? {
            break End::Itself(running.0.wait()?);
        }
    };
    Ok((end, said, output))
}

/// Waits until the process has said something or has ended: `None`; or until it is to be ended.
fn wait(pipe: &PipeReader, canceled: &Canceled, left: Option<Duration>) -> io::Result<Option<End>> {
    if left == Some(Duration::ZERO) {
        return Ok(Some(End::TimeUp));
    }
    let timeout = left.and_then(|left| Timespec::try_from(left).ok());
    let mut awaited = [
        PollFd::new(pipe, PollFlags::IN),
        PollFd::new(canceled, PollFlags::IN),
    ];
    match poll(&mut awaited, timeout.as_ref()) {
        Ok(0) => Ok(Some(End::TimeUp)),
        // only its end is ever seen of what cancels
        Ok(_) if !awaited[1].revents().is_empty() => Ok(Some(End::Canceled)),
        Ok(_) | Err(Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Takes what was said. `false` if there will be no more.
fn hear(pipe: &mut PipeReader, said: &mut Vec<u8>) -> io::Result<bool> {
    let mut some = [0; 1024];
    let count = pipe.read(&mut some)?;
    let room = SAID.saturating_sub(said.len());
    said.extend(some.iter().take(count.min(room)));
    Ok(count > 0)
}

/// A file that is nowhere but in memory, and there for as long as someone has it open.
fn unnamed(name: &str) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(memfd_create(name, flags)?.into())
}

/// The component, to be read from the start and never to be changed.
fn input(bytes: &[u8]) -> io::Result<File> {
    let mut file = unnamed("component")?;
    file.write_all(bytes)?;
    file.rewind()?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals)?;
    Ok(file)
}

/// Why a process failed that ended by itself.
fn failure(status: ExitStatus, said: &str, bounds: Bounds) -> ComponentError {
    let is = |signal: Signal| status.signal() == Some(signal.as_raw());
    if is(Signal::XCPU) {
        return too_long(bounds);
    }
    if is(Signal::XFSZ) || is(Signal::ABORT) && said.contains(MEMORY_USED_UP) {
        return too_much_memory(bounds);
    }
    let how = match status.signal() {
        Some(signal) if is(Signal::KILL) => format!(
            "it was killed by signal {signal}, which is what the system does when it is short of memory"
        ),
        Some(signal) => format!("it was ended by signal {signal}"),
        None => format!("it ended with {status}"),
    };
    // behind what a panic says, there is advice for whoever debugs
    let tells = |line: &&str| !line.trim().is_empty() && !line.starts_with("note: ");
    let last = said.lines().rev().find(tells);
    ComponentError::Compiler(match last {
        Some(last) => format!("{how}; it said: {}", last.trim()),
        None => how,
    })
}

fn too_long(bounds: Bounds) -> ComponentError {
    ComponentError::TooLong {
        allowed: bounds.time,
    }
}

fn too_much_memory(bounds: Bounds) -> ComponentError {
    ComponentError::TooMuchMemory {
        allowed: bounds.memory,
    }
}

/// A process that is ended, and gone from the system's table, when nobody waits for it any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // one that has ended by itself, and was waited for, is left alone by both
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests;
