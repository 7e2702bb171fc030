//! The admin API as it describes itself, and who may use it.

use std::path::Path;
use std::process::Command;

use http::{HeaderName, Method};
use wharf_tests::{Target, Wharf, test_guest, whole};

use crate::fault;

/// The status that a request with these fields gets.
async fn status(target: &Target, method: Method, path: &str, fields: &[(&str, &str)]) -> u16 {
    let mut request = target.request(method, path, whole(""));
    for (name, value) in fields {
        let name: HeaderName = name.parse().expect("a field's name");
        request
            .headers_mut()
            .insert(name, value.parse().expect("a field's value"));
    }
    target.client.send(request).await.status.as_u16()
}

#[tokio::test]
async fn only_who_has_the_token_sees_and_does_anything() {
    let wharf = Wharf::with("hello", test_guest("hello-one")).await;
    let mut stranger = wharf.admin.clone();
    stranger.token = None;
    let description = wharf.admin.get("/api/openapi.json").await.json();
    for (path, operations) in description["paths"].as_object().expect("the paths") {
        let path = path.replace("{name}", "hello").replace("{id}", "1");
        for method in operations.as_object().expect("operations").keys() {
            let method: Method = method.to_uppercase().parse().expect("a method");
            let told = status(&stranger, method.clone(), &path, &[]).await;
            assert_eq!(told, 401, "{method} {path}");
            let wrong = [("authorization", "Bearer 1234")];
            assert_eq!(status(&stranger, method, &path, &wrong).await, 401);
        }
    }
    for path in [
        "/",
        "/assets/app.css",
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/openapi.json",
    ] {
        assert_eq!(
            status(&stranger, Method::GET, path, &[]).await,
            200,
            "{path}"
        );
    }
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_though_they_have_the_token() {
    let wharf = Wharf::with("hello", test_guest("hello-one")).await;
    let admin = &wharf.admin;
    let own = format!("http://{}", admin.addr);
    assert_eq!(
        status(admin, Method::GET, "/api/services", &[("origin", &own)]).await,
        200
    );
    for origin in ["http://evil.example", "null", "http://localhost:1"] {
        let fields = [("origin", origin)];
        assert_eq!(
            status(admin, Method::GET, "/api/services", &fields).await,
            403,
            "{origin}"
        );
    }
    let rebound = [("host", "evil.example")];
    assert_eq!(
        status(admin, Method::GET, "/api/services", &rebound).await,
        421
    );
}

#[tokio::test]
async fn the_token_is_for_its_owner_alone_and_stays_the_same() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut wharf = Wharf::with("hello", test_guest("hello-one")).await;
    let file = wharf.data().join("admin.token");
    let mode = std::fs::metadata(&file)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = wharf.admin.token.clone();
    wharf.restart().await;
    assert_eq!(wharf.admin.token, before);
}

/// `schemathesis` makes requests of all kinds out of the description, and compares the answers.
#[tokio::test]
async fn the_api_answers_as_it_describes_itself() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/python/bin/st");
    assert!(
        program.is_file(),
        "schemathesis is not installed; tests/run does so"
    );
    let wharf = Wharf::builder()
        .service("hello", test_guest("hello-one"))
        .service("fault", fault())
        .start()
        .await;
    wharf.get("/fault/trap").await.problem(500);
    let token = wharf.admin.token.clone().unwrap_or_default();
    let mut command = Command::new(program);
    command
        .current_dir(wharf.data())
        .arg("run")
        .arg(format!("http://{}/api/openapi.json", wharf.admin.addr))
        .args(["--header", &format!("Authorization: Bearer {token}")])
        // streams don't end
        .args(["--exclude-path-regex", "/stream$|/live$"])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", "1"])
        .args(["--generation-database", "none", "--no-color"]);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("it ends");
    let output = output.expect("it can be run");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(wharf.admin.get("/readyz").await.status, 200);
}
