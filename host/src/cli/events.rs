//! `wharf events`

use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;

use super::api::{Event, Events};
use super::client::{Client, Error, News, follow};
use super::operator::{Common, help};
use super::output::Output;
use super::text::{BOLD, Stamps, line, paint, state_style};
use crate::config::ServiceName;

/// What `events` takes.
#[derive(Args)]
#[command(after_help = help!("The newest is the last. Times are UTC.\n\
    \n\
    Examples:\n\
    \x20 wharf events\n\
    \x20 wharf events login -f\n\
    \x20 wharf events -f -n 0 --json | jq -r 'select(.level == \"error\") | .message'"))]
pub(super) struct Arguments {
    /// Only those of a service
    name: Option<ServiceName>,
    /// Go on with new events as they happen, over restarts of the host; Ctrl-C ends it
    #[arg(short, long)]
    follow: bool,
    /// How many, the last ones; 1000 at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, out: &mut Output) -> Result<()> {
    let mut query = format!("?limit={}", arguments.limit);
    if let Some(name) = &arguments.name {
        let _ = write!(query, "&service={name}");
    }
    if arguments.follow {
        return follow_events(arguments, format!("/api/events/stream{query}"), client, out).await;
    }
    let answer = client.get(&format!("/api/events{query}")).await?;
    if arguments.common.json {
        return Ok(out.json(&answer.text)?);
    }
    let Events { events } = answer.read()?;
    if events.is_empty() {
        out.note("nothing has happened yet");
    }
    let mut stamps = Stamps::new(out.is_terminal(), out.now());
    let text: String = events
        .iter()
        .map(|event| shown(event, &mut stamps))
        .collect();
    Ok(out.text(&text)?)
}

async fn follow_events(
    arguments: &Arguments,
    path: String,
    client: &Client,
    out: &mut Output,
) -> Result<()> {
    let mut stamps = Stamps::new(out.is_terminal(), out.now());
    let mut news = follow(client, path.clone(), path);
    loop {
        match news.next().await? {
            News::Message(message) if message.event == "event" => {
                if arguments.common.json {
                    out.json_line(&message.data)?;
                    continue;
                }
                let event = serde_json::from_str(&message.data)
                    .map_err(|error| Error::not_wharf(&client.address(), error))?;
                out.text(&shown(&event, &mut stamps))?;
            }
            News::Message(_) => {}
            News::Lost(why) => out.note(format_args!("{}; waiting for it", line(&why))),
            News::Back => out.note("the host is back"),
        }
    }
}

fn shown(event: &Event, stamps: &mut Stamps) -> String {
    format!("{}  {}\n", stamps.next(event.at), sentence(event))
}

/// Service and message, without the time.
pub(super) fn sentence(event: &Event) -> String {
    let message = paint(state_style(&event.level), &line(&event.message));
    match &event.service {
        Some(service) => format!("{}  {message}", paint(BOLD, &line(service))),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Captured, Fake, Reply};

    fn event(id: &str, message: &str) -> String {
        format!(
            "event: event\nid: {id}\ndata: {{\"id\":\"{id}\",\"at\":1764180000,\"level\":\"info\",\"service\":\"login\",\"message\":\"{message}\"}}\n\n"
        )
    }

    #[tokio::test]
    async fn events_are_sentences() {
        let fake = Fake::start(|_| {
            Reply::json(r#"{"events":[
            {"at":1764180000,"kind":"host_started","service":null,"level":"info","message":"the host started"},
            {"at":1764180001,"kind":"deploy","service":"login","level":"error","message":"release 8 was refused"}]}"#)
        })
        .await;
        let run = fake.run(&["events", "login", "-n", "7"]).await;
        assert_eq!(
            run.out,
            "2025-11-26T18:00:00.000Z  the host started\n2025-11-26T18:00:01.000Z  login  release 8 was refused\n"
        );
        assert_eq!(fake.requests()[0].path, "/api/events?limit=7&service=login");
    }

    #[tokio::test]
    async fn following_survives_a_restart_and_says_where_it_was() {
        let mut fake = Fake::start(|request| match request.headers.get("last-event-id") {
            None => Reply::open_stream(&(event("a-1", "one") + &event("a-2", "two"))),
            Some(id) => {
                Reply::open_stream(&event("a-3", &format!("after {}", id.to_str().unwrap())))
            }
        })
        .await;
        let address = fake.address.to_string();
        let token = fake.token_file();
        let arguments = [
            "events",
            "-f",
            "--admin",
            &address,
            "--token-file",
            token.to_str().unwrap(),
        ];
        let client = Fake::start(|_| Reply::empty()).await;
        let test = async |out: &Captured, err: &Captured| {
            out.shows("two").await;
            fake.stop().await;
            err.shows("waiting for it").await;
            fake.restart().await;
            out.shows("after a-2").await;
            err.shows("the host is back").await;
        };
        client.watch(&arguments, test).await;
    }

    #[tokio::test]
    async fn a_host_that_is_not_there_can_not_be_followed() {
        let fake = Fake::start(|_| Reply::empty()).await.stopped().await;
        let run = fake.run(&["events", "-f"]).await;
        assert_eq!(run.code, 3, "{}", run.err);
    }
}
