//! `wharf exits`

use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;

use super::api::{Exit, Exits};
use super::client::Client;
use super::operator::{Common, help};
use super::output::Output;
use super::text::{BOLD, QUIET, Stamps, age, block, count, line, paint, short, state_style, wrap};
use crate::config::ServiceName;

/// What `exits` takes.
#[derive(Args)]
#[command(after_help = help!("The newest is the last. Times are UTC. The reasons:\n\
    \x20 retired      drained or replaced\n\
    \x20 ejected      it failed too often\n\
    \x20 trap         it crashed\n\
    \x20 deadline     it took too long\n\
    \x20 memory       it wanted too much\n\
    \x20 start        it did not come up\n\
    \x20 killed       by you\n\
    \x20 abandoned    its client went away\n\
    \x20 call         a call that it made failed\n\
    \x20 unavailable  a service that it calls was not there\n\
    \x20 host         the host's own fault\n\
    \n\
    Examples:\n\
    \x20 wharf exits\n\
    \x20 wharf exits login -n 1"))]
pub(super) struct Arguments {
    /// Only those of a service
    name: Option<ServiceName>,
    /// How many, the last ones
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, out: &mut Output) -> Result<()> {
    let mut path = format!("/api/exits?limit={}", arguments.limit);
    if let Some(name) = &arguments.name {
        let _ = write!(path, "&service={name}");
    }
    let answer = client.get(&path).await?;
    if arguments.common.json {
        return Ok(out.json(&answer.text)?);
    }
    let Exits { exits } = answer.read()?;
    if exits.is_empty() {
        return Ok(out.text("no instance has ended\n")?);
    }
    let mut stamps = Stamps::new(out.is_terminal(), out.now());
    let width = out.width();
    let texts: Vec<_> = exits
        .iter()
        .rev()
        .map(|exit| shown(exit, &mut stamps, width))
        .collect();
    Ok(out.text(&texts.concat())?)
}

fn shown(exit: &Exit, stamps: &mut Stamps, width: Option<usize>) -> String {
    let mut text = stamps.next(exit.at);
    let reason = paint(state_style(&exit.reason), &line(&exit.reason));
    let name = paint(BOLD, &line(&exit.service));
    let life = format!(
        "instance {} of {}, {} old, {} served",
        line(&exit.instance),
        short(&exit.release),
        age(exit.age_seconds),
        count(exit.served)
    );
    let _ = writeln!(text, "  {name}  {reason}  {}", paint(QUIET, &life));
    // a message may have lines of its own, as that of a panic has
    let message = block(exit.message.as_deref().unwrap_or_default(), "");
    for part in message.lines().filter(|part| !part.is_empty()) {
        for line in wrap(part, "    ", "    ", width) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    for request in &exit.requests {
        let _ = writeln!(text, "    during {}", line(request));
    }
    let digits = exit.backtrace.len().saturating_sub(1).to_string().len();
    for (index, frame) in exit.backtrace.iter().enumerate() {
        let frame = format!("    {index:>digits$}: {}", line(frame));
        let _ = writeln!(text, "{}", paint(QUIET, &frame));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fake, Reply};

    const EXITS: &str = r#"{"exits":[
      {"service":"login","release":"ab12cd34ef56","instance":"12","reason":"trap","message":"wasm trap: unreachable\nat x",
       "backtrace":["login::handle","<x>::y\u001b[2J"],"requests":["POST /login"],"age_seconds":4.2,"served":17,"at":1764180001.5},
      {"service":"login","release":"ab12cd34ef56","instance":"3","reason":"retired","message":null,"backtrace":[],
       "requests":[],"age_seconds":700,"served":123456,"at":1764180000}]}"#;

    #[tokio::test]
    async fn the_newest_exit_is_the_last_with_its_backtrace() {
        let fake = Fake::start(|_| Reply::json(EXITS)).await;
        let run = fake.run(&["exits", "login", "-n", "2"]).await;
        let expected = "\
2025-11-26T18:00:00.000Z  login  retired  instance 3 of ab12cd34, 11m old, 123k served
2025-11-26T18:00:01.500Z  login  trap  instance 12 of ab12cd34, 4s old, 17 served
    wasm trap: unreachable
    at x
    during POST /login
    0: login::handle
    1: <x>::y\\x1b[2J
";
        assert_eq!(run.out, expected);
        assert_eq!(fake.requests()[0].path, "/api/exits?limit=2&service=login");
        let json = fake.run(&["exits", "--json"]).await;
        assert_eq!(json.out.trim(), EXITS);
    }

    #[tokio::test]
    async fn nothing_that_ended_is_said_as_such() {
        let fake = Fake::start(|_| Reply::json(r#"{"exits":[]}"#)).await;
        assert_eq!(fake.run(&["exits"]).await.out, "no instance has ended\n");
    }
}
