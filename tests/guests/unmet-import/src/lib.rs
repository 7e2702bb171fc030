//! A service that needs something no host provides.

use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    inline: "
        package acme:missing;
        interface thing {
            give: func() -> u32;
        }
        world needs-it {
            import thing;
        }
    ",
});

wasip2::http::proxy::export!(UnmetImport);

struct UnmetImport;

impl wasip2::exports::http::incoming_handler::Guest for UnmetImport {
    fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
        println!("{}", acme::missing::thing::give());
    }
}
