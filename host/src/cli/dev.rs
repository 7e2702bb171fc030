//! `wharf dev`: sources to components, components to services, again at every change.
//!
//! The server is the one that `serve` runs, in the same process, over a services directory that
//! nobody else writes to. What is here only ever puts files into that directory: a change that
//! doesn't build, or builds to something that is refused, leaves what is served as it is.

mod build;
mod cargo;
mod deploy;
mod guide;
mod session;
pub(super) mod toolchain;
mod watch;
mod workspace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;

use super::serve::Addresses;
use crate::app::App;
use crate::config::{Config, Overrides};
use crate::drain::Signals;
use crate::telemetry::logging;
use crate::threads::Threads;
use session::Session;
use watch::Watcher;
use workspace::Workspace;

/// The exit code of a program that an interrupt has ended, as shells have it: 128 and SIGINT.
const INTERRUPTED: u8 = 130;

/// What `dev` takes.
#[derive(Args)]
#[command(
    after_help = "Each package with a `cdylib` library becomes the service of its name; NAME.toml in the package's\n\
    directory is its manifest. A line in it such as\n\n  \
    # try: curl -i http://localhost:8080/NAME\n\n\
    is shown once the service is up, with the address that it has. `wharf new` makes such a package.\n\
    Without GUESTS, it is the directory `guests`, or else the working directory. Without --services and --data,\n\
    both are below target/wharf in the workspace.\n\n\
    Examples:\n  wharf dev\n  wharf dev my-guests --listen 127.0.0.1:0"
)]
pub(super) struct Arguments {
    /// A cargo workspace, or a package of one [default: guests, or .]
    guests: Option<PathBuf>,
    #[command(flatten)]
    addresses: Addresses,
    /// Where built services are put, made if it is missing
    #[arg(long, value_name = "DIR")]
    services: Option<PathBuf>,
    /// The server's own settings; `wharf.toml` is read if it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let threads = Threads::start()?;
    threads.block_on(dev(arguments, &threads))
}

async fn dev(arguments: Arguments, threads: &Threads) -> Result<ExitCode> {
    let here = std::env::current_dir().context("there is no working directory")?;
    let guests = arguments.guests.unwrap_or_else(|| default_guests(&here));
    let workspace = Workspace::load(&guests).await?;
    workspace.require_guests()?;
    let overrides = overrides(arguments.addresses, arguments.services, &workspace.root);
    let config = Config::load(arguments.config.as_deref(), overrides)?;
    logging::init(&config.log)?;
    let (services, data) = (config.services.clone(), config.data.clone());
    // what is wrong with addresses and directories is said before minutes of building
    let app = App::build(config, threads).await?;
    let mut signals = Signals::take()?;
    let mut watcher = Watcher::new()?;
    let mut session = Session::new(guests.clone(), services.clone());
    tokio::select! {
        result = session.start(workspace, &mut watcher) => result?,
        () = signals.next() => return Ok(ExitCode::from(INTERRUPTED)),
    }
    let follow = async {
        tokio::select! {
            () = signals.next() => {}
            () = session.follow(&mut watcher) => {}
        }
        // a build that was going on has ended; the server takes its own time to drain
        std::future::pending::<()>().await;
    };
    let announced =
        move |serving| drop(tokio::spawn(guide::show(serving, (services, data), guests)));
    tokio::select! {
        biased;
        result = app.run(announced) => result?,
        () = follow => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The workspace that is meant if none is named: the one in `guests`, or else the one that somebody
/// stands in.
fn default_guests(here: &Path) -> PathBuf {
    let is_cargo = |directory: &Path| directory.join("Cargo.toml").is_file();
    let guests = Path::new("guests");
    if !is_cargo(&here.join(guests)) && is_cargo(here) {
        here.to_owned()
    } else {
        guests.to_owned()
    }
}

/// Settings that keep `dev` away from the directories of a server that serves in earnest.
fn overrides(addresses: Addresses, services: Option<PathBuf>, root: &Path) -> Overrides {
    let own = root.join("target").join("wharf");
    let services = services.unwrap_or_else(|| own.join("services"));
    let overrides = addresses.overrides(Some(services));
    let data = overrides.data.clone().unwrap_or_else(|| own.join("data"));
    Overrides {
        data: Some(data),
        ..overrides
    }
}

/// Tells the person at the terminal what goes on. Standard output is for what scripts wait for.
fn say(message: impl std::fmt::Display) {
    eprintln!("wharf: {message}");
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn guests_go_before_the_directory_that_they_are_in() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path();
        assert_eq!(
            default_guests(here),
            Path::new("guests"),
            "as if it were there"
        );
        fs::write(here.join("Cargo.toml"), "").unwrap();
        assert_eq!(default_guests(here), here);
        fs::create_dir(here.join("guests")).unwrap();
        assert_eq!(default_guests(here), here);
        fs::write(here.join("guests/Cargo.toml"), "").unwrap();
        assert_eq!(default_guests(here), Path::new("guests"));
    }
}
