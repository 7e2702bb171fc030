//! `wharf dev`: from sources to a running service, and again at every change.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use wharf_tests::build::{root, wharf_binary};
use wharf_tests::wharf::Process;
use wharf_tests::{Target, wait_for, wait_until};

const CARGO_TOML: &str = r#"
[workspace]

[package]
name = "greeter"
version = "0.1.0"
edition = "2024"

[lib]
crate-type = ["cdylib"]

[dependencies]
wasip2 = "2"
"#;

fn source(greeting: &str) -> String {
    format!(
        r"
use std::io::Write as _;
use wasip2::http::types::{{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
}};

wasip2::http::proxy::export!(Greeter);

struct Greeter;

impl wasip2::exports::http::incoming_handler::Guest for Greeter {{
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {{
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));
        let mut stream = body.write().unwrap();
        stream.write_all({greeting}).unwrap();
        stream.blocking_flush().unwrap();
        drop(stream);
        OutgoingBody::finish(body, None).unwrap();
    }}
}}
"
    )
}

/// A workspace with one guest that greets.
fn workspace() -> TempDir {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let guests = folder.path().join("guests");
    std::fs::create_dir_all(guests.join("src")).expect("the folder is empty");
    let write = |file: &str, contents: &str| {
        std::fs::write(guests.join(file), contents).expect("the folder can be written to");
    };
    write("Cargo.toml", CARGO_TOML);
    write("src/lib.rs", &source("b\"good morning\\n\""));
    write("greeter.toml", "routes = ['/greet']");
    // Versions that are here already, so that nothing has to be looked up.
    std::fs::copy(
        root().join("tests/guests/Cargo.lock"),
        guests.join("Cargo.lock"),
    )
    .expect("the test guests have a lock file");
    folder
}

fn dev(folder: &Path) -> Process {
    Process::start(
        Command::new(wharf_binary())
            .args([
                "dev",
                "guests",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
            ])
            .current_dir(folder),
    )
}

#[tokio::test]
async fn sources_are_built_served_and_swapped_as_they_change() {
    let folder = workspace();
    let source_file = folder.path().join("guests/src/lib.rs");
    let mut process = dev(folder.path());
    let front = Target::new(process.announced("listening on http://").await);
    wait_until("the guest was served", || async {
        front.get("/greet").await.status == 200
    })
    .await;
    assert_eq!(front.get("/greet").await.text(), "good morning\n");
    wait_for("it showed how to call the guest", || async {
        let said = [process.printed(), process.log()].concat();
        said.iter()
            .any(|line| line.contains("curl") && line.contains("/greet"))
            .then_some(())
    })
    .await;

    std::fs::write(&source_file, source("b\"good evening\\n\"")).expect("it can be written");
    wait_until("the change was served", || async {
        let reply = front.get("/greet").await;
        assert_eq!(
            reply.status, 200,
            "no request fails during a swap: {reply:?}"
        );
        reply.text() == "good evening\n"
    })
    .await;

    std::fs::write(&source_file, source("this_is_no_rust")).expect("it can be written");
    wait_until("the build's error was shown", || async {
        let said = [process.printed(), process.log()].concat();
        said.iter().any(|line| line.contains("this_is_no_rust"))
    })
    .await;
    assert_eq!(
        front.get("/greet").await.text(),
        "good evening\n",
        "what ran goes on"
    );

    std::fs::write(&source_file, source("b\"good night\\n\"")).expect("it can be written");
    wait_until("the repaired guest was served", || async {
        front.get("/greet").await.text() == "good night\n"
    })
    .await;
    process.signal(rustix::process::Signal::TERM);
    assert!(process.wait().await.success());
}

#[tokio::test]
async fn a_folder_without_guests_is_explained() {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let mut process = dev(folder.path());
    let status = process.wait().await;
    assert!(!status.success());
    let said = [process.printed(), process.log()].concat().join("\n");
    assert!(said.contains("guests"), "{said}");
}
