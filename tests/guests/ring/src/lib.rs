//! A service that calls itself.

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wit_bindgen::generate!({
    inline: "
        package acme:ring@0.1.0;
        interface step {
            /// Goes so many steps further, and says how many there were.
            go: func(steps: u32) -> u32;
        }
        world ring {
            import step;
            export step;
        }
    ",
});

use acme::ring::step;

struct Ring;

export!(Ring);
wasip2::http::proxy::export!(Ring);

impl exports::acme::ring::step::Guest for Ring {
    fn go(steps: u32) -> u32 {
        steps.checked_sub(1).map_or(1, |left| step::go(left) + 1)
    }
}

impl wasip2::exports::http::incoming_handler::Guest for Ring {
    /// `/ANY/STEPS`
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let steps = target.rsplit('/').next().and_then(|last| last.parse().ok());
        let gone = step::go(steps.unwrap_or_default());
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("the stream is taken once");
        stream
            .blocking_write_and_flush(gone.to_string().as_bytes())
            .expect("the test reads the answer");
        drop(stream);
        OutgoingBody::finish(body, None).expect("no length was announced");
    }
}
