//! `signup`, which calls `register` and `login` by their names.

use http::{HeaderValue, Method, header};
use serde_json::{Value, json};
use wharf_tests::build::root;
use wharf_tests::{Builder, Reply, Wharf, guest, wait_until, whole};

const PASSWORD: &str = "correct horse battery staple";

/// These services with the manifests that they come with.
fn shipped(names: &[&str]) -> Builder {
    names.iter().fold(Wharf::builder(), |builder, name| {
        let manifest = root().join(format!("guests/{name}/{name}.toml"));
        let manifest = std::fs::read_to_string(manifest).expect("every guest has a manifest");
        builder.service(name, guest(name)).manifest(name, &manifest)
    })
}

async fn all() -> Wharf {
    shipped(&["accounts", "register", "login", "signup"])
        .start()
        .await
}

async fn post(wharf: &Wharf, path: &str, username: &str, password: &str) -> Reply {
    let body = json!({ "username": username, "password": password });
    wharf.front.post_json(path, &body).await
}

async fn sign_up(wharf: &Wharf, username: &str) -> Reply {
    post(wharf, "/signup", username, PASSWORD).await
}

/// Asserts that this is a guest's problem document (RFC 9457), and gives it back.
fn problem(reply: &Reply, status: u16) -> Value {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(
        reply.header("content-type"),
        "application/problem+json",
        "{reply:?}"
    );
    let problem = reply.json();
    assert_eq!(problem["status"], status, "{problem}");
    problem
}

/// The requests that a service has had.
async fn requests(wharf: &Wharf, service: &str) -> u64 {
    wharf.count(service, "requests").await
}

#[tokio::test]
async fn a_newcomer_signs_up_with_one_request() {
    let wharf = all().await;
    let reply = sign_up(&wharf, "Ada").await;
    assert_eq!(reply.status, 201, "{reply:?}");
    assert_eq!(reply.header("location"), "/register/Ada");
    assert_eq!(reply.header("cache-control"), "no-store");
    let answer = reply.json();
    assert_eq!(answer["username"], "Ada");
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 3600);

    let token = answer["token"].as_str().expect("a token");
    let mut request = wharf
        .front
        .request(Method::GET, "/login/session", whole(""));
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).expect("plain text");
    request.headers_mut().insert(header::AUTHORIZATION, bearer);
    let session = wharf.front.client.send(request).await;
    assert_eq!(session.status, 200, "{session:?}");
    assert_eq!(session.json()["username"], "Ada");
    assert_eq!(post(&wharf, "/login", "ada", PASSWORD).await.status, 200);
    assert!(
        wharf.log_lines(&[PASSWORD]).is_empty() && wharf.log_lines(&[token]).is_empty(),
        "secrets are not logged"
    );
}

#[tokio::test]
async fn refusals_of_register_reach_the_client_as_they_are() {
    let wharf = all().await;
    assert_eq!(sign_up(&wharf, "ada").await.status, 201);
    for (username, password, status, field) in [
        ("ADA", PASSWORD, 409, None),
        ("", PASSWORD, 422, Some("username")),
        ("tab\there", PASSWORD, 422, Some("username")),
        ("bob", "short", 422, Some("password")),
    ] {
        let refused = post(&wharf, "/signup", username, password).await;
        assert_eq!(
            problem(&refused, status).get("field"),
            field.map(Value::from).as_ref()
        );
        let itself = post(&wharf, "/register", username, password).await;
        assert_eq!(refused.body, itself.body);
        assert_eq!(refused.status, itself.status);
    }
    assert_eq!(
        requests(&wharf, "login").await,
        1,
        "the refused aren't logged in"
    );
}

