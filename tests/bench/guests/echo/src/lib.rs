//! Reads an order as JSON and answers it changed, for `wasi:http` 0.2, on the bindings alone.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wasip2::http::proxy::export!(Echo);

struct Echo;

impl Guest for Echo {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (status, kind, body) = match order::answer(&posted(&request)) {
            Ok(json) => (200, "application/json", json),
            Err(error) => (400, "text/plain", error.to_string().into_bytes()),
        };
        let kind = ("content-type".to_owned(), kind.as_bytes().to_vec());
        let fields = Fields::from_list(&[kind]).expect("the field is valid");
        let response = OutgoingResponse::new(fields);
        response.set_status_code(status).expect("it is a status");
        let outgoing = response.body().expect("it was not taken yet");
        ResponseOutparam::set(out, Ok(response));
        let stream = outgoing.write().expect("it was not taken yet");
        // A client that went away takes nothing.
        for part in body.chunks(4096) {
            if stream.blocking_write_and_flush(part).is_err() {
                return;
            }
        }
        drop(stream);
        let _untaken = OutgoingBody::finish(outgoing, None);
    }
}

fn posted(request: &IncomingRequest) -> Vec<u8> {
    let body = request.consume().expect("it was not taken yet");
    let stream = body.stream().expect("it was not taken yet");
    let mut bytes = Vec::new();
    while let Ok(mut part) = stream.blocking_read(64 << 10) {
        if bytes.is_empty() {
            bytes = part;
        } else {
            bytes.append(&mut part);
        }
    }
    bytes
}
