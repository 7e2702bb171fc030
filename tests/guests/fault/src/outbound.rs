//! A request of the guest's own.

use std::io::Read as _;

use serde_json::{Value, json};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{ErrorCode, Fields, IncomingResponse, OutgoingRequest, Scheme};

use crate::answer::Answer;
use crate::query::Query;

/// `url`: what came back, as `{"status", "body"}` or `{"error"}`.
pub fn run(query: &Query, answer: Answer) {
    answer.json(&fetch(query.text_or_empty("url")));
}

pub fn fetch(url: &str) -> Value {
    match send(url) {
        Ok(response) => json!({ "status": response.status(), "body": read(&response) }),
        Err(error) => json!({ "error": format!("{error:?}") }),
    }
}

fn send(url: &str) -> Result<IncomingResponse, ErrorCode> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let request = OutgoingRequest::new(Fields::new());
    let scheme = match scheme {
        "https" => Scheme::Https,
        _ => Scheme::Http,
    };
    let path = if path.is_empty() { "/" } else { path };
    let built = request
        .set_scheme(Some(&scheme))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)));
    built.expect("the test's URL is well formed");
    let response = handle(request, None)?;
    response.subscribe().block();
    response
        .get()
        .expect("ready")
        .expect("asked for the first time")
}

fn read(response: &IncomingResponse) -> String {
    let body = response.consume().expect("taken for the first time");
    let mut stream = body.stream().expect("taken for the first time");
    let mut text = String::new();
    match stream.read_to_string(&mut text) {
        Ok(_) => text,
        Err(error) => format!("{text}… {error}"),
    }
}
