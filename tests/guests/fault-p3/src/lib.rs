//! A `wasi:http` 0.3 service that does what its caller asks, above all what a service never should.
//!
//! The last segment of the path says what to do, the query gives the details, and every answer
//! names the instance in `x-instance`, as with the `fault` component of the 0.2 generation. Unlike
//! that one, an instance of this runs several requests at a time.

use std::cell::Cell;

use serde_json::{Value, json};
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme, Trailers};
use wasip3::wit_bindgen::{StreamReader, StreamWriter};
use wasip3::{spawn_local, wit_future, wit_stream};

mod steps;

mod keyvalue {
    wit_bindgen::generate!({
        inline: "
            package wharf:fault-p3;
            world keyvalue {
                import wasi:keyvalue/store@0.2.0-draft2;
                import wasi:keyvalue/atomics@0.2.0-draft2;
            }
        ",
        path: "../wit/keyvalue-draft2",
        generate_all,
    });
    pub use wasi::keyvalue::{atomics, store};
}

wasip3::http::service::export!(FaultP3);

struct FaultP3;

type Answer = Result<Response, ErrorCode>;

const CHUNK: usize = 64 * 1024;

thread_local! {
    static INSTANCE: Cell<Option<u64>> = const { Cell::new(None) };
    static SERVED: Cell<u64> = const { Cell::new(0) };
}

/// What tells this instance from the others: random, chosen at its first request.
fn instance() -> String {
    let id = INSTANCE
        .get()
        .unwrap_or_else(wasip3::random::random::get_random_u64);
    INSTANCE.set(Some(id));
    format!("{id:016x}")
}

/// The part of the target behind the question mark; tests need no escapes here.
struct Query(String);

