//! `wharf status`: all services in a table, or one in detail.

mod detail;
mod needs;

use anyhow::Result;
use clap::Args;

use super::api::{Host, Service, Services};
use super::client::Client;
use super::operator::{Common, help};
use super::output::Output;
use super::text::{
    BAD, Cell, Column, QUIET, Table, count, latency, line, rate, short, state_style,
};
use crate::config::ServiceName;
pub(super) use needs::{Need, needs};

/// What `status` takes.
#[derive(Args)]
#[command(after_help = help!("INST is instances that take requests, of all there are. REQ/S, P50 and P99\n\
    are those of the last second, ERRORS are all since the host started. Below a\n\
    service stands what needs you.\n\
    \n\
    Examples:\n\
    \x20 wharf status\n\
    \x20 wharf status login\n\
    \x20 wharf status --json | jq -r '.services[] | select(.state != \"ready\") | .name'"))]
pub(super) struct Arguments {
    /// A service, to be shown in detail
    name: Option<ServiceName>,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, out: &mut Output) -> Result<()> {
    let path = match &arguments.name {
        Some(name) => format!("/api/services/{name}"),
        None => "/api/services".to_owned(),
    };
    let answer = client.get(&path).await?;
    if arguments.common.json {
        return Ok(out.json(&answer.text)?);
    }
    let (width, now) = (out.width(), out.now());
    if arguments.name.is_some() {
        let service: Service = answer.read()?;
        return Ok(out.text(&detail::text(&service, width, now))?);
    }
    let Services { services } = answer.read()?;
    if services.is_empty() {
        let host: Host = client.get("/api/host").await?.read()?;
        let directory = line(&host.services_directory);
        return Ok(out.text(&format!(
            "no services yet: `wharf deploy NAME.wasm`, or put it into {directory}\n"
        ))?);
    }
    Ok(out.text(&overview(&services, now).text(width))?)
}

const COLUMNS: [Column; 8] = [
    Column::left("SERVICE"),
    Column::left("STATE"),
    Column::left("RELEASE"),
    Column::right("INST"),
    Column::right("REQ/S"),
    Column::right("P50"),
    Column::right("P99"),
    Column::right("ERRORS"),
];

fn overview(services: &[Service], now: f64) -> Table {
    let mut table = Table::new(&COLUMNS, 0);
    // revisions stand below each other, whatever their length
    let revisions = services
        .iter()
        .filter_map(|service| service.release.as_ref());
    let digits = revisions
        .map(|release| release.revision.to_string().len())
        .max()
        .unwrap_or(1);
    for service in services {
        let release = match &service.release {
            Some(release) => format!("{:>digits$} {}", release.revision, short(&release.digest)),
            None => "–".to_owned(),
        };
        let errors = service.count("errors");
        table.row([
            line(&service.name).into(),
            state(service),
            release.into(),
            instances(service),
            requests(service),
            quantile(service, |live| live.p50_seconds),
            quantile(service, |live| live.p99_seconds),
            Cell::styled(count(errors), if errors == 0 { QUIET } else { BAD }),
        ]);
        for Need { style, text } in needs(service, now) {
            table.note(style, shortened(&text));
        }
    }
    table
}

/// The beginning of a need: in detail it is shown in full.
fn shortened(text: &str) -> String {
    const MOST: usize = 220;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The state, in its colour.
pub(super) fn state(service: &Service) -> Cell {
    Cell::styled(line(&service.state), state_style(&service.state))
}

/// Instances that take requests, of all.
pub(super) fn instances(service: &Service) -> Cell {
    let (serving, all) = service.serving();
    let style = if serving == 0 && all > 0 {
        BAD
    } else {
        anstyle::Style::new()
    };
    Cell::styled(format!("{serving}/{all}"), style)
}

/// Requests per second.
pub(super) fn requests(service: &Service) -> Cell {
    match &service.live {
        Some(live) if live.requests_per_second > 0.0 => rate(live.requests_per_second).into(),
        Some(_) => Cell::styled("0", QUIET),
        None => Cell::styled("–", QUIET),
    }
}

/// A quantile of the last second's latencies.
pub(super) fn quantile(service: &Service, of: impl Fn(&super::api::Live) -> Option<f64>) -> Cell {
    match service.live.as_ref().and_then(of) {
        Some(seconds) => latency(seconds).into(),
        None => Cell::styled("–", QUIET),
    }
}

#[cfg(test)]
mod tests;
