//! What `top` shows, as lines.

use super::super::api::{Event, Service};
use super::super::status::{instances, needs, quantile, requests, state as state_cell};
use super::super::text::{
    BAD, BOLD, Cell, Column, QUIET, Table, age, count, cut, fit, line, paint, rate, size, stamp,
    state_style, width_of,
};
use super::State;

/// The width from which there is room for what is looked at less often.
const WIDE: usize = 100;
/// Lines beside services and events: the head, two that are empty, and the keys.
const FRAME: usize = 4;

/// The lines, at most `height`, each at most `width` wide. `now` is in seconds since 1970.
pub(super) fn lines(state: &State, width: usize, height: usize, now: f64) -> Vec<String> {
    let mut lines = vec![head(state, width, now), String::new()];
    let room = height.saturating_sub(FRAME);
    let services = services(state, width, now);
    // a third is for events, and what the services leave
    let left = (room / 3).max(room.saturating_sub(services.full.len()));
    let events = state.events.len().min(left);
    lines.extend(services.fitting(room - events.min(room)));
    let bottom = height.saturating_sub(events + 1);
    lines.truncate(bottom.saturating_sub(1));
    lines.resize(bottom, String::new());
    let newest = state.events.iter().skip(state.events.len() - events);
    lines.extend(newest.map(|event| event_line(event, width)));
    lines.push(paint(QUIET, &fit("q quits  ↑↓ scroll", width)));
    lines.truncate(height);
    lines
}

fn head(state: &State, width: usize, now: f64) -> String {
    let clock = format!("{}Z", &stamp(now)[11..19]);
    let room = width.saturating_sub(clock.len() + 2);
    let (style, text) = match &state.lost {
        Some(why) => (BAD, format!("waiting for the host: {why}")),
        None => (BOLD, summary(state)),
    };
    let text = cut(&text, room);
    let gap = " ".repeat(width.saturating_sub(width_of(&text) + clock.len()));
    format!("{}{gap}{}", paint(style, &text), paint(QUIET, &clock))
}

fn summary(state: &State) -> String {
    let lives = || {
        state
            .services
            .iter()
            .filter_map(|service| service.live.as_ref())
    };
    let all: f64 = lives().map(|live| live.requests_per_second).sum();
    let errors: f64 = lives().map(|live| live.errors_per_second).sum();
    let services = match state.services.len() {
        1 => "1 service".to_owned(),
        n => format!("{n} services"),
    };
    format!(
        "wharf {}  {services}  {} req/s  {} err/s",
        state.address,
        rate(all),
        rate(errors)
    )
}

/// The table of services.
struct Shown {
    /// With what needs the operator.
    full: Vec<String>,
    /// One line for each.
    short: Vec<String>,
}

impl Shown {
    /// The more of it that there is room for.
    fn fitting(mut self, room: usize) -> Vec<String> {
        if self.full.len() <= room {
            return self.full;
        }
        if self.short.len() > room {
            // the header stays, and one line says how many are not seen
            let seen = room.saturating_sub(1).max(1);
            let hidden = self.short.len() - seen.min(self.short.len());
            self.short.truncate(seen);
            self.short
                .push(paint(QUIET, &format!("… and {hidden} more")));
        }
        self.short
    }
}

fn services(state: &State, width: usize, now: f64) -> Shown {
    if state.services.is_empty() {
        let line = paint(
            QUIET,
            &fit("no services yet: `wharf deploy NAME.wasm`", width),
        );
        return Shown {
            full: vec![line.clone()],
            short: vec![line],
        };
    }
    let scrolled = state.scrolled.min(state.services.len() - 1);
    let shown = &state.services[scrolled..];
    Shown {
        full: table(shown, width, Some(now)).lines(Some(width)),
        short: table(shown, width, None).lines(Some(width)),
    }
}

fn table(services: &[Service], width: usize, needs_at: Option<f64>) -> Table {
    if width >= WIDE {
        wide(services, width, needs_at)
    } else {
        narrow(services, width, needs_at)
    }
}

fn narrow(services: &[Service], width: usize, needs_at: Option<f64>) -> Table {
    let columns = [
        Column::left("SERVICE"),
        Column::left("STATE"),
        Column::right("REL"),
        Column::right("INST"),
        Column::right("BUSY"),
        Column::right("REQ/S"),
        Column::right("ERR/S"),
        Column::right("P50"),
        Column::right("P99"),
    ];
    let mut table = Table::new(&columns, 0);
    for service in services {
        let [name, state, revision, instances] = left(service);
        let [requests, errors, p50, p99] = right(service);
        table.row([
            name,
            state,
            revision,
            instances,
            busy(service),
            requests,
            errors,
            p50,
            p99,
        ]);
        add_needs(&mut table, service, width, needs_at);
    }
    table
}

fn wide(services: &[Service], width: usize, needs_at: Option<f64>) -> Table {
    let columns = [
        Column::left("SERVICE"),
        Column::left("STATE"),
        Column::right("REL"),
        Column::right("INST"),
        Column::right("BUSY"),
        Column::right("QUEUE"),
        Column::right("REQ/S"),
        Column::right("ERR/S"),
        Column::right("P50"),
        Column::right("P99"),
        Column::right("MEM"),
        Column::right("AGE"),
    ];
    let mut table = Table::new(&columns, 0);
    for service in services {
        let [name, state, revision, instances] = left(service);
        let [requests, errors, p50, p99] = right(service);
        let memory: u64 = service
            .instances
            .iter()
            .map(|instance| instance.memory_bytes)
            .sum();
        let oldest = service
            .instances
            .iter()
            .map(|instance| instance.age_seconds)
            .fold(0.0, f64::max);
        table.row([
            name,
            state,
            revision,
            instances,
            busy(service),
            count(service.queued).into(),
            requests,
            errors,
            p50,
            p99,
            size(memory).into(),
            age(oldest).into(),
        ]);
        add_needs(&mut table, service, width, needs_at);
    }
    table
}

fn left(service: &Service) -> [Cell; 4] {
    let revision = service
        .release
        .as_ref()
        .map_or("–".to_owned(), |release| release.revision.to_string());
    [
        line(&service.name).into(),
        state_cell(service),
        revision.into(),
        instances(service),
    ]
}

fn busy(service: &Service) -> Cell {
    count(service.in_flight()).into()
}

fn right(service: &Service) -> [Cell; 4] {
    let errors = service
        .live
        .as_ref()
        .map_or(0.0, |live| live.errors_per_second);
    let style = if errors > 0.0 { BAD } else { QUIET };
    [
        requests(service),
        Cell::styled(rate(errors), style),
        quantile(service, |live| live.p50_seconds),
        quantile(service, |live| live.p99_seconds),
    ]
}

fn add_needs(table: &mut Table, service: &Service, width: usize, now: Option<f64>) {
    for need in now.map(|now| needs(service, now)).unwrap_or_default() {
        // one line each: `wharf status` has the rest
        table.note(need.style, cut(&need.text, width.saturating_sub(2)));
    }
}

fn event_line(event: &Event, width: usize) -> String {
    let time = &stamp(event.at)[11..19];
    let name = line(event.service.as_deref().unwrap_or("host"));
    let name = fit(&name, 20);
    let room = width.saturating_sub(time.len() + 4 + width_of(&name));
    let message = cut(&line(&event.message), room);
    let message = paint(state_style(&event.level), &message);
    format!("{}  {}  {message}", paint(QUIET, time), paint(BOLD, &name))
}
