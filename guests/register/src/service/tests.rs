use http_body_util::Full;
use serde_json::{Value, json};

use super::*;

/// Whatever the service `accounts` answers.
fn answered(
    request: http::request::Builder,
    body: &str,
    answer: Result<User, CreateError>,
) -> Result<Response<Vec<u8>>, Problem> {
    let request = request.body(Full::new(body.as_bytes())).unwrap();
    pollster::block_on(handle(request, |username, password| {
        assert_eq!((username, password), ("JÜRGEN", "correct horse"));
        answer
    }))
}

/// A registration that `accounts` answers so.
fn register(answer: Result<User, CreateError>) -> Result<Response<Vec<u8>>, Problem> {
    let body = json!({"username": "JÜRGEN", "password": "correct horse"});
    answered(post(), &body.to_string(), answer)
}

/// One that `accounts` refuses.
fn refuse(error: CreateError) -> Response<Vec<u8>> {
    register(Err(error)).unwrap_err().into_response()
}

/// A request that is no business of `accounts`.
fn alone(request: http::request::Builder, body: &str) -> Response<Vec<u8>> {
    let request = request.body(Full::new(body.as_bytes())).unwrap();
    let answer = handle(request, |_, _| panic!("it should not be asked"));
    pollster::block_on(answer).unwrap_or_else(Problem::into_response)
}

fn post() -> http::request::Builder {
    Request::post("/register").header("content-type", "application/json")
}

fn body(response: &Response<Vec<u8>>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[test]
fn a_new_user_is_told_the_name_and_where_it_is() {
    let response = register(Ok(User {
        username: "Jürgen".to_owned(),
    }))
    .unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["location"], "/register/J%C3%BCrgen");
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(body(&response), json!({"username": "Jürgen"}));
}

#[test]
fn a_taken_name_is_a_conflict() {
    let response = refuse(CreateError::Taken);
    assert_eq!(response.status(), 409);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    assert_eq!(body(&response)["detail"], "This username is taken.");
}

#[test]
fn a_wrong_member_is_named_with_what_is_wrong() {
    use CreateError::{Password, Username};
    let length = |least, most, given| Length { least, most, given };
    for (error, field, detail) in [
        (
            Username(UsernameError::Length(length(3, 32, 2))),
            "username",
            "`username` must have from 3 to 32 characters; it has 2.",
        ),
        (
            Username(UsernameError::ControlCharacter),
            "username",
            "`username` must not contain control characters.",
        ),
        (
            Username(UsernameError::ForbiddenCharacter('/')),
            "username",
            "`username` must not contain U+002F; letters, digits and . _ - + @ are allowed.",
        ),
        (
            Username(UsernameError::Beginning),
            "username",
            "`username` must begin with a letter or a digit.",
        ),
        (
            Password(PasswordError::Length(length(8, 128, 129))),
            "password",
            "`password` must have from 8 to 128 characters; it has 129.",
        ),
        (
            Password(PasswordError::ControlCharacter),
            "password",
            "`password` must not contain control characters.",
        ),
    ] {
        let response = refuse(error);
        assert_eq!(response.status(), 422);
        assert_eq!(body(&response)["field"], field);
        assert_eq!(body(&response)["detail"], detail);
    }
}

#[test]
fn too_many_writers_at_once_can_be_tried_again() {
    let response = refuse(CreateError::Contended);
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
}

#[test]
fn a_failure_of_accounts_is_reported_to_the_operator() {
    let problem = register(Err(CreateError::Failed)).unwrap_err();
    assert!(problem.cause().unwrap().contains("`accounts`"));
    let response = problem.into_response();
    assert_eq!(response.status(), 500);
    assert!(!body(&response)["detail"].to_string().contains("accounts"));
}

#[test]
fn a_body_of_the_wrong_shape_is_refused() {
    assert_eq!(alone(post(), "{\"username\":").status(), 400);
    let response = alone(post(), r#"{"username":"alice"}"#);
    assert_eq!(response.status(), 422);
    assert_eq!(body(&response)["field"], "password");
    assert_eq!(alone(Request::post("/register"), "{}").status(), 415);
}

#[test]
fn other_methods_are_told_what_is_allowed() {
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let request = Request::builder().method(method).uri("/register?x=1");
        let response = alone(request, "");
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(response.headers()["allow"], "POST");
    }
}

#[test]
fn there_is_nothing_at_other_paths() {
    for path in ["/register/", "/register/alice", "/registers", "/"] {
        for method in ["GET", "POST"] {
            let request = Request::builder().method(method).uri(path);
            assert_eq!(alone(request, "").status(), 404, "{path}");
        }
    }
}
