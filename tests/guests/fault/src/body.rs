//! Bodies, both ways, never more of them in memory than one chunk.

use serde_json::json;
use wasip2::http::types::{Fields, IncomingBody, IncomingRequest};
use wasip2::io::streams::{InputStream, StreamError};

use crate::answer::{Answer, sleep};
use crate::query::Query;

const CHUNK: usize = 64 * 1024;

/// `bytes`: a body of that length, all `x`.
pub fn big(query: &Query, answer: Answer) {
    let mut left: usize = query.number("bytes");
    let chunk = vec![b'x'; CHUNK];
    let mut sending = answer.start("application/octet-stream");
    while left > 0 {
        let now = left.min(CHUNK);
        if !sending.send(&chunk[..now]) {
            return;
        }
        left -= now;
    }
    sending.finish(None);
}

/// `chunks`, `ms`: so many lines, with that pause before each.
pub fn slow(query: &Query, answer: Answer) {
    let mut sending = answer.start("text/plain");
    for number in 0..query.number::<u32>("chunks") {
        sleep(query.number("ms"));
        if !sending.send(format!("chunk {number}\n").as_bytes()) {
            return;
        }
    }
    sending.finish(None);
}

/// Sends the request's body back as it arrives, then its trailers.
pub fn echo(request: &IncomingRequest, answer: Answer) {
    let body = request.consume().expect("taken for the first time");
    let announced = request.headers().get("trailer");
    let mut sending = answer.announce(announced).start("application/octet-stream");
    let input = body.stream().expect("taken for the first time");
    while let Some(chunk) = read(&input) {
        if !sending.send(&chunk) {
            return;
        }
    }
    drop(input);
    sending.finish(trailers(body));
}

fn trailers(body: IncomingBody) -> Option<Fields> {
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    let ready = trailers
        .get()
        .expect("ready")
        .expect("asked for the first time");
    // The host's fields can't be changed, and can't be sent on: a copy can.
    ready
        .expect("the trailers arrive")
        .map(|fields| fields.clone())
}

/// Reads the request's body to its end and answers its length and checksum.
pub fn sum(request: &IncomingRequest, answer: Answer) {
    answer.json(&drain(request));
}

pub fn drain(request: &IncomingRequest) -> serde_json::Value {
    let body = request.consume().expect("taken for the first time");
    let input = body.stream().expect("taken for the first time");
    let (mut bytes, mut checksum) = (0_u64, 0_u64);
    while let Some(chunk) = read(&input) {
        bytes += chunk.len() as u64;
        for byte in chunk {
            checksum = checksum.wrapping_add(u64::from(byte));
        }
    }
    json!({ "bytes": bytes, "sum": checksum })
}

/// The next part of the body, or nothing when it has ended.
fn read(input: &InputStream) -> Option<Vec<u8>> {
    read_at_most(input, CHUNK)
}

/// As [`read`], and no more than so many bytes.
pub fn read_at_most(input: &InputStream, most: usize) -> Option<Vec<u8>> {
    match input.blocking_read(most.min(CHUNK) as u64) {
        Ok(chunk) => Some(chunk),
        Err(StreamError::Closed) => None,
        Err(StreamError::LastOperationFailed(error)) => {
            panic!("the request's body broke off: {}", error.to_debug_string())
        }
    }
}
