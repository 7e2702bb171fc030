//! `wharf deploy`

mod multipart;
mod progress;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use http::{Method, StatusCode};
use tokio::time::{MissedTickBehavior, interval};

use self::multipart::Form;
use self::progress::Progress;
use super::check::possible_name;
use super::client::{Answer, Client, Error, Stream, Upload};
use super::operator::{Common, help};
use super::output::Output;
use super::releases::outcome;
use crate::config::ServiceName;

/// Between two looks at the clock while a deploy is under way.
const TICK: Duration = Duration::from_millis(100);

/// What `deploy` takes.
#[derive(Args)]
#[command(after_help = help!("The component is sent to the host, which puts it into its services directory;\n\
    the command waits for the verdict. NAME.toml beside FILE goes with it if it is\n\
    there; without it the manifest stays as it is. `wharf check FILE` says\n\
    beforehand whether a host would take it.\n\
    \n\
    Examples:\n\
    \x20 wharf deploy login.wasm\n\
    \x20 wharf deploy target/wasm32-wasip2/release/my_login.wasm --name login"))]
pub(super) struct Arguments {
    /// The component
    file: PathBuf,
    /// The service [default: the name of the file, without .wasm]
    #[arg(long)]
    name: Option<ServiceName>,
    /// The manifest [default: NAME.toml beside FILE, if it is there]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, out: &mut Output) -> Result<()> {
    let file = &arguments.file;
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => service_name(file)?,
    };
    let component = fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
    let manifest = manifest(arguments, &name)?;
    let form = Form::new(&name, &component, manifest.as_deref());
    // before the upload, so that no stage is missed, and a host that isn't there is noticed early
    let events = match client
        .stream(&format!("/api/events/stream?service={name}"), None)
        .await
    {
        Ok(stream) => Some(stream),
        Err(Error::Refused { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let mut progress = Progress::new(&name, out);
    let sent = send(client, &name, form.into(), events, &mut progress, out).await;
    let answer = match sent {
        Ok(answer) => answer,
        Err(error) => return Err(refusal(error, &name, out)),
    };
    progress.done(out);
    if arguments.common.json {
        return Ok(out.json(&answer.text)?);
    }
    Ok(out.text(&outcome(&name, &answer.read()?))?)
}

/// Uploads and shows how far the host is until it has the verdict.
async fn send(
    client: &Client,
    name: &ServiceName,
    upload: Upload,
    mut events: Option<Stream>,
    progress: &mut Progress,
    out: &mut Output,
) -> Result<Answer, Error> {
    let path = format!("/api/services/{name}");
    let mut answer = Box::pin(client.send(Method::PUT, &path, Some(upload)));
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        // in this order: the stages that came before the verdict are shown before it
        tokio::select! {
            biased;
            message = next(&mut events) => match message {
                Ok(message) => progress.event(&message, out),
                // the verdict comes by itself
                Err(_) => events = None,
            },
            answer = &mut answer => return answer,
            _ = ticks.tick() => progress.tick(out),
        }
    }
}

async fn next(events: &mut Option<Stream>) -> Result<super::client::Message, Error> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

/// Says what can be done about a refusal.
fn refusal(error: Error, name: &ServiceName, out: &mut Output) -> anyhow::Error {
    let held = matches!(&error, Error::Refused { status, .. } if *status == StatusCode::CONFLICT);
    let error = anyhow::Error::from(error).context(format!("{name}: not deployed"));
    if held {
        out.note(format_args!(
            "{name}: it is held; `wharf status {name}` says why, `wharf resume {name}` takes it"
        ));
    }
    error
}

/// The service that a file is called after.
fn service_name(file: &Path) -> Result<ServiceName> {
    ServiceName::of_file(file).with_context(|| {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let name = possible_name(&stem);
        let example = name.as_ref().map_or("NAME", ServiceName::as_str);
        format!("the file's name is none for a service; `--name {example}` would do")
    })
}

fn manifest(arguments: &Arguments, name: &ServiceName) -> Result<Option<String>> {
    let named = arguments.manifest.as_ref();
    let file = named
        .cloned()
        .unwrap_or_else(|| arguments.file.with_file_name(format!("{name}.toml")));
    match fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} can't be read", file.display())),
    }
}

#[cfg(test)]
mod tests;
