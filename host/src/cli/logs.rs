//! `wharf logs`

use std::collections::HashSet;

use anstyle::Style;
use anyhow::Result;
use clap::Args;

use super::api::{Lines, LogLine};
use super::client::{Client, Error, News, follow};
use super::operator::{Common, help};
use super::output::Output;
use super::text::{BAD, QUIET, Stamps, WARN, line, paint};
use crate::config::ServiceName;

/// Lines that are asked for again after a loss, to find those that were missed.
const OVERLAP: usize = 1000;

/// What `logs` takes.
#[derive(Args)]
#[command(after_help = help!("Times are UTC. A host keeps the last lines of each service in memory; all of\n\
    them are in its own log, too.\n\
    \n\
    Examples:\n\
    \x20 wharf logs login\n\
    \x20 wharf logs login -f -n 0          # only what is new\n\
    \x20 wharf logs login -f --json | jq -r 'select(.level == \"error\") | .text'"))]
pub(super) struct Arguments {
    /// The service
    name: ServiceName,
    /// Go on with new lines as they come, over restarts of the host; Ctrl-C ends it
    #[arg(short, long)]
    follow: bool,
    /// How many lines, the last ones
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 100)]
    lines: usize,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, out: &mut Output) -> Result<()> {
    let Arguments { name, lines, .. } = arguments;
    let path = format!("/api/services/{name}/logs");
    if arguments.follow {
        return follow_lines(arguments, &path, client, out).await;
    }
    let answer = client.get(&format!("{path}?lines={lines}")).await?;
    if arguments.common.json {
        return Ok(out.json(&answer.text)?);
    }
    let Lines { lines } = answer.read()?;
    if lines.is_empty() {
        out.note(format_args!("{name} has written nothing yet"));
    }
    let mut stamps = Stamps::new(out.is_terminal(), out.now());
    let text: String = lines.iter().map(|line| shown(line, &mut stamps)).collect();
    Ok(out.text(&text)?)
}

async fn follow_lines(
    arguments: &Arguments,
    path: &str,
    client: &Client,
    out: &mut Output,
) -> Result<()> {
    let lines = arguments.lines;
    let mut stamps = Stamps::new(out.is_terminal(), out.now());
    let mut last = Last::default();
    let first = format!("{path}/stream?lines={lines}");
    let again = format!("{path}/stream?lines={}", lines.max(OVERLAP));
    let mut news = follow(client, first, again);
    loop {
        match news.next().await? {
            News::Message(message) if message.event == "line" => {
                let line: LogLine = serde_json::from_str(&message.data)
                    .map_err(|error| Error::not_wharf(&client.address(), error))?;
                if !last.is_new(line.at, &message.data) {
                    continue;
                }
                if arguments.common.json {
                    out.json_line(&message.data)?;
                } else {
                    out.text(&shown(&line, &mut stamps))?;
                }
            }
            News::Message(_) => {}
            News::Lost(why) => out.note(format_args!("{}; waiting for it", line(&why))),
            News::Back => out.note("the host is back"),
        }
    }
}

/// Which lines were shown: a host that is asked again sends some a second time.
#[derive(Default)]
struct Last {
    at: f64,
    /// Those of that very moment.
    lines: HashSet<String>,
}

impl Last {
    fn is_new(&mut self, at: f64, data: &str) -> bool {
        if at < self.at {
            return false;
        }
        if at > self.at {
            self.at = at;
            self.lines.clear();
        }
        self.lines.insert(data.to_owned())
    }
}

