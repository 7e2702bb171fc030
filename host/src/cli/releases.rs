//! `wharf releases` and `wharf rollback`

use anyhow::Result;
use clap::Args;
use http::Method;
use serde_json::json;

use super::api::{Outcome, Release, Releases};
use super::client::{Client, Upload};
use super::operator::{Common, help};
use super::output::Output;
use super::text::{Cell, Column, QUIET, Table, age, line, short, size, state_style};
use crate::config::ServiceName;

/// What `releases` takes.
#[derive(Args)]
#[command(after_help = help!("The newest is the first. `wharf rollback` takes a revision or the beginning of\n\
    a digest.\n\
    \n\
    Example:\n\
    \x20 wharf releases login"))]
pub(super) struct Arguments {
    /// The service
    name: ServiceName,
    #[command(flatten)]
    pub(super) common: Common,
}

/// What `rollback` takes.
#[derive(Args)]
#[command(after_help = help!("The release goes live at once, with its own manifest, and runs until another\n\
    file is put into the services directory, or `wharf resume NAME`.\n\
    `wharf releases NAME` lists those that are kept.\n\
    \n\
    Examples:\n\
    \x20 wharf rollback login          # to the one before\n\
    \x20 wharf rollback login 7\n\
    \x20 wharf rollback login ab12cd"))]
pub(super) struct RollbackArguments {
    /// The service
    name: ServiceName,
    /// A revision, or at least 6 digits of a digest [default: the release before the one that runs]
    #[arg(value_parser = release)]
    release: Option<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// What can name a release.
fn release(text: &str) -> Result<String, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let digest = text.len() >= 6 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !text.is_empty() && (digits || digest) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("expected a revision such as 7, or at least 6 digits of a digest".to_owned())
    }
}

pub(super) async fn run(arguments: &Arguments, client: &Client, out: &mut Output) -> Result<()> {
    let name = &arguments.name;
    let answer = client
        .get(&format!("/api/services/{name}/releases"))
        .await?;
    if arguments.common.json {
        return Ok(out.json(&answer.text)?);
    }
    let Releases { releases } = answer.read()?;
    if releases.is_empty() {
        return Ok(out.text(&format!("{name}: no release is kept\n"))?);
    }
    let table = table(&releases, out.now());
    Ok(out.text(&table.text(out.width()))?)
}

fn table(releases: &[Release], now: f64) -> Table {
    let columns = [
        Column::right("REVISION"),
        Column::left("DIGEST"),
        Column::left("STATE"),
        Column::right("SIZE"),
        Column::right("ACCEPTED"),
    ];
    let mut table = Table::new(&columns, 1);
    for release in releases {
        let revision = release
            .revision
            .map_or("–".to_owned(), |revision| revision.to_string());
        let state = line(&release.state).replace('_', " ");
        table.row([
            revision.into(),
            short(&release.digest).into(),
            Cell::styled(state, state_style(&release.state)),
            size(release.size_bytes).into(),
            format!("{} ago", age(now - release.accepted_at)).into(),
        ]);
        if let Some(note) = release.note.as_deref().filter(|note| !note.is_empty()) {
            table.note(QUIET, format!("        {}", line(note)));
        }
    }
    table
}

pub(super) async fn rollback(
    arguments: &RollbackArguments,
    client: &Client,
    out: &mut Output,
) -> Result<()> {
    let name = &arguments.name;
    let body = match &arguments.release {
        Some(release) => json!({ "release": release }),
        None => json!({}),
    };
    let upload = Upload {
        kind: "application/json".to_owned(),
        bytes: body.to_string().into(),
    };
    let path = format!("/api/services/{name}/rollback");
    let answer = client.send(Method::POST, &path, Some(upload)).await?;
    if arguments.common.json {
        return Ok(out.json(&answer.text)?);
    }
    Ok(out.text(&outcome(name, &answer.read()?))?)
}

/// What became of a deploy or a rollback, as a line.
pub(super) fn outcome(name: &ServiceName, outcome: &Outcome) -> String {
    let (revision, digest) = (outcome.revision, short(&outcome.digest));
    let state = match outcome.state.as_str() {
        "live" => "is live".to_owned(),
        "canary" => {
            format!("is on trial beside the one that runs; `wharf status {name}` shows how it does")
        }
        other => format!("is {}", line(other)),
    };
    format!("{name}: release {revision} ({digest}) {state}\n")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fake, NOW, Reply};
    use super::super::text::width_of;
    use super::*;

    #[tokio::test]
    async fn releases_are_a_table() {
        let fake = Fake::start(|_| {
            Reply::json(r#"{"releases":[
            {"revision":8,"digest":"ffee00112233","size_bytes":1310720,"accepted_at":1764179829,"state":"taken_back","note":"it crashed"},
            {"revision":7,"digest":"ab12cd34ef56","size_bytes":99,"accepted_at":1764093600,"state":"live","note":null}]}"#)
        })
        .await;
        let expected = "\
REVISION  DIGEST    STATE          SIZE   ACCEPTED
       8  ffee0011  taken back  1.2 MiB  3m00s ago
          it crashed
       7  ab12cd34  live           99 B    24h ago
";
        assert_eq!(fake.run(&["releases", "login"]).await.out, expected);
    }

    #[tokio::test]
    async fn a_rollback_names_its_release_or_none() {
        let fake = Fake::start(|_| {
            Reply::json(
                r#"{"service":"login","state":"live","revision":7,"digest":"ab12cd34ef56"}"#,
            )
        })
        .await;
        for (release, body) in [
            (None, "{}"),
            (Some("7"), r#"{"release":"7"}"#),
            (Some("AB12CD"), r#"{"release":"ab12cd"}"#),
        ] {
            let arguments: Vec<_> = ["rollback", "login"].into_iter().chain(release).collect();
            let run = fake.run(&arguments).await;
            assert_eq!(
                (run.code, run.out.as_str()),
                (0, "login: release 7 (ab12cd34) is live\n"),
                "{}",
                run.err
            );
            assert_eq!(fake.requests().last().unwrap().body, body);
        }
        for wrong in ["ab12", "x", ""] {
            assert_eq!(
                fake.run(&["rollback", "login", wrong]).await.code,
                2,
                "{wrong}"
            );
        }
    }

    #[tokio::test]
    async fn a_release_that_nobody_keeps_is_refused_by_the_host() {
        let fake = Fake::start(|_| Reply::problem(404, "release 3 is not kept")).await;
        let run = fake.run(&["rollback", "login", "3", "--json"]).await;
        assert_eq!(run.code, 1);
        assert!(run.out.contains("release 3 is not kept"), "{}", run.out);
        assert_eq!(run.err, "wharf: release 3 is not kept\n");
    }

    #[test]
    fn a_table_of_releases_fits_80_columns() {
        let release = Release {
            revision: Some(u64::MAX),
            digest: "f".repeat(64),
            size_bytes: u64::MAX / 2,
            state: "taken_back".to_owned(),
            note: Some("very long ".repeat(30)),
            ..Release::default()
        };
        for line in table(&[release], NOW).lines(Some(80)) {
            assert!(width_of(&line) <= 80, "{line}");
        }
    }
}
