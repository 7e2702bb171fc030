//! A request answered step by step, as its caller says: `do=STEP,STEP:ARGUMENT,…`.
//!
//! The steps are those of the `fault` component, where this generation has them. What comes before
//! `head` happens before the response is returned, what comes after it in a task of the guest's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use wasip3::http::types::{ErrorCode, Fields, Request, Response, Trailers};
use wasip3::wit_bindgen::{FutureWriter, StreamReader, StreamResult, StreamWriter};
use wasip3::{spawn_local, wit_future, wit_stream};

use crate::keyvalue::{atomics, store};
use crate::{Answer, CHUNK, IncomingTrailers, Query, consume, instance, sleep, trap_as_asked};

/// Longer than any test, in milliseconds.
const FOR_EVER: u64 = 1_000_000_000_000;

/// What is left to do with, after the steps so far.
struct Act {
    request: Option<Request>,
    token: Vec<u8>,
    entries: Vec<(String, Vec<u8>)>,
    status: u16,
    headers: Fields,
    refused: Vec<String>,
    made: Option<Response>,
    body: Option<StreamWriter<u8>>,
    trailers: Option<FutureWriter<Result<Option<Trailers>, ErrorCode>>>,
    incoming: Option<(StreamReader<u8>, IncomingTrailers)>,
    written: usize,
}

/// Takes the steps one after the other, until one finds that nobody reads any longer.
pub async fn run(query: &Query, request: Request) -> Answer {
    let headers = request.get_headers();
    let mut act = Act {
        token: headers.get("x-token").concat(),
        entries: headers.copy_all(),
        request: Some(request),
        status: 200,
        headers: Fields::new(),
        refused: Vec::new(),
        made: None,
        body: None,
        trailers: None,
        incoming: None,
        written: 0,
    };
    drop(headers);
    act.add("x-instance", instance().as_bytes());
    let steps = query.text("do").unwrap_or_default().split(',');
    let mut steps: VecDeque<_> = steps.map(str::to_owned).collect();
    while let Some(step) = steps.pop_front() {
        match step.as_str() {
            "head" => {
                act.make();
                let response = act.made.take().expect("it was just made");
                spawn_local(act.go_on(steps));
                return Ok(response);
            }
            "error" => break,
            step => {
                if !act.take(step).await {
                    break;
                }
            }
        }
    }
    Err(ErrorCode::InternalError(Some("as asked".to_owned())))
}

impl Act {
    async fn go_on(mut self, steps: VecDeque<String>) {
        for step in steps {
            if !self.take(&step).await {
                return;
            }
        }
    }

    /// Takes one step; false when there is no use in another.
    async fn take(&mut self, step: &str) -> bool {
        let (step, argument) = step.split_once(':').unwrap_or((step, ""));
        let number = || argument.parse::<usize>().expect("the step takes a number");
        match step {
            "status" => self.status = argument.parse().expect("a status is a number"),
            "length" => self.add("content-length", argument.as_bytes()),
            "announce" => self.add("trailer", b"x-sum"),
            "header" => {
                let (name, value) = argument.split_once('=').expect("name=hex");
                self.add(name, &unhex(value));
            }
            "make" => self.make(),
            "drop-response" => self.made = None,

            "write" => return self.write_pattern(number()).await,
            "tiny" => {
                for _ in 0..number() {
                    if !self.write_pattern(1).await {
                        return false;
                    }
                }
            }
            "endless" => while self.write_pattern(CHUNK).await {},
            // a write is over when the host has taken it
            "flush" => {}
            "token" => return self.write(self.token.clone()).await,
            "list-headers" => {
                let entries = self.entries.iter();
                let lines = entries
                    .flat_map(|(name, value)| [name.as_bytes(), b": ", value, b"\n"].concat());
                return self.write(lines.collect()).await;
            }
            "list-refused" => return self.write(self.refused.join(",").into_bytes()).await,

            "finish" => self.finish(Ok(None)).await,
            "trailers" => {
                let fields = Fields::new();
                let written = self.written.to_string().into_bytes();
                fields.set("x-sum", &[written]).expect("a plain header");
                self.finish(Ok(Some(fields))).await;
            }
            "drop-body" => self.finish(Err(ErrorCode::HttpProtocolError)).await,
            "leak" => std::mem::forget((self.body.take(), self.trailers.take())),

            "read" => self.read(number(), false).await,
            "echo" => self.read(number(), true).await,
            "read-all" => self.read(usize::MAX, false).await,
            "echo-all" => self.read(usize::MAX, true).await,

            "sleep" => sleep(argument.parse().expect("milliseconds")).await,
            "work" => work(Duration::from_millis(
                argument.parse().expect("milliseconds"),
            )),
            "wait" => sleep(FOR_EVER).await,
            "spin" => crate::spin(),
            "trap" => trap_as_asked(),
            "mark" => mark(argument),
            "gate" => {
                while !is_marked(argument) {
                    sleep(20).await;
                }
            }
            "busy-gate" => while !is_marked(argument) {},
            _ => panic!("no such step: {step}"),
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
        let (body, reader) = wit_stream::new();
        let (trailers, told) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(headers, Some(reader), told);
        response
            .set_status_code(self.status)
            .expect("the caller asked for a status that exists");
        self.body = Some(body);
        self.trailers = Some(trailers);
        self.made = Some(response);
    }

    /// The next bytes of a pattern that tells each place in a body from its neighbours.
    async fn write_pattern(&mut self, count: usize) -> bool {
        let places = self.written..self.written + count;
        self.write(places.map(pattern).collect()).await
    }

    async fn write(&mut self, bytes: Vec<u8>) -> bool {
        self.written += bytes.len();
        let body = self.body.as_mut().expect("the body was begun");
        body.write_all(bytes).await.is_empty()
    }

    async fn finish(&mut self, end: Result<Option<Trailers>, ErrorCode>) {
        self.body = None;
        let trailers = self.trailers.take().expect("the body was begun");
        // A client that went away is no fault of ours.
        let _gone = trailers.write(end).await;
    }

    /// Reads so many bytes of the request's body, if there are so many, and sends them back if so
    /// asked.
    async fn read(&mut self, count: usize, echo: bool) {
        if let Some(request) = self.request.take() {
            self.incoming = Some(consume(request));
        }
        let mut left = count;
        while left > 0 {
            let (input, _) = self.incoming.as_mut().expect("it was just taken");
            let (status, chunk) = input.read(Vec::with_capacity(left.min(CHUNK))).await;
            left -= chunk.len();
            if echo && !chunk.is_empty() && !self.write(chunk).await {
                return;
            }
            if matches!(status, StreamResult::Dropped) {
                return;
            }
        }
    }
}

/// Computes for so long, without ever waiting.
fn work(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// The bucket by which a test tells a guest to go on, and a guest tells that it was here.
fn gates() -> store::Bucket {
    store::open("gates").expect("the test grants the bucket")
}

fn mark(key: &str) {
    atomics::increment(&gates(), key, 1).expect("the test grants the bucket");
}

fn is_marked(key: &str) -> bool {
    let marked = gates().exists(key);
    marked.expect("the test grants the bucket")
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
