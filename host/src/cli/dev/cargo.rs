//! Running cargo, rustc and rustup as the person at the terminal would.

use std::env;
use std::io;
use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

/// A command that runs in `directory`, without what an outer `cargo run` has put into the
/// environment about the package that it runs.
pub(super) fn command(program: &str, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_outer_package) {
            command.env_remove(name);
        }
    }
    // an outer cargo passes its own toolchain on, which is right unless the guests name theirs
    if ["rust-toolchain.toml", "rust-toolchain"]
        .iter()
        .any(|file| directory.join(file).exists())
    {
        command.env_remove("RUSTUP_TOOLCHAIN");
    }
    command
}

/// Whether cargo sets this variable for programs that it runs or builds. Those that configure
/// cargo itself, such as `CARGO_HOME` and `CARGO_TARGET_DIR`, are the user's.
fn is_of_outer_package(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "CARGO",
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_MAKEFLAGS",
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_LINKS",
        "CARGO_MANIFEST_PATH",
        "CARGO_PRIMARY_PACKAGE",
        "OUT_DIR",
    ];
    const PREFIXES: [&str; 4] = [
        "CARGO_PKG_",
        "CARGO_BIN_EXE_",
        "CARGO_FEATURE_",
        "CARGO_CFG_",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Runs a command to its end; what it writes to standard error goes where ours goes. If the future
/// is dropped before, the command is ended with everything that it has started.
///
/// # Errors
///
/// A command that can't be started.
pub(super) async fn output(mut command: Command) -> Result<Output> {
    let program = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let spawned = command.stdout(Stdio::piped()).process_group(0).spawn();
    let child = spawned.with_context(|| {
        format!("`{program}` can't be started; https://rustup.rs says how to install Rust")
    })?;
    let mut group = Group(
        child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)),
    );
    let output = child.wait_with_output().await;
    // the number may be another's from here on
    group.0 = None;
    output.with_context(|| format!("`{program}` can't be read from"))
}

/// Whether the error says that a program isn't installed.
pub(super) fn is_missing(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The processes that a build consists of. A terminal's interrupt doesn't reach them, for they are
/// no part of its foreground: it is for us to end them, whatever the signal was.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // it may have ended by itself
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_describes_the_outer_package_is_removed() {
        for name in [
            "CARGO",
            "CARGO_MANIFEST_DIR",
            "CARGO_PKG_NAME",
            "CARGO_BIN_NAME",
        ] {
            assert!(is_of_outer_package(name), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_NET_OFFLINE",
            "RUSTUP_HOME",
            "RUSTFLAGS",
            "PATH",
        ] {
            assert!(!is_of_outer_package(name), "{name}");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_told_from_others() {
        let directory = tempfile::tempdir().unwrap();
        let error = output(command("no-such-program", directory.path()))
            .await
            .unwrap_err();
        assert!(is_missing(&error));
        assert!(!is_missing(&anyhow::anyhow!("something else")));
    }

    #[tokio::test]
    async fn what_a_command_has_started_ends_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut shell = command("sh", directory.path());
        // the writing end of the pipe is open for as long as any of them lives
        shell.args(["-c", "mkfifo alive; (sleep 600 > alive) & wait"]);
        let mut running = Box::pin(output(shell));
        let pipe = directory.path().join("alive");
        let (open, opened) = tokio::sync::oneshot::channel();
        let reading = tokio::task::spawn_blocking(move || {
            while !pipe.exists() {
                std::thread::yield_now();
            }
            let pipe = std::fs::File::open(pipe).unwrap();
            open.send(()).unwrap();
            io::read_to_string(pipe)
        });
        tokio::select! {
            _ = &mut running => panic!("it ran to its end"),
            result = opened => result.unwrap(),
        }
        drop(running);
        let read = tokio::time::timeout(Duration::from_secs(30), reading).await;
        assert_eq!(read.expect("everything has ended").unwrap().unwrap(), "");
    }
}
