//! The commands that talk to a running host.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::client::{self, Client};
use super::output::{Output, Unprinted};
use super::serve::small_runtime;
use super::{control, dashboard, deploy, events, exits, logs, releases, status, text, top};

/// What an operator asks of a host, or has it do.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Show the services, how they are, and what needs you
    Status(status::Arguments),
    /// Watch the services live
    Top(top::Arguments),
    /// Show what a service writes
    Logs(logs::Arguments),
    /// Show how instances ended, with backtraces
    Exits(exits::Arguments),
    /// Show what happened
    Events(events::Arguments),
    /// Show the releases of a service that can be gone back to
    Releases(releases::Arguments),
    /// Deploy a component and wait for the verdict
    Deploy(deploy::Arguments),
    /// Go back to a release that ran before
    Rollback(releases::RollbackArguments),
    /// Hold the deploys of a service
    Hold(control::HoldArguments),
    /// Take deploys again, and the release that was held
    Resume(control::ResumeArguments),
    /// End an instance at once; another takes its place
    Kill(control::KillArguments),
    /// Replace an instance once its requests are done
    Drain(control::DrainArguments),
    /// Print the address of the dashboard, with the key to it
    Dashboard(dashboard::Arguments),
}

/// What the commands that print have in common.
#[derive(Args)]
pub(super) struct Common {
    /// Print what the admin API answers, as JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) host: client::Options,
}

/// The end of every command's help.
macro_rules! help {
    ($text:literal) => {
        concat!(
            $text,
            "\n\nExit code: 0 done, 1 it failed or was refused, 2 wrong arguments, 3 no host."
        )
    };
}
pub(super) use help;

/// Runs a command to its end.
pub(super) fn run(command: &Command) -> Result<ExitCode> {
    let mut out = Output::standard();
    let runtime = small_runtime()?;
    let code = runtime.block_on(execute(command, &mut out));
    // a thread that waits for a key is not waited for
    runtime.shutdown_background();
    Ok(ExitCode::from(code))
}

/// Runs a command, says why it failed if it does, and returns its exit code.
pub(super) async fn execute(command: &Command, out: &mut Output) -> u8 {
    let (host, json) = command.common();
    let client = Client::new(host);
    let Err(error) = dispatch(command, &client, out).await else {
        return 0;
    };
    if let Some(Unprinted::ReaderGone) = error.downcast_ref() {
        return 0;
    }
    let failure = error.downcast_ref::<client::Error>();
    if let Some(client::Error::Refused { document, .. }) = failure
        && json
    {
        let _ = out.json(document);
    }
    out.note(text::block(&format!("{error:#}"), "  "));
    failure.map_or(1, client::Error::exit_code)
}

async fn dispatch(command: &Command, client: &Client, out: &mut Output) -> Result<()> {
    match command {
        Command::Status(arguments) => status::run(arguments, client, out).await,
        Command::Top(arguments) => top::run(arguments, client, out).await,
        Command::Logs(arguments) => logs::run(arguments, client, out).await,
        Command::Exits(arguments) => exits::run(arguments, client, out).await,
        Command::Events(arguments) => events::run(arguments, client, out).await,
        Command::Releases(arguments) => releases::run(arguments, client, out).await,
        Command::Deploy(arguments) => deploy::run(arguments, client, out).await,
        Command::Rollback(arguments) => releases::rollback(arguments, client, out).await,
        Command::Hold(arguments) => control::hold(arguments, client, out).await,
        Command::Resume(arguments) => control::resume(arguments, client, out).await,
        Command::Kill(arguments) => control::kill(arguments, client, out).await,
        Command::Drain(arguments) => control::drain(arguments, client, out).await,
        Command::Dashboard(arguments) => dashboard::run(arguments, client, out).await,
    }
}

