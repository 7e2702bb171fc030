use std::cell::RefCell;
use std::collections::HashMap;

use http_body_util::Full;
use serde_json::json;

use super::*;

const CREDENTIALS: &str = r#"{"username":"ADA","password":"correct horse"}"#;

/// What the other services answer, and what they were asked.
#[derive(Default)]
struct Fake {
    answers: HashMap<&'static str, Response<Bytes>>,
    asked: RefCell<Vec<(String, Request<Bytes>)>>,
}

impl Fake {
    /// Both do what they are asked to.
    fn new() -> Self {
        let begun = json!({"token": "secret", "token_type": "Bearer", "expires_in": 3600});
        Self::default()
            .with("register", 201, &json!({"username": "Ada"}).to_string())
            .field("register", "location", "/register/Ada")
            .with("login", 200, &begun.to_string())
    }

    /// A service answers this.
    fn with(mut self, service: &'static str, status: u16, body: &str) -> Self {
        let mut response = Response::new(Bytes::from(body.to_owned()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        self.answers.insert(service, response);
        self.field(service, "content-type", "application/problem+json")
            .field(service, "x-internal", "yes")
    }

    /// And with this header field.
    fn field(mut self, service: &str, name: &'static str, value: &'static str) -> Self {
        let answer = self.answers.get_mut(service).unwrap();
        let value = HeaderValue::from_static(value);
        answer.headers_mut().insert(name, value);
        self
    }

    fn without(mut self, service: &str) -> Self {
        self.answers.remove(service);
        self
    }

    fn send(&self, request: http::request::Builder, body: &str) -> Response<Vec<u8>> {
        let request = request.body(Full::new(body.as_bytes())).unwrap();
        pollster::block_on(handle(request, self)).unwrap_or_else(Problem::into_response)
    }

    fn sign_up(&self) -> Response<Vec<u8>> {
        self.send(signup(), CREDENTIALS)
    }

    /// What is for the log.
    fn cause(&self) -> String {
        let request = signup().body(Full::new(CREDENTIALS.as_bytes())).unwrap();
        let problem = pollster::block_on(handle(request, self)).unwrap_err();
        problem.cause().unwrap_or_default().to_owned()
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        asked.iter().map(|(service, _)| service.clone()).collect()
    }
}

impl Services for Fake {
    type Body = Full<Bytes>;
    type Error = &'static str;

    async fn call(
        &self,
        service: &str,
        request: Request<Bytes>,
    ) -> Result<Response<Full<Bytes>>, &'static str> {
        self.asked.borrow_mut().push((service.to_owned(), request));
        let answer = self.answers.get(service).ok_or("no way there")?;
        Ok(answer.clone().map(Full::new))
    }
}

fn signup() -> http::request::Builder {
    Request::post("/signup").header("content-type", "application/json")
}

fn body(response: &Response<Vec<u8>>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[test]
fn a_newcomer_is_registered_and_logged_in() {
    let services = Fake::new();
    let response = services.sign_up();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["location"], "/register/Ada");
    assert_eq!(response.headers().get("x-internal"), None);
    let expected = json!({
        "username": "Ada", "token": "secret", "token_type": "Bearer", "expires_in": 3600
    });
    assert_eq!(body(&response), expected);
}

#[test]
fn both_services_get_what_the_client_sent() {
    let services = Fake::new();
    services.sign_up();
    let asked = services.asked.borrow();
    assert_eq!(asked.len(), 2);
    for ((service, request), path) in asked.iter().zip(["/register", "/login"]) {
        assert_eq!(format!("/{service}"), path);
        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri(), path);
        assert_eq!(request.headers()["content-type"], "application/json");
        assert_eq!(request.body(), CREDENTIALS);
    }
}

#[test]
fn a_refusal_to_register_goes_to_the_client_and_nobody_is_logged_in() {
    for status in [400, 408, 409, 413, 415, 422, 429] {
        let refusal = r#"{"status":0,"detail":"Because."}"#;
        let services =
            Fake::new()
                .with("register", status, refusal)
                .field("register", "retry-after", "7");
        let response = services.sign_up();
        assert_eq!(response.status(), status);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        assert_eq!(response.headers()["retry-after"], "7");
        assert_eq!(response.headers().get("x-internal"), None);
        assert_eq!(response.body(), refusal.as_bytes());
        assert_eq!(services.asked(), ["register"]);
    }
}

