//! A `wasi:http` 0.2 service that calls the functions of another service.

use serde_json::{Value, json};
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wit_bindgen::generate!({
    inline: "
        package wharf:typed-caller;
        world caller {
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
            import acme:accounts/users@0.1.0;
        }
    ",
    path: ["../wit/accounts", "../wit/keyvalue-draft2"],
    generate_all,
});

use acme::accounts::types::{Problem, Role};
use acme::accounts::users;
use wasi::keyvalue::{atomics, store};

wasip2::http::proxy::export!(Caller);

struct Caller;

impl wasip2::exports::http::incoming_handler::Guest for Caller {
    /// `/ANY/find/NAME`; `/ANY/act/HOW`; `/ANY/count/KEY`, which writes before it calls.
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let mut parts = target.trim_start_matches('/').splitn(3, '/').skip(1);
        let (action, argument) = (parts.next(), parts.next().unwrap_or_default());
        let value = match action {
            Some("find") => find(argument),
            Some("act") => json!({ "said": users::act(argument) }),
            Some("count") => {
                let bucket = store::open("counts").expect("the test grants the bucket");
                atomics::increment(&bucket, "caller", 1).expect("the test grants the bucket");
                json!({ "said": users::act(argument) })
            }
            _ => json!("hello"),
        };
        answer(out, &value);
    }
}

fn find(name: &str) -> Value {
    let ages = [("ada", 36), ("bob", 7)].map(|(name, age)| (name.to_owned(), age));
    match users::find(name, &ages) {
        Ok(user) => json!({
            "name": user.name,
            "age": user.age,
            "tags": user.tags,
            "admin": matches!(user.role, Role::Admin),
        }),
        Err(Problem::Empty) => json!({ "problem": "empty" }),
        Err(Problem::Unknown(name)) => json!({ "problem": "unknown", "name": name }),
    }
}

fn answer(out: ResponseOutparam, value: &Value) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the stream is taken once");
    for chunk in value.to_string().as_bytes().chunks(4096) {
        stream
            .blocking_write_and_flush(chunk)
            .expect("the test reads the whole answer");
    }
    drop(stream);
    OutgoingBody::finish(body, None).expect("no length was announced");
}
