//! From a new file to its first answer.

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::PATIENCE;
use super::home::Home;
use crate::client;
use crate::options::Options;
use crate::peers::{Generation, guest};
use crate::process::Process;
use crate::table::{Table, median, millis, number};
use crate::workload::Workload;

/// What hello answers, and what is put in its place in new versions, of the same length.
const ANSWER: &str = "Hello, World!";

pub(super) fn run(options: &Options) -> Result<String> {
    let mut table = Table::new(["service", "new bytes ms", "bytes that have run before ms"]);
    for (title, generation) in [
        ("hello, 0.2", Generation::P2),
        ("hello, 0.3", Generation::P3),
    ] {
        let first = fs::read(guest(Workload::Hello, generation)?)?;
        let home = Home::new()?;
        home.service("hello", &first, "")?;
        let mut process = home.start(PATIENCE)?;
        let (mut new, mut known) = (Vec::new(), Vec::new());
        for round in 1..=options.rounds.get() {
            let answer = format!("Hello, W{round:04}!");
            let other = version(&first, &answer)?;
            new.push(swap(&home, &mut process, &other, &answer)?);
            known.push(swap(&home, &mut process, &first, ANSWER)?);
        }
        table.row([
            title.to_owned(),
            number(median(new), 0),
            number(median(known), 0),
        ]);
    }
    Ok(format!(
        "## Swap\n\n\
         From the renaming of a file into the services directory to the first answer of its \
         version. `deploy.quiet`, 100 ms by default, for which a file must not have changed, is part \
         of it; compiling is part of the first column.\n\n{table}"
    ))
}

/// Milliseconds until the new version answers.
fn swap(home: &Home, process: &mut Process, component: &[u8], answer: &str) -> Result<f64> {
    let renamed: Instant = home.swap("hello", component)?;
    process.wait_for(PATIENCE, |_| {
        let body = client::get(home.addr, "/hello")?.body;
        ensure!(body == *answer, "it still answers {body:?}");
        Ok(())
    })?;
    Ok(millis(renamed.elapsed()))
}

/// A component that answers something else, by changing the string in its data.
fn version(component: &[u8], answer: &str) -> Result<Vec<u8>> {
    let from = ANSWER.as_bytes();
    ensure!(from.len() == answer.len(), "{answer} has another length");
    let mut places = component.windows(from.len());
    let place = places.position(|window| window == from);
    let place = place.context("hello doesn't contain its answer")?;
    let mut other = component.to_vec();
    other[place..place + from.len()].copy_from_slice(answer.as_bytes());
    Ok(other)
}
