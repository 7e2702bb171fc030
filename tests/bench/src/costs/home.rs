//! A Wharf with directories of its own, that can be stopped and started again.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::client;
use crate::peers::wharf::serve;
use crate::process::{Process, free_addr};

pub(crate) struct Home {
    dir: TempDir,
    pub(crate) addr: SocketAddr,
    admin: SocketAddr,
}

impl Home {
    /// One without services.
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("wharf-bench-").tempdir()?;
        fs::create_dir(dir.path().join("services"))?;
        Ok(Self {
            dir,
            addr: free_addr()?,
            admin: free_addr()?,
        })
    }

    /// Lays a component and its manifest into the services directory.
    pub(crate) fn service(&self, name: &str, component: &[u8], manifest: &str) -> Result<()> {
        let services = self.dir.path().join("services");
        fs::write(services.join(format!("{name}.wasm")), component)?;
        fs::write(services.join(format!("{name}.toml")), manifest)?;
        Ok(())
    }

    /// Renames a new component into place, as a careful operator does, and tells when.
    pub(crate) fn swap(&self, name: &str, component: &[u8]) -> Result<Instant> {
        let staged = self.dir.path().join("staged.wasm");
        fs::write(&staged, component)?;
        let now = Instant::now();
        fs::rename(
            staged,
            self.dir.path().join(format!("services/{name}.wasm")),
        )?;
        Ok(now)
    }

    /// Writes the server's own settings.
    pub(crate) fn settings(&self, toml: &str) -> Result<()> {
        Ok(fs::write(self.dir.path().join("wharf.toml"), toml)?)
    }

    /// The command that serves what is here.
    pub(crate) fn command(&self) -> Result<Command> {
        serve(self.dir.path(), self.addr, self.admin)
    }

    /// Starts serving, by [`Self::command`] or a variation of it.
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Process> {
        Process::spawn(command, self.dir.path())
    }

    /// Starts serving, and waits until all services are ready.
    pub(crate) fn start(&self, patience: Duration) -> Result<Process> {
        let mut process = self.spawn(&mut self.command()?)?;
        process.wait_for(patience, |_| client::get(self.admin, "/readyz"))?;
        Ok(process)
    }

    /// Waits until a service has so many instances.
    pub(crate) fn wait_instances(
        &self,
        process: &mut Process,
        service: &str,
        count: usize,
        patience: Duration,
    ) -> Result<()> {
        process.wait_for(patience, |_| {
            let token = fs::read_to_string(self.dir.path().join("data/admin.token"))?;
            let target = format!("/api/services/{service}");
            let status = client::ask(self.admin, &target, token.trim())?;
            let status: serde_json::Value = serde_json::from_slice(&status.body)?;
            let instances = status["instances"].as_array();
            let ready = instances.into_iter().flatten();
            let ready = ready
                .filter(|instance| instance["state"] == "ready")
                .count();
            ensure!(ready == count, "{ready} instances of {count} are ready");
            Ok(())
        })
    }

    /// Where everything is.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}
