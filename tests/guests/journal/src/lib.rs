//! Logs by `wasi:logging`, and by what it prints.

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wit_bindgen::generate!({
    path: "../../../host/wit/logging",
    world: "imports",
});

use wasi::logging::logging::{Level, log};

struct Journal;

wasip2::http::proxy::export!(Journal);

impl wasip2::exports::http::incoming_handler::Guest for Journal {
    /// One message of each level, and two lines that are printed.
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        log(Level::Trace, "", "a step");
        log(Level::Debug, "", "a value");
        log(Level::Info, "orders", "one more");
        log(Level::Warn, "orders", "rather many\nand a second line");
        log(Level::Error, "orders", "too many \u{1b}[31m");
        log(Level::Critical, "", "no more");
        println!("printed");
        eprintln!("printed as an error");
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        OutgoingBody::finish(body, None).expect("no length was announced");
    }
}
