//! A `wasi:http` 0.3 service that calls the functions of another service, several at once.

use serde_json::{Value, json};
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

wit_bindgen::generate!({
    inline: "
        package wharf:typed-caller-p3;
        world caller {
            import acme:accounts/directory@0.1.0;
        }
    ",
    path: "../wit/accounts",
    generate_all,
});

use acme::accounts::directory;
use acme::accounts::types::Problem;

wasip3::http::service::export!(Caller);

struct Caller;

impl wasip3::exports::http::handler::Guest for Caller {
    /// `/ANY/find/NAME`; `/ANY/meet`, which calls twice at the same time; `/ANY/trap`.
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let mut parts = target.trim_start_matches('/').splitn(3, '/').skip(1);
        let (action, argument) = (parts.next(), parts.next().unwrap_or_default());
        Ok(answer(&match action {
            Some("find") => find(argument).await,
            Some("meet") => {
                let (one, other) = futures::join!(act("meet"), act("meet"));
                json!([one, other])
            }
            Some("trap") => json!(act("trap").await),
            _ => json!("hello"),
        }))
    }
}

async fn act(how: &str) -> String {
    directory::act(how.to_owned()).await
}

async fn find(name: &str) -> Value {
    let ages = vec![("ada".to_owned(), 36)];
    match directory::find(name.to_owned(), ages).await {
        Ok(user) => json!({ "name": user.name, "age": user.age }),
        Err(Problem::Empty) => json!({ "problem": "empty" }),
        Err(Problem::Unknown(name)) => json!({ "problem": "unknown", "name": name }),
    }
}

fn answer(value: &Value) -> Response {
    let bytes = value.to_string().into_bytes();
    let (mut body, reader) = wit_stream::new();
    let (trailers, told) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(reader), told);
    spawn_local(async move {
        body.write_all(bytes).await;
        drop(body);
        // A client that went away is no fault of ours.
        let _gone = trailers.write(Ok(None)).await;
    });
    response
}
