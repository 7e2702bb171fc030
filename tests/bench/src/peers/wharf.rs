//! Wharf itself.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use wharf_tests::build::given_binary;

use super::{Generation, Setting, guest, own, printed};
use crate::workload::Workload;

/// The instances of the one service under load.
pub(crate) const INSTANCES: usize = 4;

/// What two requests share.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// They may meet in one instance, one after the other.
    Instance,
    /// Nothing.
    Request,
}

impl Isolation {
    /// The key of a manifest; it comes before all tables.
    pub(crate) fn line(self) -> &'static str {
        match self {
            Self::Instance => "",
            Self::Request => "isolation = \"request\"\n",
        }
    }
}

pub(super) fn command(
    setting: Setting<'_>,
    generation: Generation,
    isolation: Isolation,
) -> Result<Command> {
    let Setting {
        workload,
        addr,
        dir,
    } = setting;
    let services = dir.join("services");
    fs::create_dir(&services)?;
    let component = guest(workload, generation)?;
    let name = workload.name();
    let file = services.join(format!("{name}.wasm"));
    fs::copy(component, &file)?;
    let manifest = manifest(workload, isolation)?;
    fs::write(file.with_extension("toml"), manifest)?;
    check(&file)?;
    serve(dir, addr, "127.0.0.1:0".parse()?)
}

/// Finds out at once what the server would not take; it would wait for a better file.
fn check(file: &Path) -> Result<()> {
    let mut command = Command::new(binary()?);
    let output = command.arg("check").arg(file).output()?;
    let report = String::from_utf8_lossy(&output.stdout);
    let problem = report.lines().last().unwrap_or_default();
    ensure!(output.status.success(), "{}", problem.trim());
    Ok(())
}

/// The one that `WHARF_BINARY` names, else what was built with this program.
fn binary() -> Result<PathBuf> {
    given_binary().map_or_else(|| own("wharf"), Ok)
}

/// `wharf serve` on what is in `dir`.
pub(crate) fn serve(dir: &Path, addr: SocketAddr, admin: SocketAddr) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command
        .current_dir(dir)
        .args(["serve", "services", "--data", "data"])
        .args(["--listen", &addr.to_string()])
        .args(["--admin", &admin.to_string()]);
    Ok(command)
}

pub(super) fn version() -> Result<String> {
    let version = printed(Command::new(binary()?).arg("--version"))?;
    // The commit that the report names is then not its own.
    let given = given_binary().map_or("", |_| " (the one that WHARF_BINARY names)");
    Ok(version + given)
}

/// As few keys as the load needs: places in the queue for a thousand connections, and room for
/// large bodies.
fn manifest(workload: Workload, isolation: Isolation) -> Result<String> {
    let mut toml = isolation.line().to_owned();
    if workload == Workload::Stream {
        writeln!(toml, "routes = [\"/down\", \"/up\"]")?;
    }
    write!(
        toml,
        "[instances]\ncount = {INSTANCES}\n[limits]\nqueue = 2000\nrequest_body = \"unlimited\"\n"
    )?;
    Ok(toml)
}
