//! A request's way to a new user.

use accounts_core::exchange;
use accounts_core::name::Name;
use accounts_core::password::Password;
use accounts_core::problem::Problem;
use accounts_core::store::Store;
use accounts_core::users;
use http::header::LOCATION;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

const PATH: &str = "/register";

/// All but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[derive(Serialize)]
struct Created<'a> {
    username: &'a str,
}

/// Answers one request; `now` is in Unix seconds.
pub(crate) async fn handle<B>(
    request: Request<B>,
    store: &impl Store,
    now: u64,
) -> Result<Response<Vec<u8>>, Problem>
where
    B: Body,
    B::Error: std::fmt::Display,
{
    if request.uri().path() != PATH {
        return Err(Problem::not_found());
    }
    if request.method() != Method::POST {
        return Err(Problem::method_not_allowed("POST"));
    }
    let credentials = exchange::credentials(request).await?;
    let name = Name::parse(&credentials.username)?;
    let password = Password::chosen(&credentials.password)?;
    create(store, &name, &password, now)
}

fn create(
    store: &impl Store,
    name: &Name,
    password: &Password,
    now: u64,
) -> Result<Response<Vec<u8>>, Problem> {
    let taken = || Problem::conflict("This username is taken.");
    // What decides is the creation below. This spares most of the refused the hashing.
    if users::exists(store, name)? {
        return Err(taken());
    }
    if !users::create(store, name, password.hash()?, now)? {
        return Err(taken());
    }
    let mut response = exchange::json(
        StatusCode::CREATED,
        &Created {
            username: name.spelling(),
        },
    )?;
    let location = format!("{PATH}/{}", utf8_percent_encode(name.spelling(), RESERVED));
    let location = HeaderValue::try_from(location).map_err(|error| Problem::internal(&error))?;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use accounts_core::memory::MemoryStore;
    use http_body_util::Full;
    use serde_json::{Value, json};

    fn send(store: &MemoryStore, request: http::request::Builder, body: &str) -> Response<Vec<u8>> {
        let request = request.body(Full::new(body.as_bytes())).unwrap();
        pollster::block_on(handle(request, store, 1000)).unwrap_or_else(Problem::into_response)
    }

    fn register(store: &MemoryStore, username: &str, password: &str) -> Response<Vec<u8>> {
        let request = Request::post("/register").header("content-type", "application/json");
        send(
            store,
            request,
            &json!({"username": username, "password": password}).to_string(),
        )
    }

    fn body(response: &Response<Vec<u8>>) -> Value {
        serde_json::from_slice(response.body()).unwrap()
    }

    #[test]
    fn a_new_user_is_created() {
        let response = register(&MemoryStore::default(), "Jürgen", "correct horse");
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["location"], "/register/J%C3%BCrgen");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(body(&response), json!({"username": "Jürgen"}));
    }

    #[test]
    fn a_taken_name_is_refused_in_every_spelling() {
        let store = MemoryStore::default();
        assert_eq!(register(&store, "Straße", "correct horse").status(), 201);
        for name in ["Straße", "STRASSE", "strasse", "ｓｔｒａｓｓｅ"] {
            let response = register(&store, name, "other horse");
            assert_eq!(response.status(), 409, "{name}");
            assert_eq!(
                response.headers()["content-type"],
                "application/problem+json"
            );
        }
        assert_eq!(store.dump().len(), 1);
    }

    #[test]
    fn of_two_at_the_same_time_one_is_created() {
        let store = MemoryStore::default();
        store.before_next_swap(|store| {
            assert_eq!(register(store, "alice", "faster horse").status(), 201);
        });
        assert_eq!(register(&store, "Alice", "slower horse").status(), 409);
        assert_eq!(store.dump().len(), 1);
    }

    #[test]
    fn the_password_is_stored_as_an_argon2id_hash_only() {
        let store = MemoryStore::default();
        register(&store, "alice", "correct horse");
        let (key, value) = store.dump().remove(0);
        let value = String::from_utf8(value).unwrap();
        assert_eq!(key, "user/alice");
        assert!(!value.contains("correct"), "{value}");
        assert!(value.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{value}");
    }

    #[test]
    fn a_wrong_member_is_named() {
        let store = MemoryStore::default();
        for (username, password, field) in [
            ("al", "correct horse", "username"),
            ("alice\n", "correct horse", "username"),
            ("alice", "short", "password"),
            ("alice", "correct\0horse", "password"),
        ] {
            let response = register(&store, username, password);
            assert_eq!(response.status(), 422);
            assert_eq!(body(&response)["field"], field);
        }
        assert!(store.dump().is_empty());
    }

    #[test]
    fn broken_json_is_a_bad_request() {
        let request = Request::post("/register").header("content-type", "application/json");
        assert_eq!(
            send(&MemoryStore::default(), request, "{\"username\":").status(),
            400
        );
    }

    #[test]
    fn other_methods_are_told_what_is_allowed() {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let request = Request::builder().method(method).uri("/register?x=1");
            let response = send(&MemoryStore::default(), request, "");
            assert_eq!(response.status(), 405, "{method}");
            assert_eq!(response.headers()["allow"], "POST");
        }
    }

    #[test]
    fn there_is_nothing_at_other_paths() {
        for path in ["/register/", "/register/alice", "/registers", "/"] {
            for method in ["GET", "POST"] {
                let request = Request::builder().method(method).uri(path);
                assert_eq!(
                    send(&MemoryStore::default(), request, "").status(),
                    404,
                    "{path}"
                );
            }
        }
    }
}
