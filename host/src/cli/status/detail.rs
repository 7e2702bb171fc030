//! One service in detail.

use std::fmt::Write as _;

use super::super::api::Service;
use super::super::text::{
    BOLD, Cell, Column, QUIET, Table, age, count, latency, line, paint, rate, short, size,
    state_style, wrap,
};
use super::needs;

/// Everything about it. `now` is in seconds since 1970.
pub(super) fn text(service: &Service, width: Option<usize>, now: f64) -> String {
    let state = paint(state_style(&service.state), &line(&service.state));
    let mut text = format!("{}  {state}\n", paint(BOLD, &line(&service.name)));
    for need in needs(service, now) {
        for line in wrap(&need.text, "  ", "    ", width) {
            let _ = writeln!(text, "{}", paint(need.style, &line));
        }
    }
    text.push('\n');
    for (label, value) in facts(service, now) {
        for (index, line) in wrap(&value, "", "", width.map(|width| width.saturating_sub(11)))
            .iter()
            .enumerate()
        {
            let label = if index == 0 { label } else { "" };
            let _ = writeln!(text, "{}  {line}", paint(QUIET, &format!("{label:<9}")));
        }
    }
    if !service.instances.is_empty() {
        text.push('\n');
        text.push_str(&instances(service).text(width));
    }
    text
}

fn facts(service: &Service, now: f64) -> Vec<(&'static str, String)> {
    let counted = |name: &str| service.count(name);
    let release = match &service.release {
        Some(release) => {
            let (revision, digest) = (release.revision, short(&release.digest));
            format!(
                "{revision} ({digest}), for {}",
                age(now - release.deployed_at)
            )
        }
        None => "none runs".to_owned(),
    };
    let routes = match &*service.routes {
        [] => "none".to_owned(),
        routes => routes
            .iter()
            .map(|route| line(route))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let load = format!(
        "{} in flight, {} queued; at most {} in each instance",
        service.in_flight(),
        service.queued,
        service.concurrency
    );
    let requests = listed(
        counted("requests"),
        "",
        &[
            ("errors", counted("errors")),
            ("shed", counted("sheds")),
            ("replayed", counted("replays")),
            ("quarantined", counted("quarantined")),
        ],
    );
    let instances = listed(
        counted("starts"),
        " started",
        &[("ended", counted("exits"))],
    );
    let deploys = listed(
        counted("deploys"),
        "",
        &[
            ("refused", counted("deploy_failures")),
            ("rolled back", counted("rollbacks")),
        ],
    );
    vec![
        ("release", release),
        ("routes", routes),
        ("now", traffic(service)),
        ("load", load),
        ("requests", requests),
        ("instances", instances),
        ("deploys", deploys),
    ]
}

fn traffic(service: &Service) -> String {
    let Some(live) = &service.live else {
        return "not measured yet".to_owned();
    };
    let mut text = format!("{} req/s", rate(live.requests_per_second));
    if live.errors_per_second > 0.0 {
        let _ = write!(text, ", {} errors/s", rate(live.errors_per_second));
    }
    for (label, seconds) in [("p50", live.p50_seconds), ("p99", live.p99_seconds)] {
        if let Some(seconds) = seconds {
            let _ = write!(text, ", {label} {}", latency(seconds));
        }
    }
    text
}

/// A number, and those of its parts that aren't zero.
fn listed(all: u64, what: &str, parts: &[(&str, u64)]) -> String {
    let mut text = format!("{all}{what}");
    for (label, number) in parts.iter().filter(|(_, number)| *number > 0) {
        let _ = write!(text, ", {number} {label}");
    }
    text
}

fn instances(service: &Service) -> Table {
    let columns = [
        Column::left("INSTANCE"),
        Column::left("STATE"),
        Column::right("IN FLIGHT"),
        Column::right("SERVED"),
        Column::right("MEMORY"),
        Column::right("AGE"),
    ];
    let mut table = Table::new(&columns, 0);
    for instance in &service.instances {
        table.row([
            line(&instance.id).into(),
            Cell::styled(line(&instance.state), state_style(&instance.state)),
            instance.in_flight.to_string().into(),
            count(instance.served).into(),
            size(instance.memory_bytes).into(),
            age(instance.age_seconds).into(),
        ]);
    }
    table
}
