//! The response that is still to be given.

use std::io::Write as _;
use std::time::Duration;

use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::OutputStream;

use crate::{instance, served};

/// The promise of a response. Dropped unused, the request ends without one.
pub struct Answer {
    out: ResponseOutparam,
    status: u16,
    trailer: Vec<Vec<u8>>,
}

impl Answer {
    pub fn new(out: ResponseOutparam) -> Self {
        Self {
            out,
            status: 200,
            trailer: Vec::new(),
        }
    }

    /// The bare promise, for one who wants to break it in its own way.
    pub fn into_out(self) -> ResponseOutparam {
        self.out
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Names the trailers that will come: HTTP/1.1 passes no others (RFC 9110, 6.6.2).
    pub fn announce(mut self, trailer: Vec<Vec<u8>>) -> Self {
        self.trailer = trailer;
        self
    }

    pub fn text(self, text: &str) {
        self.whole("text/plain", text.as_bytes());
    }

    pub fn json(self, value: &serde_json::Value) {
        self.whole("application/json", value.to_string().as_bytes());
    }

    fn whole(self, media_type: &str, bytes: &[u8]) {
        let mut sending = self.start(media_type);
        if sending.send(bytes) {
            sending.finish(None);
        }
    }

    /// Sends the head: from here on the client knows of this request's fate.
    pub fn start(self, media_type: &str) -> Sending {
        let headers = Fields::new();
        for (name, value) in [
            ("content-type", media_type),
            ("x-instance", &instance()),
            ("x-served", &served().to_string()),
        ] {
            headers
                .set(name, &[value.as_bytes().to_vec()])
                .expect("plain header names and values are accepted");
        }
        if !self.trailer.is_empty() {
            headers
                .set("trailer", &self.trailer)
                .expect("the host accepted them from the client");
        }
        let response = OutgoingResponse::new(headers);
        response
            .set_status_code(self.status)
            .expect("the caller asked for a status that exists");
        let body = response.body().expect("taken for the first time");
        ResponseOutparam::set(self.out, Ok(response));
        let stream = body.write().expect("taken for the first time");
        Sending { stream, body }
    }
}

/// A response whose head is out.
pub struct Sending {
    // Fields drop in their order, and the stream has to go before the body that it writes to.
    pub stream: OutputStream,
    pub body: OutgoingBody,
}

impl Sending {
    /// Writes and flushes; false when nobody reads any longer.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok() && self.stream.blocking_flush().is_ok()
    }

    pub fn finish(self, trailers: Option<Fields>) {
        drop(self.stream);
        // A client that went away is no fault of ours.
        let _gone = OutgoingBody::finish(self.body, trailers);
    }
}

pub fn sleep(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}
