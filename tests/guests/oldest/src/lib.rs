//! A service against `wasi:http` 0.2.0, the first release of that generation.

use wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wasi::http::proxy::export!(Oldest);

struct Oldest;

impl wasi::exports::http::incoming_handler::Guest for Oldest {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("taken for the first time");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("taken for the first time");
        stream
            .blocking_write_and_flush(b"from 0.2.0\n")
            .expect("the client listens");
        drop(stream);
        OutgoingBody::finish(body, None).expect("nothing was promised but this");
    }
}
