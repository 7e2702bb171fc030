//! The side of the process that compiles: one component from standard input, one report to standard
//! output.

use std::fs::File;
use std::io::{self, Read as _};
use std::num::NonZero;
use std::os::fd::AsFd as _;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{
    Resource, Rlimit, Signal, getppid, getrlimit, nice, set_parent_process_death_signal, setrlimit,
};

use super::report::Report;
use super::{Bounds, Compiled};
use crate::wasm::component::{ComponentError, in_turn};
use crate::wasm::engine::compiling_engine;

/// How far below the server, which answers requests meanwhile.
const NICENESS: i32 = 10;

/// Binds this process, then compiles. `parent` is the process that has started it.
///
/// # Errors
///
/// Bounds that can't be set, or a report that can't be written. What is wrong with the component is in
/// the report.
pub(crate) fn run(bounds: Bounds, parent: u32) -> Result<()> {
    bind(bounds, parent)?;
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .context("the component can't be read")?;
    let report = Report::of(compile(&bytes));
    // not by way of `stdout`, which looks for the ends of lines in all that it is given
    let output = io::stdout().as_fd().try_clone_to_owned();
    report
        .write(File::from(output.context("there is no output")?))
        .context("the code can't be written")
}

/// Compiles for the engine that suits the component, as [`Sandbox::build`] does.
///
/// [`Sandbox::build`]: crate::wasm::Sandbox
pub(super) fn compile(bytes: &[u8]) -> Result<Compiled, ComponentError> {
    in_turn(bytes, |concurrency| {
        let engine = compiling_engine(concurrency)?;
        let code = engine.precompile_component(bytes).map_err(|error| {
            if is_memory(&error) {
                ComponentError::NoMemory
            } else {
                ComponentError::Invalid(format!("{error:#}"))
            }
        })?;
        Ok(Compiled { concurrency, code })
    })
}

/// Whether an error says that memory was refused.
fn is_memory(error: &wasmtime::Error) -> bool {
    error.is::<wasmtime::OutOfMemory>()
        || error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory)
}

/// Sets what the system is to see to, for good.
fn bind(bounds: Bounds, parent: u32) -> Result<()> {
    // sent when the thread ends that started this process: it waits for it
    set_parent_process_death_signal(Some(Signal::KILL))
        .context("it can't be tied to its parent")?;
    let is_parent = |pid: rustix::process::Pid| u32::try_from(pid.as_raw_pid()) == Ok(parent);
    if !getppid().is_some_and(is_parent) {
        bail!("it was started by another process than it was told, or that one has ended");
    }
    for (resource, most) in [
        (Resource::Core, 0),
        (Resource::Data, bounds.memory),
        (Resource::Fsize, bounds.memory),
        (Resource::Cpu, cpu_seconds(bounds.time)),
    ] {
        let limit = limit(most, getrlimit(resource).maximum);
        setrlimit(resource, limit)
            .with_context(|| format!("the limit {resource:?} can't be set"))?;
    }
    nice(NICENESS).context("its priority can't be lowered")?;
    // should memory be short all the same, this process is to be ended rather than the server
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

/// A limit of `most`, or of what this process was allowed if that is less.
fn limit(most: u64, allowed: Option<u64>) -> Rlimit {
    let least = |most: u64| allowed.map_or(most, |allowed| allowed.min(most));
    Rlimit {
        current: Some(least(most)),
        // one more: the first of the two tells by its signal what was exceeded
        maximum: Some(least(most.saturating_add(1))),
    }
}

/// The seconds of CPU time that all processors together have in `time`. It is the server that sees to
/// the time; this is for when it can't.
fn cpu_seconds(time: Duration) -> u64 {
    let processors = available_parallelism().map_or(1, NonZero::get);
    let seconds = time.as_secs().saturating_add(1);
    seconds.saturating_mul(processors as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::cache::tests::service;

    #[test]
    fn a_component_is_refused_in_the_same_words_as_by_the_engine_that_runs_it() {
        let limits = crate::config::Sandbox {
            max_instances: 1.try_into().unwrap(),
            ..crate::config::Sandbox::default()
        };
        let sandbox = crate::wasm::Sandbox::new(&limits).unwrap();
        let good = service("a");
        let mut damaged = good.clone();
        damaged[40] ^= 0xff;
        for bytes in [
            &b""[..],
            b"#!/bin/sh",
            b"\0asm\x01\0\0\0",
            &good[..60],
            &damaged,
        ] {
            let expected = sandbox.build(bytes).err().unwrap().to_string();
            assert_eq!(compile(bytes).unwrap_err().to_string(), expected);
        }
        assert!(compile(&good).is_ok());
    }

    #[test]
    fn no_limit_is_higher_than_it_was() {
        let both = |limit: Rlimit| (limit.current, limit.maximum);
        assert_eq!(both(limit(10, None)), (Some(10), Some(11)));
        assert_eq!(both(limit(10, Some(20))), (Some(10), Some(11)));
        assert_eq!(both(limit(10, Some(10))), (Some(10), Some(10)));
        assert_eq!(both(limit(10, Some(5))), (Some(5), Some(5)));
        assert_eq!(
            both(limit(u64::MAX, None)),
            (Some(u64::MAX), Some(u64::MAX))
        );
    }

    #[test]
    fn the_time_of_all_processors_is_enough_for_the_time_on_the_clock() {
        assert!(cpu_seconds(Duration::from_millis(1)) >= 1);
        assert!(cpu_seconds(Duration::from_mins(1)) >= 60);
        assert_eq!(cpu_seconds(Duration::MAX), u64::MAX);
    }
}
