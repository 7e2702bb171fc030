//! `wharf dashboard`

use std::process::Stdio;

use anyhow::{Context as _, Result};
use clap::Args;
use tokio::process::Command;

use super::client::{self, Client};
use super::operator::help;
use super::output::Output;

/// The program that opens an address in the browser.
const OPENER: &str = if cfg!(target_os = "macos") {
    "open"
} else {
    "xdg-open"
};

/// What `dashboard` takes.
#[derive(Args)]
#[command(after_help = help!("The address lets whoever has it do all that you can do. What stands behind the\n\
    # is not sent over the network, and the page takes it out of the address line.\n\
    \n\
    Examples:\n\
    \x20 wharf dashboard --open\n\
    \x20 ssh -L 9090:127.0.0.1:9090 MACHINE     # a host elsewhere; then, here:\n\
    \x20 WHARF_TOKEN=$(ssh MACHINE cat /srv/data/admin.token) wharf dashboard"))]
pub(super) struct Arguments {
    /// Open it in the browser, too
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    pub(super) host: client::Options,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, out: &mut Output) -> Result<()> {
    // an address that opens nothing but an error would be of no use
    client.get("/api/host").await?;
    let address = format!("http://{}/#token={}", client.address(), client.token()?);
    out.text(&format!("{address}\n"))?;
    if arguments.open {
        open(OPENER, &address).await?;
    }
    Ok(())
}

async fn open(opener: &str, address: &str) -> Result<()> {
    let status = Command::new(opener)
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .with_context(|| format!("`{opener}` can't be started; open the address yourself"))?;
    anyhow::ensure!(
        status.success(),
        "`{opener}` found no browser; open the address yourself"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fake, Reply};
    use super::*;

    #[tokio::test]
    async fn the_address_has_the_token_in_its_fragment() {
        let fake = Fake::start(|_| Reply::json("{}")).await;
        let run = fake.run(&["dashboard"]).await;
        let expected = format!("http://{}/#token={}\n", fake.address, Fake::TOKEN);
        assert_eq!((run.code, run.out.as_str()), (0, expected.as_str()));
    }

    #[tokio::test]
    async fn a_host_that_is_not_there_has_no_dashboard() {
        let fake = Fake::start(|_| Reply::json("{}")).await.stopped().await;
        let run = fake.run(&["dashboard"]).await;
        assert_eq!((run.code, run.out.as_str()), (3, ""));
        assert!(run.err.contains("is `wharf serve` running?"), "{}", run.err);
    }

    #[tokio::test]
    async fn a_machine_without_a_browser_is_told() {
        let missing = open("no-such-opener", "http://a").await.unwrap_err();
        assert!(missing.to_string().contains("open the address yourself"));
        open("false", "http://a").await.unwrap_err();
        open("true", "http://a").await.unwrap();
    }
}
