//! `wharf new`: a service to begin with, which builds and runs as it is.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;
use tempfile::TempDir;
use wharf_tests::build::{root, wharf_binary};
use wharf_tests::wharf::Process;
use wharf_tests::{Target, wait_until};

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is room for temporary files")
}

fn new(name: &str, folder: &Path) -> Output {
    Command::new(wharf_binary())
        .args(["new", name])
        .current_dir(folder)
        .output()
        .expect("the binary that was just built runs")
}

/// Makes a service, with versions of its dependencies that are here already, so that nothing has to be
/// looked up.
fn made(name: &str, folder: &Path) {
    let output = new(name, folder);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).expect("it writes UTF-8");
    assert!(
        said.contains(&format!("  cd {name}\n  wharf dev\n")),
        "{said}"
    );
    let lock = root().join("guests/Cargo.lock");
    fs::copy(lock, folder.join(name).join("Cargo.lock")).expect("the guests have a lock file");
}

fn cargo(arguments: &[&str], folder: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo runs, since it runs this test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {said}");
    assert!(!said.contains("warning"), "cargo {arguments:?}: {said}");
}

#[tokio::test]
async fn what_it_makes_passes_its_tests_and_is_built_and_served_by_dev_as_it_is() {
    let folder = folder();
    made("my-shop", folder.path());
    let service = folder.path().join("my-shop");
    cargo(&["fmt", "--check"], &service);
    cargo(&["test"], &service);
    cargo(
        &["build", "--release", "--target", "wasm32-wasip2"],
        &service,
    );
    let mut process = Process::start(
        Command::new(wharf_binary())
            .args(["dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .current_dir(&service),
    );
    let front = Target::new(process.announced("listening on http://").await);
    wait_until("it was served", || async {
        front.get("/my-shop").await.status == 200
    })
    .await;
    let reply = front.get("/my-shop").await;
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.json(), json!({ "count": 0 }));
    for count in 1..=2 {
        let reply = front.post("/my-shop", "").await;
        assert_eq!(reply.json(), json!({ "count": count }));
    }
    let reply = front.get("/my-shop").await;
    assert_eq!(reply.json(), json!({ "count": 2 }));
    assert_eq!(front.get("/my-shop/elsewhere").await.status, 404);
    wait_until("it showed how to call it", || async {
        let said = process.printed();
        ["curl -i http", "curl -i -X POST http"]
            .iter()
            .all(|call| said.iter().any(|line| line.contains(call)))
    })
    .await;
    let log = process.log().join("\n");
    assert!(!log.contains("warning"), "{log}");
    process.signal(rustix::process::Signal::TERM);
    assert!(process.wait().await.success());
}

#[test]
fn it_leaves_alone_what_is_there_and_says_what_else_to_do() {
    let folder = folder();
    fs::create_dir(folder.path().join("full")).expect("it can be made");
    fs::write(folder.path().join("full/Cargo.toml"), "mine").expect("it can be written");
    for (name, words) in [
        ("full", ["full is there already", "choose another name"]),
        ("My_Shop", ["\"My_Shop\" cannot be", "wharf new my-shop"]),
        ("async", ["no package of cargo's", "wharf new my-async"]),
    ] {
        let output = new(name, folder.path());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        for word in words {
            assert!(said.contains(word), "{said} should speak of {word}");
        }
    }
    let text = fs::read_to_string(folder.path().join("full/Cargo.toml"));
    assert_eq!(text.expect("it is there"), "mine");
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
}