fn shown(log: &LogLine, stamps: &mut Stamps) -> String {
    let style = match (log.level.as_deref(), log.stream.as_str()) {
        (Some("error" | "critical"), _) => BAD,
        (Some("warn" | "warning"), _) | (None, "stderr") => WARN,
        (Some("debug" | "trace"), _) => QUIET,
        _ => Style::new(),
    };
    let instance = paint(QUIET, &format!("{:>3}", line(&log.instance)));
    let level = match &log.level {
        Some(level) => paint(style, &format!("{:<5} ", line(level))),
        None if log.stream == "stderr" => paint(style, "err   "),
        None => "      ".to_owned(),
    };
    format!(
        "{}  {instance}  {level}{}\n",
        stamps.next(log.at),
        line(&log.text)
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::testing::{Captured, Fake, Reply, Seen};

    fn message(at: f64, text: &str) -> String {
        format!(
            "event: line\ndata: {{\"at\":{at:?},\"instance\":\"12\",\"stream\":\"stdout\",\"level\":null,\"text\":\"{text}\"}}\n\n"
        )
    }

    #[tokio::test]
    async fn lines_are_shown_oldest_first_and_harmless() {
        let fake = Fake::start(|_| {
            Reply::json(
                r#"{"lines":[
                {"at":1764180000.5,"instance":"12","stream":"stdout","level":null,"text":"hello\u001b[2J"},
                {"at":1764180001,"instance":"9","stream":"stderr","level":null,"text":"oh\n"},
                {"at":1764180002,"instance":"9","stream":"log","level":"warn","text":"\u001b[33mcare\u001b[0m"}]}"#,
            )
        })
        .await;
        let run = fake.run(&["logs", "login", "-n", "3"]).await;
        assert_eq!(
            run.out,
            "2025-11-26T18:00:00.500Z   12        hello\\x1b[2J\n\
             2025-11-26T18:00:01.000Z    9  err   oh\n\
             2025-11-26T18:00:02.000Z    9  warn  care\n"
        );
        assert_eq!(
            fake.requests()[0].line(),
            "GET /api/services/login/logs?lines=3"
        );
        let person = fake.run_with(&["logs", "login"], Some(80)).await;
        assert!(
            person.out.starts_with("18:00:00.500Z   12"),
            "{}",
            person.out
        );
    }

    #[tokio::test]
    async fn following_goes_on_after_a_loss_without_showing_a_line_twice() {
        let calls = AtomicUsize::new(0);
        let fake = Fake::start(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::stream(&(message(1.0, "one") + &message(2.0, "two"))),
            1 => Reply::problem(503, "the host is starting"),
            _ => Reply::open_stream(
                &[
                    message(1.0, "one"),
                    message(2.0, "two"),
                    message(2.0, "too"),
                    message(3.0, "three"),
                ]
                .concat(),
            ),
        })
        .await;
        let test = async |out: &Captured, err: &Captured| {
            out.shows("three").await;
            let text = out.text();
            let texts: Vec<_> = text
                .lines()
                .filter_map(|line| line.split_whitespace().last())
                .collect();
            assert_eq!(texts, ["one", "two", "too", "three"]);
            assert!(
                err.text()
                    .contains("waiting for it\nwharf: the host is back\n"),
                "{}",
                err.text()
            );
        };
        fake.watch(&["logs", "login", "-f", "-n", "5"], test).await;
        let lines: Vec<_> = fake.requests().iter().map(Seen::line).collect();
        assert_eq!(lines[0], "GET /api/services/login/logs/stream?lines=5");
        assert_eq!(lines[2], "GET /api/services/login/logs/stream?lines=1000");
    }

    #[tokio::test]
    async fn json_is_one_object_a_line() {
        let fake = Fake::start(|_| {
            Reply::open_stream("event: line\ndata: {\"at\":1,\ndata: \"text\":\"a\"}\n\nevent: other\ndata: {}\n\n")
        })
        .await;
        let test = async |out: &Captured, _: &Captured| {
            out.shows("\n").await;
            assert_eq!(out.text(), "{\"at\":1, \"text\":\"a\"}\n");
        };
        fake.watch(&["logs", "login", "-f", "--json"], test).await;
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_can_not_be_followed() {
        let fake = Fake::start(|_| Reply::problem(404, "there is no service of that name")).await;
        let run = fake.run(&["logs", "login", "-f"]).await;
        assert_eq!(
            (run.code, run.err.as_str()),
            (1, "wharf: there is no service of that name\n")
        );
    }
}
