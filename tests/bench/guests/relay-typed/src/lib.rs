//! Answers with what a function of another service gives: a typed hop.

#![expect(missing_docs, reason = "generated bindings")]

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wit_bindgen::generate!({
    inline: "
        package bench:relay-typed;
        world relay {
            import bench:hop/greeter@0.1.0;
        }
    ",
    path: ["../wit"],
    generate_all,
});

wasip2::http::proxy::export!(Relay);

struct Relay;

impl Guest for Relay {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let answer = bench::hop::greeter::hello();
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("it was not taken yet");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("it was not taken yet");
        // A client that went away takes nothing.
        let _untaken = stream.blocking_write_and_flush(answer.as_bytes());
        drop(stream);
        let _untaken = OutgoingBody::finish(body, None);
    }
}