#[tokio::test]
async fn requests_that_make_no_sense_are_answered_as_register_answers_them() {
    let wharf = all().await;
    let json = "application/json";
    for (method, below, media_type, body, status) in [
        (Method::POST, "", json, "{ not json".to_owned(), 400),
        (Method::POST, "", json, "[]".to_owned(), 422),
        (Method::POST, "", "text/plain", "hello".to_owned(), 415),
        (Method::POST, "", json, " ".repeat(1 << 20), 413),
        (Method::PUT, "", json, "{}".to_owned(), 405),
        (Method::GET, "", json, String::new(), 405),
        (Method::POST, "/ada", json, "{}".to_owned(), 404),
    ] {
        let send = async |path: &str| {
            // A connection of its own each time: a refusal may end one.
            let front = wharf.front.fresh();
            let target = format!("{path}{below}");
            let mut request = front.request(method.clone(), &target, whole(body.clone()));
            let media_type = HeaderValue::from_static(media_type);
            request
                .headers_mut()
                .insert(header::CONTENT_TYPE, media_type);
            front.client.send(request).await
        };
        let (refused, itself) = (send("/signup").await, send("/register").await);
        problem(&refused, status);
        assert_eq!(refused.body, itself.body);
        assert_eq!(refused.header("allow"), itself.header("allow"));
    }
}

#[tokio::test]
async fn who_may_not_log_in_yet_is_told_to_be_registered() {
    let wharf = shipped(&["accounts", "register", "login", "signup"])
        .manifest(
            "login",
            "[grants]\nkeyvalue = ['sessions']\nservices = ['accounts']\n[grants.config]\nmax_failures = '1'\nfailure_window_seconds = '3600'",
        )
        .start()
        .await;
    let failed = post(&wharf, "/login", "ada", "a guess of somebody's").await;
    assert_eq!(failed.status, 401, "{failed:?}");
    let reply = sign_up(&wharf, "ada").await;
    assert_eq!(problem(&reply, 429)["registered"], true);
    assert!(reply.retry_after() >= 1);
    problem(&sign_up(&wharf, "ada").await, 409);
}

#[tokio::test]
async fn without_a_grant_the_log_names_it() {
    let wharf = shipped(&["accounts", "register", "login", "signup"])
        .manifest("signup", "")
        .start()
        .await;
    let refused = problem(&sign_up(&wharf, "ada").await, 503);
    assert_eq!(refused["service"], "register");
    let grant = "grants.services = [\"register\"]";
    wharf.wait_log(&[grant, "signup.toml"]).await;
    assert_eq!(requests(&wharf, "register").await, 0);

    wharf.rename_in("signup.toml", b"[grants]\nservices = ['register']");
    wharf.wait_count("signup", "deploys", 2).await;
    let refused = problem(&sign_up(&wharf, "ada").await, 502);
    assert_eq!(refused["service"], "login");
    assert_eq!(refused["registered"], true);
    let grant = "grants.services = [\"login\"]";
    wharf.wait_log(&[grant, "signup.toml"]).await;
}

#[tokio::test]
async fn without_register_nobody_is_registered_and_it_is_said_to_be_unavailable() {
    let wharf = shipped(&["accounts", "login", "signup"]).start().await;
    let refused = problem(&sign_up(&wharf, "ada").await, 503);
    assert_eq!(refused["service"], "register");
    assert_eq!(refused.get("registered"), None);
    assert_eq!(requests(&wharf, "login").await, 0);

    wharf.rename_in("register.toml", b"[grants]\nservices = ['accounts']");
    wharf.deploy("register", guest("register"));
    wharf.wait_deployed("register", guest("register")).await;
    wait_until("newcomers could sign up", || async {
        sign_up(&wharf, "ada").await.status == 201
    })
    .await;
}

#[tokio::test]
async fn without_login_the_newcomer_is_told_to_be_registered() {
    let wharf = all().await;
    wharf.remove("login.wasm");
    wait_until("nothing answered at /login", || async {
        wharf.get("/login").await.status == 404
    })
    .await;
    let reply = sign_up(&wharf, "ada").await;
    let failed = problem(&reply, 502);
    assert_eq!(failed["service"], "login");
    assert_eq!(failed["registered"], true);
    assert_eq!(reply.header("retry-after"), "");
    wharf.wait_log(&["`login`", "signup"]).await;

    wharf.deploy("login", guest("login"));
    wharf.wait_deployed("login", guest("login")).await;
    assert_eq!(post(&wharf, "/login", "ada", PASSWORD).await.status, 200);
}
