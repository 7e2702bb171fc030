//! The main job: `register` and `login`, and `accounts` that they both call, as they come.

use http::{HeaderValue, Method, header};
use serde_json::{Value, json};
use wharf_tests::build::root;
use wharf_tests::{Builder, Load, Reply, Tally, Target, Wharf, guest, wait_for, wait_until, whole};

/// All three with the manifests that they come with.
pub(crate) fn shipped() -> Builder {
    let mut builder = Wharf::builder();
    for name in ["accounts", "register", "login"] {
        let manifest = root().join(format!("guests/{name}/{name}.toml"));
        let manifest = std::fs::read_to_string(manifest).expect("every guest has a manifest");
        builder = builder.service(name, guest(name)).manifest(name, &manifest);
    }
    builder
}

async fn as_shipped() -> Wharf {
    shipped().start().await
}

/// All three, patient enough for a slow machine, with these settings for `login`.
async fn patient(settings: &str) -> Wharf {
    let manifest = |grants: &str| {
        format!(
            "
            [instances]
            count = 4
            [limits]
            timeout = '100s'
            queue_wait = '100s'
            queue = 1000
            [grants]
            {grants}
            "
        )
    };
    let login = "keyvalue = ['sessions']\nservices = ['accounts']\n[grants.config]";
    Wharf::builder()
        .service("accounts", guest("accounts"))
        .manifest("accounts", &manifest("keyvalue = ['accounts']"))
        .service("register", guest("register"))
        .manifest("register", &manifest("services = ['accounts']"))
        .service("login", guest("login"))
        .manifest("login", &manifest(&format!("{login}\n{settings}")))
        .start()
        .await
}

fn credentials(username: &str, password: &str) -> Value {
    json!({ "username": username, "password": password })
}

async fn register(wharf: &Wharf, username: &str, password: &str) -> Reply {
    wharf
        .front
        .post_json("/register", &credentials(username, password))
        .await
}

async fn login(wharf: &Wharf, username: &str, password: &str) -> Reply {
    wharf
        .front
        .post_json("/login", &credentials(username, password))
        .await
}

/// `method /login/session` with a bearer token.
async fn session(wharf: &Wharf, method: Method, token: &str) -> Reply {
    let mut request = wharf.front.request(method, "/login/session", whole(""));
    let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("plain text");
    request.headers_mut().insert(header::AUTHORIZATION, value);
    wharf.front.client.send(request).await
}

/// Asserts that a guest refused with a problem document (RFC 9457), and gives it back.
fn refused(reply: &Reply, status: u16) -> Value {
    assert_eq!(reply.status, status, "{reply:?}");
    assert_eq!(
        reply.header("content-type"),
        "application/problem+json",
        "{reply:?}"
    );
    let problem = reply.json();
    assert!(problem["title"].is_string(), "{problem}");
    problem
}

const PASSWORD: &str = "correct horse battery staple";

#[tokio::test]
async fn a_newcomer_registers_logs_in_looks_around_and_logs_out() {
    let wharf = as_shipped().await;
    let registered = register(&wharf, "ada", PASSWORD).await;
    assert_eq!(registered.status, 201, "{registered:?}");
    assert_eq!(registered.json(), json!({ "username": "ada" }));
    assert!(
        registered.header("location").contains("ada"),
        "{registered:?}"
    );

    let logged_in = login(&wharf, "ada", PASSWORD).await;
    assert_eq!(logged_in.status, 200, "{logged_in:?}");
    let answer = logged_in.json();
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 3600);
    let token = answer["token"].as_str().expect("a token");
    assert!(token.len() >= 43, "256 bits: {}", token.len());

    let who = session(&wharf, Method::GET, token).await;
    assert_eq!(who.status, 200, "{who:?}");
    assert!(who.text().contains("ada"), "{who:?}");
    assert_eq!(session(&wharf, Method::DELETE, token).await.status, 204);
    assert_eq!(session(&wharf, Method::GET, token).await.status, 401);
    assert_eq!(session(&wharf, Method::GET, "invented").await.status, 401);
}

