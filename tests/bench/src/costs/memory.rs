//! What one more instance costs, which nobody has called yet.

use std::fs;

use anyhow::Result;

use super::PATIENCE;
use super::home::Home;
use crate::options::Options;
use crate::peers::{Generation, guest};
use crate::proc;
use crate::table::{Table, float, mib, number};
use crate::workload::Workload;

const FEW: usize = 2;
const MANY: usize = 102;

pub(super) fn run(_: &Options) -> Result<String> {
    let mut table = Table::new([
        "service".to_owned(),
        format!("{FEW} instances MiB"),
        format!("{MANY} instances MiB"),
        "one more KiB".to_owned(),
    ]);
    for (title, generation) in [
        ("hello, 0.2", Generation::P2),
        ("hello, 0.3", Generation::P3),
    ] {
        let component = fs::read(guest(Workload::Hello, generation)?)?;
        let few = resident(&component, FEW)?;
        let many = resident(&component, MANY)?;
        let more = float(many.saturating_sub(few)) / float(u64::try_from(MANY - FEW)?) / 1024.0;
        table.row([
            title.to_owned(),
            number(Some(mib(few)), 1),
            number(Some(mib(many)), 1),
            number(Some(more), 0),
        ]);
    }
    Ok(format!(
        "## Memory of an idle instance\n\nResident, of the whole process.\n\n{table}"
    ))
}

fn resident(component: &[u8], instances: usize) -> Result<u64> {
    let home = Home::new()?;
    let manifest = format!("[instances]\ncount = {instances}\n");
    home.service("hello", component, &manifest)?;
    // Started once before, so that no compiler has left its memory behind.
    home.start(PATIENCE)?.stop()?;
    let mut process = home.start(PATIENCE)?;
    home.wait_instances(&mut process, "hello", instances, PATIENCE)?;
    proc::resident(&process.pids()?)
}
