//! workerd, Cloudflare's host of JavaScript isolates, as npm installs it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Setting, installed, printed};

pub(super) fn command(setting: Setting<'_>) -> Result<Command> {
    let Setting { addr, dir, .. } = setting;
    let config = format!(
        r#"using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "main", worker = .main)],
  sockets = [(name = "http", address = "{addr}", http = (), service = "main")],
);

const main :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "worker.js")],
  compatibilityDate = "2025-01-01",
);
"#
    );
    fs::write(dir.join("config.capnp"), config)?;
    fs::write(
        dir.join("worker.js"),
        include_str!("../../peers/workerd/worker.js"),
    )?;
    let mut command = Command::new(binary()?);
    command.arg("serve").arg(dir.join("config.capnp"));
    Ok(command)
}

pub(super) fn version() -> Result<String> {
    printed(Command::new(binary()?).arg("--version"))
}

/// The program itself, not the script around it, whose Node would be counted too.
fn binary() -> Result<PathBuf> {
    let packages = installed().join("node_modules/@cloudflare");
    let entries = fs::read_dir(packages).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path().join("bin/workerd")))
        .find(|binary| binary.exists())
        .context("no workerd is installed in target/bench-peers")
}
