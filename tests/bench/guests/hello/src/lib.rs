//! `Hello, World!`, for `wasi:http` 0.2, on the bindings alone, as `cargo component new --proxy` begins
//! it.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wasip2::http::proxy::export!(Hello);

struct Hello;

impl Guest for Hello {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("it was not taken yet");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("it was not taken yet");
        // A client that went away takes nothing.
        let _untaken = stream.blocking_write_and_flush(b"Hello, World!");
        drop(stream);
        let _untaken = OutgoingBody::finish(body, None);
    }
}