#[tokio::test]
async fn of_two_hundred_registrations_of_one_name_exactly_one_succeeds() {
    let wharf = patient("").await;
    let requests = (0..200).map(|number| {
        let front = wharf.front.clone();
        async move {
            // Two spellings of one name are one name.
            let name = if number % 2 == 0 {
                "popular"
            } else {
                "PoPular"
            };
            let body = credentials(name, &format!("password number {number}"));
            front.try_post_json("/register", &body).await
        }
    });
    let tally = Tally::of(futures::future::join_all(requests).await);
    assert!(tally.errors.is_empty(), "{tally:?}");
    assert_eq!((tally.count(201), tally.count(409)), (1, 199), "{tally:?}");
}

#[tokio::test]
async fn a_taken_name_is_refused_however_it_is_spelled() {
    let wharf = patient("").await;
    assert_eq!(register(&wharf, "Ada", PASSWORD).await.status, 201);
    for spelling in ["Ada", "ada", "ADA"] {
        refused(&register(&wharf, spelling, PASSWORD).await, 409);
    }
    assert_eq!(login(&wharf, "aDA", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_look_the_same() {
    let wharf = patient("").await;
    register(&wharf, "ada", PASSWORD).await;
    let wrong = login(&wharf, "ada", "not the password").await;
    let unknown = login(&wharf, "nobody", "not the password").await;
    refused(&wrong, 401);
    assert_eq!((wrong.status, wrong.body), (unknown.status, unknown.body));
}

#[tokio::test]
async fn a_bad_name_or_password_is_refused_and_the_field_named() {
    let wharf = patient("").await;
    let long = "x".repeat(5000);
    for (username, password, field) in [
        ("", PASSWORD, "username"),
        (long.as_str(), PASSWORD, "username"),
        ("tab\there", PASSWORD, "username"),
        ("ada", "", "password"),
        ("ada", "short", "password"),
        ("ada", long.as_str(), "password"),
    ] {
        let reply = register(&wharf, username, password).await;
        let problem = refused(&reply, 422);
        assert!(
            problem.to_string().contains(field),
            "it should name {field}: {problem}"
        );
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_get_the_status_that_says_so() {
    let wharf = patient("").await;
    let json = HeaderValue::from_static("application/json");
    let text = HeaderValue::from_static("text/plain");
    for path in ["/register", "/login"] {
        let send = async |method, media_type: &HeaderValue, body: Vec<u8>| {
            // A connection of its own each time: a refusal may end one.
            let front = Target::new(wharf.front.addr);
            let mut request = front.request(method, path, whole(body));
            request
                .headers_mut()
                .insert(header::CONTENT_TYPE, media_type.clone());
            front.client.send(request).await
        };
        refused(
            &send(Method::POST, &json, b"{ not json".to_vec()).await,
            400,
        );
        refused(&send(Method::POST, &text, b"hello".to_vec()).await, 415);
        refused(&send(Method::POST, &json, vec![b' '; 1 << 20]).await, 413);
        let wrong_method = send(Method::PUT, &json, b"{}".to_vec()).await;
        refused(&wrong_method, 405);
        assert!(
            wrong_method.header("allow").contains("POST"),
            "{wrong_method:?}"
        );
    }
}

#[tokio::test]
async fn repeated_failures_for_one_name_make_it_wait() {
    let wharf = patient("max_failures = '3'\nfailure_window_seconds = '3600'").await;
    register(&wharf, "ada", PASSWORD).await;
    register(&wharf, "bob", PASSWORD).await;
    for _ in 0..3 {
        refused(&login(&wharf, "ada", "wrong password").await, 401);
    }
    let blocked = login(&wharf, "ada", "wrong password").await;
    refused(&blocked, 429);
    assert!(blocked.retry_after() >= 1);
    let spelled = login(&wharf, "ADA", PASSWORD).await;
    assert_eq!(
        spelled.status, 429,
        "neither the spelling nor the right password helps"
    );
    assert_eq!(
        login(&wharf, "bob", PASSWORD).await.status,
        200,
        "others can log in"
    );
}

#[tokio::test]
async fn a_token_ends_when_it_said_it_would() {
    let wharf = patient("token_ttl_seconds = '2'").await;
    register(&wharf, "ada", PASSWORD).await;
    let answer = login(&wharf, "ada", PASSWORD).await.json();
    assert_eq!(answer["expires_in"], 2);
    let token = answer["token"].as_str().expect("a token").to_owned();
    wait_until("the token had expired", || async {
        session(&wharf, Method::GET, &token).await.status == 401
    })
    .await;
}

#[tokio::test]
async fn neither_passwords_nor_tokens_are_kept_or_logged() {
    let mut wharf = patient("").await;
    register(&wharf, "ada", PASSWORD).await;
    let answer = login(&wharf, "ada", PASSWORD).await.json();
    let token = answer["token"].as_str().expect("a token").to_owned();
    assert_eq!(session(&wharf, Method::GET, &token).await.status, 200);
    wharf.terminate();
    wharf.wait_exit().await;

    let mut places = vec![("the log".to_owned(), wharf.log().join("\n").into_bytes())];
    for entry in std::fs::read_dir(wharf.data()).expect("there is a data directory") {
        let path = entry.expect("it can be listed").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("it can be read");
            places.push((path.display().to_string(), bytes));
        }
    }
    assert!(places.len() > 1, "something was kept");
    let contains = |bytes: &[u8], text: &str| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    for (place, bytes) in &places {
        assert!(!contains(bytes, PASSWORD), "{place} has the password");
        assert!(!contains(bytes, &token), "{place} has the token");
    }
    assert!(
        places
            .iter()
            .any(|(_, bytes)| contains(bytes, "$argon2id$")),
        "PHC form is kept"
    );
}

#[tokio::test]
async fn accounts_survive_a_restart() {
    let mut wharf = patient("").await;
    register(&wharf, "ada", PASSWORD).await;
    let answer = login(&wharf, "ada", PASSWORD).await.json();
    let token = answer["token"].as_str().expect("a token").to_owned();
    wharf.kill9();
    wharf.restart().await;
    assert_eq!(session(&wharf, Method::GET, &token).await.status, 200);
    assert_eq!(login(&wharf, "ada", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn the_users_are_the_business_of_accounts_alone() {
    let wharf = patient("").await;
    assert_eq!(wharf.service("accounts").await["routes"], json!([]));
    wharf.get("/accounts").await.problem(404);
    assert_eq!(register(&wharf, "ada", PASSWORD).await.status, 201);
    assert_eq!(wharf.count("accounts", "requests").await, 1);
    let answer = login(&wharf, "ada", PASSWORD).await.json();
    assert_eq!(wharf.count("accounts", "requests").await, 2);
    // a session is not
    let token = answer["token"].as_str().expect("a token");
    assert_eq!(session(&wharf, Method::GET, token).await.status, 200);
    assert_eq!(wharf.count("accounts", "requests").await, 2);
}

#[tokio::test]
async fn without_accounts_nobody_registers_but_sessions_go_on() {
    let wharf = patient("").await;
    assert_eq!(register(&wharf, "ada", PASSWORD).await.status, 201);
    let answer = login(&wharf, "ada", PASSWORD).await.json();
    let token = answer["token"].as_str().expect("a token");
    wharf.remove("accounts.wasm");
    wharf
        .wait_log(&["its calls will fail", "accounts", "register"])
        .await;
    for reply in [
        register(&wharf, "bob", PASSWORD).await,
        login(&wharf, "ada", PASSWORD).await,
    ] {
        refused(&reply, 503);
        assert_eq!(reply.retry_after(), 1);
        assert!(!reply.text().contains(PASSWORD), "{reply:?}");
    }
    let exit = &wharf.exits_by("register", "unavailable").await[0];
    assert!(exit["message"].to_string().contains("accounts"), "{exit}");
    assert_eq!(session(&wharf, Method::GET, token).await.status, 200);

    wharf.deploy("accounts", guest("accounts"));
    wharf.wait_deployed("accounts", guest("accounts")).await;
    wait_until("newcomers could register again", || async {
        register(&wharf, "bob", PASSWORD).await.status == 201
    })
    .await;
    assert_eq!(login(&wharf, "ada", PASSWORD).await.status, 200);
    refused(&register(&wharf, "ada", PASSWORD).await, 409);
}

#[tokio::test]
async fn whoever_logs_in_does_not_notice_that_an_instance_of_accounts_is_killed() {
    let wharf = patient("").await;
    assert_eq!(register(&wharf, "ada", PASSWORD).await.status, 201);
    let front = wharf.front.clone();
    let load = Load::start(4, move || {
        let front = front.clone();
        async move {
            let body = credentials("ada", PASSWORD);
            front.try_post_json("/login", &body).await
        }
    });
    for kills in 1..=8 {
        let id = busy(&wharf).await;
        let target = format!("/api/services/accounts/instances/{id}");
        let request = wharf.admin.request(Method::DELETE, &target, whole(""));
        let killed = wharf.admin.client.send(request).await.status;
        assert_eq!(killed, 204);
        wharf.wait_exits("accounts", "killed", kills).await;
        load.more(4).await;
    }
    load.stop().await.only(200);
    assert!(wharf.count("accounts", "replays").await >= 1);
    assert_eq!(wharf.count("login", "exits").await, 0);
}

/// An instance of `accounts` that is working.
async fn busy(wharf: &Wharf) -> String {
    wait_for("an instance of accounts had something to do", || async {
        let service = wharf.service("accounts").await;
        let mut all = service["instances"].as_array()?.iter();
        let busy = all.find(|one| one["in_flight"] != 0)?;
        Some(busy["id"].as_str()?.to_owned())
    })
    .await
}

#[tokio::test]
async fn why_accounts_failed_is_for_the_log_only() {
    let wharf = patient("").await;
    wharf.rename_in("accounts.toml", b"[grants]\nkeyvalue = []");
    wharf.wait_count("accounts", "deploys", 2).await;
    for reply in [
        register(&wharf, "ada", PASSWORD).await,
        login(&wharf, "ada", PASSWORD).await,
    ] {
        let problem = refused(&reply, 500);
        assert!(!problem.to_string().contains("bucket"), "{problem}");
    }
    wharf
        .wait_log(&["access to bucket `accounts` is denied", "accounts"])
        .await;
    wharf
        .wait_log(&["the service `accounts` failed", "register"])
        .await;
    for service in ["accounts", "register", "login"] {
        let exits = wharf.exits(service).await;
        let failed = exits.iter().find(|exit| exit["reason"] != "retired");
        assert_eq!(failed, None, "{service}");
    }
}

/// With everything that can be logged, logged.
#[tokio::test]
async fn no_password_and_no_token_is_ever_told_to_anybody() {
    let config = "[log]\nlevel = 'debug'\n[access_log]\noutput = 'stderr'";
    let wharf = shipped().config(config).start().await;
    let (password, wrong) = ("tell-it-to-nobody-1", "tell-it-to-nobody-2");
    assert_eq!(register(&wharf, "ada", password).await.status, 201);
    assert_eq!(login(&wharf, "ada", wrong).await.status, 401);
    let token = login(&wharf, "ada", password).await.json()["token"].clone();
    let token = token.as_str().expect("there is a token").to_owned();
    session(&wharf, Method::GET, &token).await;
    // a query is a client's mistake, and as secret as a body
    wharf.get(&format!("/login/session?token={token}")).await;
    for name in ["accounts", "register", "login"] {
        for instance in wharf.service(name).await["instances"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let id = instance["id"].as_str().unwrap_or_default();
            let target = format!("/api/services/{name}/instances/{id}");
            let request = wharf.admin.request(Method::DELETE, &target, whole(""));
            wharf.admin.client.send(request).await;
        }
    }
    wharf
        .wait_log(&["\"GET /login/session HTTP/1.1\" 200", "service=login"])
        .await;
    let mut told = wharf.log().join("\n");
    for path in [
        "/api/exits",
        "/api/events",
        "/api/services",
        "/api/services/login/logs",
        "/api/services/login/manifest",
        "/api/config",
        "/metrics",
    ] {
        told += &wharf.admin.get(path).await.text();
    }
    assert!(
        told.contains("POST /login") || told.contains("/login"),
        "something is told"
    );
    for secret in [password, wrong, &token] {
        let at = told.find(secret);
        let around = at.map(|at| &told[at.saturating_sub(200)..at]);
        assert_eq!(around, None, "a secret was told after this");
    }
}