impl Command {
    /// The host that is meant, and whether JSON is wanted.
    fn common(&self) -> (&client::Options, bool) {
        let common = match self {
            Self::Top(arguments) => return (&arguments.host, false),
            Self::Kill(arguments) => return (&arguments.host, false),
            Self::Drain(arguments) => return (&arguments.host, false),
            Self::Dashboard(arguments) => return (&arguments.host, false),
            Self::Status(arguments) => &arguments.common,
            Self::Logs(arguments) => &arguments.common,
            Self::Exits(arguments) => &arguments.common,
            Self::Events(arguments) => &arguments.common,
            Self::Releases(arguments) => &arguments.common,
            Self::Deploy(arguments) => &arguments.common,
            Self::Rollback(arguments) => &arguments.common,
            Self::Hold(arguments) => &arguments.common,
            Self::Resume(arguments) => &arguments.common,
        };
        (&common.host, common.json)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::testing::{Fake, Reply};
    use super::super::text::width_of;

    #[test]
    fn every_help_has_an_example_and_the_exit_codes_and_fits_80_columns() {
        let mut command = super::super::Arguments::command().term_width(80);
        command.build();
        for command in command.get_subcommands_mut() {
            let name = command.get_name().to_owned();
            if ["help", "serve", "check", "dev", "new", "compile"].contains(&&*name) {
                continue;
            }
            let help = command.render_long_help().to_string();
            assert!(help.contains("\nExample"), "{name}: {help}");
            assert!(help.contains("\nExit code: 0 "), "{name}: {help}");
            for line in help.lines() {
                assert!(width_of(line) <= 80, "{name}: {line}");
            }
        }
    }

    #[tokio::test]
    async fn the_exit_code_tells_a_refusal_from_a_host_that_is_not_there() {
        let fake = Fake::start(|_| Reply::problem(404, "there is no service of that name")).await;
        assert_eq!(fake.run(&["status", "login"]).await.code, 1);
        assert_eq!(fake.run(&["status", "Login"]).await.code, 2);
        assert_eq!(
            fake.run(&["status", "--admin", "nowhere at all"])
                .await
                .code,
            2
        );
        let gone = fake.stopped().await;
        let run = gone.run(&["status"]).await;
        assert_eq!((run.code, run.out.as_str()), (3, ""));
        assert!(
            run.err
                .contains("is `wharf serve` running? --admin names another address"),
            "{}",
            run.err
        );
    }

    #[tokio::test]
    async fn a_wrong_token_names_its_file_and_a_missing_one_the_options() {
        let fake = Fake::start(|_| Reply::json("{}")).await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("other");
        let file = file.to_str().unwrap();
        let run = fake.run(&["status", "--token-file", file]).await;
        assert_eq!(run.code, 1);
        assert!(run.err.contains("--token-file has to name"), "{}", run.err);
        std::fs::write(file, "another").unwrap();
        let run = fake.run(&["status", "--token-file", file]).await;
        assert_eq!(run.code, 1);
        assert!(
            run.err.contains("doesn't take the token in") && run.err.contains(file),
            "{}",
            run.err
        );
    }

    #[tokio::test]
    async fn what_is_no_wharf_is_told_from_one() {
        for (status, kind, text) in [
            (200, "text/html", "<html>"),
            (404, "text/html", "<html>"),
            (200, "application/json", "{"),
            (200, "application/json", "[1]"),
            (200, "application/json", r#"{"services":7}"#),
        ] {
            let fake = Fake::start(move |_| Reply::text(status, kind, text)).await;
            let run = fake.run(&["status"]).await;
            assert_eq!((run.code, run.out.as_str()), (3, ""), "{kind} {text}");
            assert!(run.err.contains("is no Wharf"), "{}", run.err);
        }
    }

    #[tokio::test]
    async fn a_port_that_does_not_speak_http_is_no_wharf() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ =
                    tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail here\r\n").await;
                std::mem::forget(stream);
            }
        });
        let fake = Fake::start(|_| Reply::json("{}")).await;
        let run = fake.run(&["status", "--admin", &address]).await;
        assert_eq!(run.code, 3, "{}", run.err);
    }
}
