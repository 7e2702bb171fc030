//! A request answered step by step, as its caller says: `do=STEP,STEP:ARGUMENT,…`.
//!
//! How a host copes with a guest depends on the order in which that one does things: whether the
//! body was finished before the trap, or only begun. A test writes that order down, and a client
//! can see what came of it. The steps that have to do with time are in [`pace`].

mod pace;

use std::io::Write as _;

use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse,
    ResponseOutparam,
};
use wasip2::io::streams::{InputStream, OutputStream};

use crate::body::read_at_most;
use crate::instance;
use crate::query::Query;

/// What is left to do with, after the steps so far. The fields drop in their order, and a stream has
/// to go before the body that it belongs to.
struct Act<'a> {
    request: &'a IncomingRequest,
    out: Option<ResponseOutparam>,
    /// The number that the host knows `out` by.
    handle: u32,
    status: u16,
    headers: Fields,
    refused: Vec<String>,
    made: Option<OutgoingResponse>,
    stream: Option<OutputStream>,
    body: Option<OutgoingBody>,
    input: Option<InputStream>,
    incoming: Option<IncomingBody>,
    written: usize,
}

/// Takes the steps one after the other, until one finds that nobody reads any longer.
pub fn run(query: &Query, request: &IncomingRequest, out: ResponseOutparam) {
    let mut act = Act {
        request,
        handle: out.handle(),
        out: Some(out),
        status: 200,
        headers: Fields::new(),
        refused: Vec::new(),
        made: None,
        stream: None,
        body: None,
        input: None,
        incoming: None,
        written: 0,
    };
    act.add("x-instance", instance().as_bytes());
    for step in query.text_or_empty("do").split(',') {
        let (step, argument) = step.split_once(':').unwrap_or((step, ""));
        if !act.take(step, argument) {
            return;
        }
    }
}

impl Act<'_> {
    /// Takes one step; false when there is no use in another.
    fn take(&mut self, step: &str, argument: &str) -> bool {
        let number = || argument.parse().expect("the step takes a number");
        match step {
            "status" => self.status = argument.parse().expect("a status is a number"),
            "length" => self.add("content-length", argument.as_bytes()),
            "announce" => self.add("trailer", b"x-sum"),
            "header" => {
                let (name, value) = argument.split_once('=').expect("name=hex");
                self.add(name, &unhex(value));
            }
            "make" => self.make(),
            "set" => self.set(),
            "head" => {
                self.make();
                self.set();
            }
            "again" => self.again(),
            "unset" => self.out = None,
            "error" => {
                let code = ErrorCode::InternalError(Some("as asked".to_owned()));
                ResponseOutparam::set(self.out.take().expect("not yet set"), Err(code));
            }
            "drop-response" => self.made = None,

            "write" => return self.write_pattern(number()),
            "tiny" => return (0..number()).all(|_| self.write_pattern(1)),
            "endless" => while self.write_pattern(64 * 1024) {},
            "flush" => return self.stream().blocking_flush().is_ok(),
            "token" => {
                let token = self.request.headers().get("x-token");
                return self.write(&token.concat());
            }
            "list-headers" => {
                let entries = self.request.headers().entries().into_iter();
                let lines = entries
                    .flat_map(|(name, value)| [name.as_bytes(), b": ", &value, b"\n"].concat());
                return self.write(&lines.collect::<Vec<_>>());
            }
            "list-refused" => return self.write(self.refused.join(",").as_bytes()),

            "finish" => self.finish(false),
            "trailers" => self.finish(true),
            "drop-body" => {
                self.stream = None;
                self.body = None;
            }
            "leak" => {
                std::mem::forget(self.stream.take());
                std::mem::forget(self.body.take());
            }

            "read" => self.read(number(), |_, _| true),
            "echo" => self.read(number(), Self::write),
            "read-all" => self.read(usize::MAX, |_, _| true),
            "echo-all" => self.read(usize::MAX, Self::write),

            _ => pace::take(step, argument),
        }
        true
    }

    fn add(&mut self, name: &str, value: &[u8]) {
        if self.headers.append(name, value).is_err() {
            self.refused.push(name.to_owned());
        }
    }

    fn make(&mut self) {
        let headers = std::mem::replace(&mut self.headers, Fields::new());
        let response = OutgoingResponse::new(headers);
        response
            .set_status_code(self.status)
            .expect("the caller asked for a status that exists");
        let body = response.body().expect("taken for the first time");
        self.stream = Some(body.write().expect("taken for the first time"));
        self.body = Some(body);
        self.made = Some(response);
    }

    fn set(&mut self) {
        let response = self.made.take().expect("it was made");
        ResponseOutparam::set(self.out.take().expect("not yet set"), Ok(response));
    }

    /// Answers once more, by a copy of the handle that the first answer used up.
    fn again(&mut self) {
        // SAFETY: none needed; it is for the host to notice that the handle is stale.
        self.out = Some(unsafe { ResponseOutparam::from_handle(self.handle) });
        std::mem::forget((self.stream.take(), self.body.take()));
        self.make();
        self.set();
    }

    fn stream(&mut self) -> &mut OutputStream {
        self.stream.as_mut().expect("the body was begun")
    }

    /// The next bytes of a pattern that tells each place in a body from its neighbours.
    fn write_pattern(&mut self, count: usize) -> bool {
        let bytes: Vec<u8> = (self.written..self.written + count).map(pattern).collect();
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        self.written += bytes.len();
        self.stream().write_all(bytes).is_ok()
    }

    fn finish(&mut self, with_trailers: bool) {
        self.stream = None;
        let trailers = with_trailers.then(|| {
            let fields = Fields::new();
            let written = self.written.to_string().into_bytes();
            fields.set("x-sum", &[written]).expect("a plain header");
            fields
        });
        // A client that went away is no fault of ours, and a length that is wrong was asked for.
        let _refused = OutgoingBody::finish(self.body.take().expect("it was begun"), trailers);
    }

    /// Reads so many bytes of the request's body, if there are so many.
    fn read(&mut self, count: usize, mut each: impl FnMut(&mut Self, &[u8]) -> bool) {
        if self.incoming.is_none() {
            let body = self.request.consume().expect("taken for the first time");
            self.input = Some(body.stream().expect("taken for the first time"));
            self.incoming = Some(body);
        }
        let mut left = count;
        while left > 0 {
            let input = self.input.as_ref().expect("it was just taken");
            let Some(chunk) = read_at_most(input, left) else {
                return;
            };
            left -= chunk.len();
            if !each(self, &chunk) {
                return;
            }
        }
    }
}

/// The byte at a place of the pattern; the tests know it too.
fn pattern(place: usize) -> u8 {
    let [low, middle, high, ..] = place.to_le_bytes();
    low.wrapping_mul(31) ^ middle.wrapping_mul(7) ^ high
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map(byte).collect::<Option<_>>().expect("hex")
}
