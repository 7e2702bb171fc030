use std::collections::HashMap;

use accounts_core::memory::MemoryStore;
use http::request::Builder;
use http_body_util::Full;
use serde_json::{Value, json};

use super::*;
use crate::settings::SettingsError;

/// What the service `accounts` says: there is the user Alice, whose password is `correct horse`.
fn verify(username: &str, password: &str) -> Result<User, VerifyError> {
    if name::fold(username) != "alice" || password != "correct horse" {
        return Err(VerifyError::Wrong);
    }
    Ok(User {
        username: "Alice".to_owned(),
    })
}

/// Sessions and settings of one test, and the time.
struct Fixture {
    store: MemoryStore,
    settings: Fixed,
    now: u64,
}

#[derive(Default)]
struct Fixed(HashMap<&'static str, &'static str>);

impl Settings for Fixed {
    fn get(&self, key: &str) -> Result<Option<String>, SettingsError> {
        Ok(self.0.get(key).copied().map(str::to_owned))
    }
}

impl Fixture {
    fn new() -> Self {
        Self {
            store: MemoryStore::default(),
            settings: Fixed::default(),
            now: 1_893_456_000,
        }
    }

    fn send(&self, request: Builder, body: &str) -> Response<Vec<u8>> {
        let request = request.body(Full::new(body.as_bytes())).unwrap();
        let answer = handle(request, verify, &self.store, &self.settings, self.now);
        pollster::block_on(answer).unwrap_or_else(Problem::into_response)
    }

    fn log_in(&self, username: &str, password: &str) -> Response<Vec<u8>> {
        let request = Request::post("/login").header("content-type", "application/json");
        self.send(
            request,
            &json!({"username": username, "password": password}).to_string(),
        )
    }

    /// Alice's login that comes to nothing, with another `verify`.
    fn fail(&self, verify: fn(&str, &str) -> Result<User, VerifyError>) -> Problem {
        let request = Request::post("/login").header("content-type", "application/json");
        let credentials = &br#"{"username":"alice","password":"correct horse"}"#[..];
        let request = request.body(Full::new(credentials)).unwrap();
        let answer = handle(request, verify, &self.store, &self.settings, self.now);
        pollster::block_on(answer).unwrap_err()
    }

    fn token(&self) -> String {
        let response = self.log_in("Alice", "correct horse");
        assert_eq!(response.status(), 200);
        body(&response)["token"].as_str().unwrap().to_owned()
    }

    fn session(&self, method: &str, authorization: &str) -> Response<Vec<u8>> {
        let request = Request::builder().method(method).uri("/login/session");
        self.send(request.header("authorization", authorization), "")
    }
}

fn body(response: &Response<Vec<u8>>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[test]
fn a_login_gives_a_token_and_the_token_a_session() {
    let fixture = Fixture::new();
    let response = fixture.log_in("ALICE", "correct horse");
    assert_eq!(response.status(), 200);
    let begun = body(&response);
    assert_eq!(begun["token_type"], "Bearer");
    assert_eq!(begun["expires_in"], 3600);
    let authorization = format!("bearer {}", begun["token"].as_str().unwrap());
    let response = fixture.session("GET", &authorization);
    assert_eq!(response.status(), 200);
    let expected = json!({"username": "Alice", "expires_at": "2030-01-01T01:00:00Z"});
    assert_eq!(body(&response), expected);
}

#[test]
fn a_wrong_password_an_unknown_name_and_an_impossible_one_get_the_same_answer() {
    let fixture = Fixture::new();
    let answers = [
        ("Alice", "wrong horse"),
        ("nobody", "correct horse"),
        ("\0", "x"),
        ("", ""),
    ]
    .map(|(username, password)| fixture.log_in(username, password));
    for answer in &answers {
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers(), answers[0].headers());
        assert_eq!(answer.body(), answers[0].body());
        assert!(answer.headers().contains_key("www-authenticate"));
    }
}

#[test]
fn a_session_is_over_when_its_time_is() {
    let mut fixture = Fixture::new();
    fixture.settings.0.insert("token_ttl_seconds", "60");
    let authorization = format!("Bearer {}", fixture.token());
    fixture.now += 59;
    assert_eq!(fixture.session("GET", &authorization).status(), 200);
    fixture.now += 1;
    let response = fixture.session("GET", &authorization);
    assert_eq!(response.status(), 401);
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("invalid_token"), "{challenge}");
}

#[test]
fn a_session_can_be_ended_once() {
    let fixture = Fixture::new();
    let authorization = format!("Bearer {}", fixture.token());
    let response = fixture.session("DELETE", &authorization);
    assert_eq!(response.status(), 204);
    assert!(response.body().is_empty());
    assert_eq!(fixture.session("GET", &authorization).status(), 401);
    assert_eq!(fixture.session("DELETE", &authorization).status(), 401);
}

