//! Answers with what the service `hello` answers, asked over HTTP by its name: a hop.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam,
    Scheme,
};

wasip2::http::proxy::export!(Relay);

struct Relay;

impl Guest for Relay {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let answer = ask();
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("it was not taken yet");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("it was not taken yet");
        // A client that went away takes nothing.
        let _untaken = stream.blocking_write_and_flush(&answer);
        drop(stream);
        let _untaken = OutgoingBody::finish(body, None);
    }
}

/// The whole answer of `hello`.
fn ask() -> Vec<u8> {
    let request = OutgoingRequest::new(Fields::new());
    let set = request
        .set_scheme(Some(&Scheme::Http))
        .and_then(|()| request.set_authority(Some("hello.internal")))
        .and_then(|()| request.set_path_with_query(Some("/hello")));
    set.expect("they are well formed");
    let answer = outgoing_handler::handle(request, None).expect("the call is granted");
    answer.subscribe().block();
    let response = answer
        .get()
        .expect("it is there")
        .expect("it was not taken yet");
    let response = response.expect("the call succeeded");
    let body = response.consume().expect("it was not taken yet");
    let stream = body.stream().expect("it was not taken yet");
    let mut whole = Vec::new();
    // the end of the body is an error of the stream
    while let Ok(part) = stream.blocking_read(4096) {
        whole.extend_from_slice(&part);
    }
    whole
}
