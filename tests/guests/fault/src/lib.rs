//! A `wasi:http` 0.2 service that does what its caller asks, above all what a service never should.
//!
//! The last segment of the path says what to do, so that it works under any route; the query gives
//! the details. Every answer names the instance and how many requests it has served, this one
//! included, in `x-instance` and `x-served`. Faults take `only=INSTANCE`: then they strike in that
//! instance alone, which makes a test with several instances predictable.

mod answer;
mod body;
mod faults;
mod outbound;
mod query;
mod settings;
mod steps;
mod store;

use std::cell::Cell;

use answer::Answer;
use query::Query;
use serde_json::json;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam, Scheme};

wasip2::http::proxy::export!(Fault);

struct Fault;

thread_local! {
    static INSTANCE: Cell<Option<u64>> = const { Cell::new(None) };
    static SERVED: Cell<u64> = const { Cell::new(0) };
}

/// What tells this instance from the others: random, chosen at its first request.
fn instance() -> String {
    let id = INSTANCE
        .get()
        .unwrap_or_else(wasip2::random::random::get_random_u64);
    INSTANCE.set(Some(id));
    format!("{id:016x}")
}

/// The requests this instance has begun, the current one included.
fn served() -> u64 {
    SERVED.get()
}

impl wasip2::exports::http::incoming_handler::Guest for Fault {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        SERVED.set(SERVED.get() + 1);
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let action = match segments[..] {
            [] | [_] => "hello",
            [.., last] => last,
        };
        act(action, &Query::parse(query), &request, Answer::new(out));
    }
}

fn act(action: &str, query: &Query, request: &IncomingRequest, answer: Answer) {
    match action {
        "hello" => answer.text("hello\n"),
        "count" => answer.json(&json!({ "instance": instance(), "served": served() })),
        "status" => answer.status(query.number("code")).text(""),
        "request" => answer.json(&describe(request)),
        "sleep" => {
            answer::sleep(query.number("ms"));
            answer.text("slept\n");
        }

        "status-in" => faults::status_in(query, answer),
        "slow-in" => faults::slow_in(query, answer),
        "trap" => faults::trap(query, answer),
        "trap-every" => faults::trap_every(query, answer),
        "trap-until" => faults::trap_until(query, answer),
        "late-trap" => faults::late_trap(query, answer),
        "write-then-trap" => faults::write_then_trap(query, answer),
        "trap-then-write" => faults::trap_then_write(query, answer),
        "outbound-then-trap" => faults::outbound_then_trap(query, answer),
        "trap-or-sum" => faults::trap_or_sum(query, request, answer),
        "body-then-trap" => faults::body_then_trap(query, request, answer),
        "spin" => faults::spin(query, answer),
        "hoard" => faults::hoard(query, answer),
        "overflow" => faults::overflow(answer),
        "exit" => faults::exit(query, answer),
        "no-response" => drop(answer),

        "big" => body::big(query, answer),
        "slow-body" => body::slow(query, answer),
        "echo" => body::echo(request, answer),
        "sum" => body::sum(request, answer),

        "steps" => steps::run(query, request, answer.into_out()),

        "kv" => store::run(query, answer),
        "config" => settings::config(query, answer),
        "env" => settings::env(answer),
        "files" => settings::files(answer),
        "socket" => settings::socket(query, answer),
        "log" => settings::log(query, answer),
        "outbound" => outbound::run(query, answer),
        _ => answer
            .status(404)
            .text("the fault component knows no such action\n"),
    }
}

/// The request as the guest sees it.
fn describe(request: &IncomingRequest) -> serde_json::Value {
    let method = match request.method() {
        Method::Get => "GET".to_owned(),
        Method::Head => "HEAD".to_owned(),
        Method::Post => "POST".to_owned(),
        Method::Put => "PUT".to_owned(),
        Method::Delete => "DELETE".to_owned(),
        Method::Connect => "CONNECT".to_owned(),
        Method::Options => "OPTIONS".to_owned(),
        Method::Trace => "TRACE".to_owned(),
        Method::Patch => "PATCH".to_owned(),
        Method::Other(name) => name,
    };
    let scheme = request.scheme().map(|scheme| match scheme {
        Scheme::Http => "http".to_owned(),
        Scheme::Https => "https".to_owned(),
        Scheme::Other(name) => name,
    });
    let headers: Vec<_> = request
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| json!([name, String::from_utf8_lossy(&value)]))
        .collect();
    json!({
        "method": method,
        "target": request.path_with_query(),
        "scheme": scheme,
        "authority": request.authority(),
        "headers": headers,
    })
}