#[test]
fn ending_one_session_leaves_the_users_others() {
    let fixture = Fixture::new();
    let (one, other) = (fixture.token(), fixture.token());
    assert_eq!(
        fixture.session("DELETE", &format!("Bearer {one}")).status(),
        204
    );
    assert_eq!(
        fixture.session("GET", &format!("Bearer {other}")).status(),
        200
    );
}

#[test]
fn whoever_presents_no_token_is_told_to() {
    let fixture = Fixture::new();
    let token = fixture.token();
    let none = fixture.send(Request::get("/login/session"), "");
    let basic = fixture.session("GET", "Basic YWxpY2U6eA==");
    let two = Request::get("/login/session")
        .header("authorization", format!("Bearer {token}"))
        .header("authorization", format!("Bearer {token}"));
    for response in [none, basic, fixture.send(two, "")] {
        assert_eq!(response.status(), 401);
        assert_eq!(
            response.headers()["www-authenticate"],
            "Bearer realm=\"accounts\""
        );
    }
}

#[test]
fn after_too_many_failures_the_right_password_has_to_wait_too() {
    let mut fixture = Fixture::new();
    fixture
        .settings
        .0
        .extend([("max_failures", "2"), ("failure_window_seconds", "300")]);
    for username in ["Alice", "alice"] {
        assert_eq!(fixture.log_in(username, "wrong horse").status(), 401);
    }
    fixture.now += 100;
    let response = fixture.log_in("ALICE", "correct horse");
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "200");
    fixture.now += 200;
    assert_eq!(fixture.log_in("Alice", "correct horse").status(), 200);
}

#[test]
fn an_unknown_name_is_throttled_like_a_known_one() {
    let mut fixture = Fixture::new();
    fixture.settings.0.insert("max_failures", "2");
    let answers = |username: &str| {
        [(); 3].map(|()| {
            let answer = fixture.log_in(username, "wrong horse");
            (
                answer.status(),
                answer.headers().clone(),
                answer.into_body(),
            )
        })
    };
    let known = answers("Alice");
    assert_eq!(known[2].0, 429);
    assert_eq!(answers("nobody"), known);
    assert_eq!(answers(&"\0".repeat(1000)), known);
}

#[test]
fn a_success_forgets_the_failures_before_it() {
    let mut fixture = Fixture::new();
    fixture.settings.0.insert("max_failures", "2");
    for _ in 0..3 {
        assert_eq!(fixture.log_in("Alice", "wrong horse").status(), 401);
        assert_eq!(fixture.log_in("Alice", "correct horse").status(), 200);
    }
}

#[test]
fn a_body_of_the_wrong_shape_is_refused() {
    let fixture = Fixture::new();
    let post = || Request::post("/login").header("content-type", "application/json");
    assert_eq!(fixture.send(post(), "{").status(), 400);
    let response = fixture.send(post(), r#"{"username":"Alice","password":7}"#);
    assert_eq!(response.status(), 422);
    assert_eq!(body(&response)["field"], "password");
    assert_eq!(fixture.send(Request::post("/login"), "{}").status(), 415);
}

#[test]
fn other_methods_are_told_what_is_allowed() {
    let fixture = Fixture::new();
    for (path, allow) in [("/login", "POST"), ("/login/session", "GET, HEAD, DELETE")] {
        for method in ["PUT", "PATCH", "OPTIONS"] {
            let response = fixture.send(Request::builder().method(method).uri(path), "");
            assert_eq!(response.status(), 405, "{method} {path}");
            assert_eq!(response.headers()["allow"], allow);
        }
    }
}

#[test]
fn there_is_nothing_at_other_paths() {
    let fixture = Fixture::new();
    for path in ["/login/", "/login/session/x", "/login/sessions", "/"] {
        assert_eq!(fixture.send(Request::get(path), "").status(), 404, "{path}");
    }
}

#[test]
fn a_setting_that_is_no_number_is_reported_to_the_operator() {
    let mut fixture = Fixture::new();
    fixture.settings.0.insert("max_failures", "many");
    let problem = fixture.fail(verify);
    assert!(
        problem.cause().unwrap().contains("max_failures"),
        "{problem:?}"
    );
    assert_eq!(problem.into_response().status(), 500);
}

#[test]
fn a_failure_of_accounts_is_no_failed_login() {
    let fixture = Fixture::new();
    let problem = fixture.fail(|_, _| Err(VerifyError::Failed));
    assert!(problem.cause().unwrap().contains("`accounts`"));
    assert_eq!(problem.into_response().status(), 500);
    assert_eq!(fixture.store.dump(), []);
}

#[test]
fn who_has_to_wait_is_not_verified() {
    let mut fixture = Fixture::new();
    fixture.settings.0.insert("max_failures", "1");
    assert_eq!(fixture.log_in("Alice", "wrong horse").status(), 401);
    let problem = fixture.fail(|_, _| panic!("it should not be called"));
    assert_eq!(problem.into_response().status(), 429);
}
