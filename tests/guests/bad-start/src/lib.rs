//! A service that goes wrong while it is being instantiated, in the way that its environment names
//! in `BAD_START`: `trap` (also without the variable), `spin`, or `trap-if-broken`, which traps
//! only while the key `broken` exists in the bucket `starts`. Once started, it answers; asked for a
//! path that ends in `/trap`, it traps.

use std::io::Write as _;

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wit_bindgen::generate!({
    inline: "
        package wharf:bad-start;
        world guest {
            import wasi:keyvalue/store@0.2.0-draft2;
        }
    ",
    path: "../wit/keyvalue-draft2",
    generate_all,
});

wasip2::http::proxy::export!(BadStart);

struct BadStart;

impl wasip2::exports::http::incoming_handler::Guest for BadStart {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        if request
            .path_with_query()
            .is_some_and(|path| path.ends_with("/trap"))
        {
            std::process::abort();
        }
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("taken for the first time");
        ResponseOutparam::set(out, Ok(response));
        let mut stream = body.write().expect("taken for the first time");
        stream.write_all(b"started\n").expect("the client listens");
        stream.blocking_flush().expect("the client listens");
        drop(stream);
        OutgoingBody::finish(body, None).expect("nothing was promised but this");
    }
}

/// Runs as part of instantiation, since componentizing makes a module's `_initialize` its start.
// SAFETY: no other function of this module has that name, and componentizing expects it to have
// this signature.
#[unsafe(export_name = "_initialize")]
pub extern "C" fn initialize() {
    match std::env::var("BAD_START").as_deref() {
        Ok("spin") => loop {
            std::hint::black_box(());
        },
        Ok("trap-if-broken") => {
            let bucket = wasi::keyvalue::store::open("starts").expect("the test grants the bucket");
            if bucket.exists("broken").expect("the test grants the bucket") {
                std::process::abort();
            }
        }
        _ => std::process::abort(),
    }
}