impl Query {
    fn text(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn number<T: std::str::FromStr + Default>(&self, name: &str) -> T {
        self.text(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or_default()
    }

    fn strikes_here(&self) -> bool {
        self.text("only").is_none_or(|only| only == instance())
    }
}

impl wasip3::exports::http::handler::Guest for FaultP3 {
    async fn handle(request: Request) -> Answer {
        SERVED.set(SERVED.get() + 1);
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let action = match segments[..] {
            [] | [_] => "hello",
            [.., last] => last,
        };
        act(action, &Query(query.to_owned()), request).await
    }
}

async fn act(action: &str, query: &Query, request: Request) -> Answer {
    Ok(match action {
        "hello" => text(200, "hello\n"),
        "count" => json_answer(&json!({ "instance": instance(), "served": SERVED.get() })),
        "sleep" => {
            sleep(query.number("ms")).await;
            text(200, "slept\n")
        }
        "trap" if query.strikes_here() => trap_as_asked(),
        "trap" => text(200, "survived\n"),
        "gate" => {
            while !gate_is_open(query) {
                sleep(20).await;
            }
            text(200, "through\n")
        }
        "late-trap" => late_trap(query),
        "write-then-trap" => {
            increment(query);
            trap_as_asked()
        }
        "trap-then-write" => {
            if query.strikes_here() {
                trap_as_asked();
            }
            json_answer(&json!({ "count": increment(query) }))
        }
        "spin" => spin(),
        "fail" => return Err(ErrorCode::InternalError(Some("as asked".to_owned()))),
        "big" => big(query),
        "slow-body" => slow_body(query),
        "echo" => echo(request),
        "sum" => json_answer(&sum(request).await),
        "outbound" => json_answer(&outbound(query).await),
        "steps" => return steps::run(query, request).await,
        _ => text(404, "the fault component knows no such action\n"),
    })
}

#[inline(never)]
fn trap_as_asked() -> ! {
    std::process::abort()
}

/// Burns CPU for ever without calling the host.
fn spin() -> ! {
    loop {
        std::hint::spin_loop();
        std::hint::black_box(());
    }
}

async fn sleep(milliseconds: u64) {
    wasip3::clocks::monotonic_clock::wait_for(milliseconds * 1_000_000).await;
}

/// `bucket`, `key`: whether somebody has written that key.
fn gate_is_open(query: &Query) -> bool {
    let bucket = keyvalue::store::open(query.text("bucket").unwrap_or_default());
    let bucket = bucket.expect("the test grants the bucket");
    let open = bucket.exists(query.text("key").unwrap_or_default());
    open.expect("the test grants the bucket")
}

/// `bucket`, `key`: counts this request.
fn increment(query: &Query) -> i64 {
    let bucket = keyvalue::store::open(query.text("bucket").unwrap_or_default());
    let bucket = bucket.expect("the test grants the bucket");
    let count = keyvalue::atomics::increment(&bucket, query.text("key").unwrap_or_default(), 1);
    count.expect("the test grants the bucket")
}

fn text(status: u16, text: &str) -> Response {
    whole(status, "text/plain", text.as_bytes().to_vec())
}

fn json_answer(value: &Value) -> Response {
    whole(200, "application/json", value.to_string().into_bytes())
}

fn whole(status: u16, media_type: &str, bytes: Vec<u8>) -> Response {
    let (mut body, trailers, response) = start(status, media_type, &[]);
    spawn_local(async move {
        body.write_all(bytes).await;
        drop(body);
        trailers(None);
    });
    response
}

/// The ends of a response that has its head: its body, and who tells its trailers. Those have to be
/// announced by name, since HTTP/1.1 passes no others (RFC 9110, 6.6.2).
fn start(
    status: u16,
    media_type: &str,
    announced: &[Vec<u8>],
) -> (
    StreamWriter<u8>,
    impl FnOnce(Option<Trailers>) + use<>,
    Response,
) {
    let headers = Fields::new();
    for (name, value) in [
        ("content-type", media_type),
        ("x-instance", &instance()),
        ("x-served", &SERVED.get().to_string()),
    ] {
        headers
            .set(name, &[value.as_bytes().to_vec()])
            .expect("plain header names and values are accepted");
    }
    if !announced.is_empty() {
        headers
            .set("trailer", announced)
            .expect("the host accepted them from the client");
    }
    let (body, reader) = wit_stream::new();
    let (trailers, told) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(reader), told);
    response
        .set_status_code(status)
        .expect("the caller asked for a status that exists");
    let tell = |fields| {
        spawn_local(async move {
            // A client that went away is no fault of ours.
            let _gone = trailers.write(Ok(fields)).await;
        });
    };
    (body, tell, response)
}

/// `bytes`: a body of that length, all `x`.
fn big(query: &Query) -> Response {
    let (mut body, trailers, response) = start(200, "application/octet-stream", &[]);
    let mut left: usize = query.number("bytes");
    spawn_local(async move {
        while left > 0 {
            let now = left.min(CHUNK);
            if !body.write_all(vec![b'x'; now]).await.is_empty() {
                return;
            }
            left -= now;
        }
        drop(body);
        trailers(None);
    });
    response
}

/// `chunks`, `ms`: so many lines, with that pause before each.
fn slow_body(query: &Query) -> Response {
    let (mut body, trailers, response) = start(200, "text/plain", &[]);
    let (chunks, pause) = (query.number::<u32>("chunks"), query.number("ms"));
    spawn_local(async move {
        for number in 0..chunks {
            sleep(pause).await;
            let line = format!("chunk {number}\n").into_bytes();
            if !body.write_all(line).await.is_empty() {
                return;
            }
        }
        drop(body);
        trailers(None);
    });
    response
}

/// `bytes`: sends the head and so much of the body, then traps.
fn late_trap(query: &Query) -> Response {
    let (mut body, _trailers, response) = start(200, "application/octet-stream", &[]);
    let bytes = vec![b'x'; query.number("bytes")];
    spawn_local(async move {
        body.write_all(bytes).await;
        trap_as_asked();
    });
    response
}

/// Sends the request's body back as it arrives, then its trailers.
fn echo(request: Request) -> Response {
    let announced = request.get_headers().get("trailer");
    let (mut incoming, incoming_trailers) = consume(request);
    let (mut body, trailers, response) = start(200, "application/octet-stream", &announced);
    spawn_local(async move {
        loop {
            let (status, chunk) = incoming.read(Vec::with_capacity(CHUNK)).await;
            if !chunk.is_empty() && !body.write_all(chunk).await.is_empty() {
                return;
            }
            if matches!(status, wasip3::wit_bindgen::StreamResult::Dropped) {
                break;
            }
        }
        drop(body);
        trailers(incoming_trailers.await.expect("the trailers arrive"));
    });
    response
}

/// Reads the request's body to its end and answers its length and checksum.
async fn sum(request: Request) -> Value {
    let (mut incoming, _trailers) = consume(request);
    let (mut bytes, mut checksum) = (0_u64, 0_u64);
    loop {
        let (status, chunk) = incoming.read(Vec::with_capacity(CHUNK)).await;
        bytes += chunk.len() as u64;
        for byte in &chunk {
            checksum = checksum.wrapping_add(u64::from(*byte));
        }
        if matches!(status, wasip3::wit_bindgen::StreamResult::Dropped) {
            return json!({ "bytes": bytes, "sum": checksum });
        }
    }
}

type IncomingTrailers = wasip3::wit_bindgen::FutureReader<Result<Option<Trailers>, ErrorCode>>;

fn consume(request: Request) -> (StreamReader<u8>, IncomingTrailers) {
    let (told, outcome) = wit_future::new(|| Ok(()));
    drop(told);
    Request::consume_body(request, outcome)
}

/// `url`: what came back, as `{"status", "body"}` or `{"error"}`.
async fn outbound(query: &Query) -> Value {
    let url = query.text("url").unwrap_or_default();
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (told, trailers) = wit_future::new(|| Ok(None));
    drop(told);
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    let path = if path.is_empty() { "/" } else { path };
    let built = request
        .set_scheme(Some(&Scheme::Http))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)));
    built.expect("the test's URL is well formed");
    match wasip3::http::client::send(request).await {
        Ok(response) => {
            let status = response.get_status_code();
            let (told, outcome) = wit_future::new(|| Ok(()));
            drop(told);
            let (body, _trailers) = Response::consume_body(response, outcome);
            let body = body.collect().await;
            json!({ "status": status, "body": String::from_utf8_lossy(&body) })
        }
        Err(error) => json!({ "error": format!("{error:?}") }),
    }
}