#[test]
fn a_refusal_to_log_in_goes_to_the_client_and_says_that_there_is_a_user() {
    let services = Fake::new()
        .with("login", 429, r#"{"detail":"Wait.","status":429}"#)
        .field("login", "retry-after", "7");
    let response = services.sign_up();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let expected = json!({"detail": "Wait.", "status": 429, "registered": true});
    assert_eq!(body(&response), expected);

    let response = Fake::new()
        .with("login", 401, "no document")
        .field("login", "www-authenticate", "Bearer")
        .sign_up();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert_eq!(response.body(), b"no document");
}

#[test]
fn a_registration_that_is_not_available_can_be_tried_again() {
    let busy = Fake::new()
        .with("register", 503, "busy")
        .field("register", "retry-after", "7");
    let response = busy.sign_up();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(body(&response)["service"], "register");
    assert_eq!(busy.asked(), ["register"]);
    assert!(busy.cause().contains("`register` answered 503"));

    let missing = Fake::new().without("register");
    let response = missing.sign_up();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers().get("retry-after"), None);
    assert_eq!(body(&response)["service"], "register");
    assert_eq!(body(&response).get("registered"), None);
    let cause = missing.cause();
    assert!(
        cause.contains("`register`") && cause.contains("no way there"),
        "{cause}"
    );
    assert!(!String::from_utf8_lossy(response.body()).contains("no way there"));
}

#[test]
fn a_registration_that_failed_leaves_it_open_whether_there_is_a_user() {
    for (status, answer) in [
        (500, "{}"),
        (504, "{}"),
        // not what `register` answers to this
        (200, r#"{"username":"Ada"}"#),
        (302, "{}"),
        (404, "{}"),
        (405, "{}"),
        (201, "{}"),
        (201, "not JSON"),
    ] {
        let services = Fake::new().with("register", status, answer);
        let response = services.sign_up();
        assert_eq!(response.status(), 502, "{status} {answer}");
        assert_eq!(body(&response)["service"], "register");
        assert_eq!(body(&response).get("registered"), None);
        assert_eq!(services.asked(), ["register"]);
        let cause = services.cause();
        assert!(cause.contains(&status.to_string()), "{cause}");
    }
}

#[test]
fn after_a_registration_a_failed_login_says_that_there_is_a_user() {
    for services in [
        Fake::new().without("login"),
        Fake::new().with("login", 500, "{}"),
        Fake::new()
            .with("login", 503, "{}")
            .field("login", "retry-after", "7"),
        Fake::new().with("login", 404, "{}"),
        Fake::new().with("login", 200, r#"{"token":"secret"}"#),
    ] {
        let response = services.sign_up();
        assert_eq!(response.status(), 502);
        assert_eq!(response.headers().get("retry-after"), None);
        assert_eq!(body(&response)["service"], "login");
        assert_eq!(body(&response)["registered"], true);
        assert!(!services.cause().contains("secret"));
    }
}

#[test]
fn answers_are_read_up_to_a_limit() {
    let long = format!("{:1$}", "{}", exchange::MAX_BODY + 1);
    for status in [201, 409] {
        let services = Fake::new().with("register", status, &long);
        assert_eq!(services.sign_up().status(), 502);
        assert!(services.cause().contains("longer"), "{}", services.cause());
    }
    let services = Fake::new().with("login", 200, &long);
    assert_eq!(body(&services.sign_up())["registered"], true);
}

#[test]
fn what_is_no_json_by_its_header_or_too_long_is_passed_on_to_nobody() {
    let services = Fake::new();
    let text = Request::post("/signup").header("content-type", "text/plain");
    assert_eq!(services.send(text, CREDENTIALS).status(), 415);
    let long = " ".repeat(exchange::MAX_BODY + 1);
    assert_eq!(services.send(signup(), &long).status(), 413);
    assert!(services.asked().is_empty());
}

#[test]
fn other_methods_are_told_what_is_allowed() {
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let request = Request::builder().method(method).uri("/signup?x=1");
        let response = Fake::new().send(request, "");
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(response.headers()["allow"], "POST");
    }
}

#[test]
fn there_is_nothing_at_other_paths() {
    for path in ["/signup/", "/signup/ada", "/signups", "/"] {
        for method in ["GET", "POST"] {
            let request = Request::builder().method(method).uri(path);
            assert_eq!(Fake::new().send(request, "").status(), 404, "{path}");
        }
    }
}
