//! `wharf serve`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use tokio::runtime::{Builder, Runtime};

use crate::app::App;
use crate::config::{Config, Overrides};
use crate::telemetry::logging;
use crate::threads::Threads;

/// What `serve` takes.
#[derive(Args)]
#[command(
    after_help = "Drop NAME.wasm into DIR and it is live at /NAME; NAME.toml beside it is its manifest.\n\n\
    Examples:\n  wharf serve\n  wharf serve /srv/services --listen 0.0.0.0:80 --data /var/lib/wharf"
)]
pub(super) struct Arguments {
    /// The services directory, made if it is missing [default: services]
    dir: Option<PathBuf>,
    #[command(flatten)]
    addresses: Addresses,
    /// The server's own settings; `wharf.toml` is read if it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What `serve` and `dev` have in common.
#[derive(Args)]
pub(super) struct Addresses {
    /// Where clients connect; port 0 takes any free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<SocketAddr>,
    /// Where the operator connects [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR")]
    pub(super) admin: Option<SocketAddr>,
    /// Where state is kept, made if it is missing [default: data]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
}

impl Addresses {
    /// As settings that go before those of a file.
    pub(super) fn overrides(self, services: Option<PathBuf>) -> Overrides {
        Overrides {
            services,
            listen: self.listen,
            admin: self.admin,
            data: self.data,
        }
    }
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode> {
    let config = Config::load(
        arguments.config.as_deref(),
        arguments.addresses.overrides(arguments.dir),
    )?;
    logging::init(&config.log)?;
    let threads = Threads::start()?;
    threads.block_on(async { App::build(config, &threads).await?.run(|_| ()).await })?;
    Ok(ExitCode::SUCCESS)
}

/// The runtime of a command that asks something and ends.
///
/// # Errors
///
/// A system that gives none.
pub(super) fn small_runtime() -> Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.context("the async runtime could not be made")
}
