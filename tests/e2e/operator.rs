//! The operator's commands against a real server, as one types them.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use wharf_tests::build::wharf_binary;
use wharf_tests::wharf::{Process, digest};
use wharf_tests::{Wharf, test_guest, wait_until};

use crate::{GRANTED, fault};

/// A command that finds this server.
fn command(wharf: &Wharf, arguments: &[&str]) -> Command {
    let mut command = Command::new(wharf_binary());
    command
        .args(arguments)
        .env("WHARF_ADMIN", wharf.admin.addr.to_string())
        .env("WHARF_DATA", wharf.data())
        .current_dir(wharf.services());
    command
}

/// What it prints and how it ends.
pub(crate) struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

pub(crate) fn say(wharf: &Wharf, arguments: &[&str]) -> Said {
    let output = command(wharf, arguments).stdin(Stdio::null()).output();
    Said::from(output.expect("the binary that was just built runs"))
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("it prints text");
        Self {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl Said {
    /// It was done, and all these words are in what it printed.
    fn done(&self, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        for word in words {
            assert!(self.out.contains(word), "{word:?} is not in:\n{}", self.out);
        }
        assert!(!self.out.contains('\u{1b}'), "colours are for terminals");
        self
    }

    /// It was refused, and all these words are in the complaint.
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in:\n{}", self.err);
        }
    }

    pub(crate) fn json(&self) -> Value {
        self.done(&[]);
        serde_json::from_str(&self.out).expect("it prints JSON")
    }

    fn fits_a_terminal(&self) -> &Self {
        for line in self.out.lines() {
            assert!(line.chars().count() <= 80, "{line:?} in:\n{}", self.out);
        }
        self
    }
}

/// `hello`, which answers "one", and `fault`.
async fn server() -> Wharf {
    Wharf::builder()
        .service("hello", test_guest("hello-one"))
        .service("fault", fault())
        .manifest("fault", GRANTED)
        .start()
        .await
}

#[tokio::test]
async fn status_shows_what_runs_and_what_needs_the_operator() {
    let wharf = server().await;
    wharf.get("/hello").await;
    let said = say(&wharf, &["status"]);
    said.done(&["hello", "fault", "ready"]).fits_a_terminal();
    let said = say(&wharf, &["status", "hello"]);
    said.done(&["hello", "/hello", &digest_of("hello-one")[..8]]);
    said.fits_a_terminal();
    let services = say(&wharf, &["status", "--json"]).json();
    let of = |name: &str| {
        let mut all = services["services"].as_array().expect("a list").iter();
        all.find(|one| one["name"] == name).cloned()
    };
    assert_eq!(of("hello").expect("it is there")["state"], "ready");
    assert_eq!(of("hello").expect("it is there")["counts"]["requests"], 1);

    wharf.rename_in("fault.wasm", b"no component");
    wharf.wait_refused("fault").await;
    let said = say(&wharf, &["status"]);
    said.done(&["fault.wasm is not taken"]);
    say(&wharf, &["status", "nobody"]).refused(1, &["no service"]);
}

#[tokio::test]
async fn logs_exits_and_events_tell_what_happened_and_go_on_telling() {
    let wharf = server().await;
    let mut following = Process::start(&mut command(&wharf, &["events", "-f", "--json"]));
    let mut reading = Process::start(&mut command(&wharf, &["logs", "fault", "-f"]));
    wharf.get("/fault/log?text=rather+odd").await;
    wharf.get("/fault/trap").await;
    wharf.wait_exits("fault", "trap", 3).await;

    let said = say(&wharf, &["logs", "fault"]);
    said.done(&["rather"]);
    let said = say(&wharf, &["exits", "fault"]);
    said.done(&["trap", "GET /fault/trap", "unreachable"]);
    let exits = say(&wharf, &["exits", "fault", "--json"]).json();
    assert_eq!(exits["exits"].as_array().map(Vec::len), Some(3), "{exits}");
    let said = say(&wharf, &["events", "fault"]);
    said.done(&["fault", "live"]);

    wharf.deploy("hello", test_guest("hello-two"));
    let told = |process: &Process, words: &[&str]| {
        let lines = process.printed();
        let is_it = |line: &String| words.iter().all(|word| line.contains(word));
        lines.iter().any(is_it)
    };
    wait_until("the deploy to be told", async || {
        told(&following, &["\"hello\"", "live", "\"revision\":2"])
    })
    .await;
    wait_until("the guest's lines to be told", async || {
        told(&reading, &["rather"])
    })
    .await;
    for process in [&mut following, &mut reading] {
        process.kill();
    }
}

#[tokio::test]
async fn a_release_is_deployed_held_resumed_and_rolled_back() {
    let wharf = server().await;
    let two = test_guest("hello-two");
    let two = two.to_str().expect("test paths are plain");
    let said = say(&wharf, &["deploy", two, "--name", "hello"]);
    said.done(&["hello", "live"]);
    assert_eq!(wharf.get("/hello").await.text(), "two\n");
    say(&wharf, &["releases", "hello"])
        .done(&[&digest_of("hello-one")[..8], &digest_of("hello-two")[..8]])
        .fits_a_terminal();

    say(&wharf, &["rollback", "hello"]).done(&["hello"]);
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
    say(&wharf, &["rollback", "hello", "2"]).done(&["hello"]);
    assert_eq!(wharf.get("/hello").await.text(), "two\n");
    say(&wharf, &["rollback", "hello", "7"]).refused(1, &["7"]);

    say(&wharf, &["hold", "hello"]).done(&["hello"]);
    let one = test_guest("hello-one");
    let one = one.to_str().expect("test paths are plain");
    let held = say(&wharf, &["deploy", one, "--name", "hello"]);
    held.refused(1, &["held"]);
    assert_eq!(wharf.get("/hello").await.text(), "two\n");
    say(&wharf, &["status"]).done(&["held"]);
    say(&wharf, &["resume", "hello"]).done(&["hello"]);
    wait_until("the held release was taken", async || {
        wharf.get("/hello").await.text() == "one\n"
    })
    .await;

    let garbage = wharf.data().join("garbage.wasm");
    std::fs::write(&garbage, "no component").expect("it can be written");
    let garbage = garbage.to_str().expect("test paths are plain");
    let said = say(&wharf, &["deploy", garbage, "--name", "hello"]);
    said.refused(1, &["hello"]);
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
    say(&wharf, &["deploy", "missing.wasm"]).refused(1, &["missing.wasm"]);
}

#[tokio::test]
async fn an_instance_is_killed_or_drained_by_its_number() {
    let wharf = server().await;
    for verb in ["kill", "drain"] {
        let ids = instances(&wharf).await;
        let gone = &ids[0];
        say(&wharf, &[verb, "hello", gone]).done(&[gone]);
        wait_until("another took its place", async || {
            let now = instances(&wharf).await;
            now.len() == ids.len() && !now.contains(gone)
        })
        .await;
        say(&wharf, &[verb, "hello", gone]).refused(1, &[gone]);
    }
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
}

async fn instances(wharf: &Wharf) -> Vec<String> {
    let service = wharf.service("hello").await;
    let all = service["instances"].as_array().expect("a list").iter();
    let usable = all.filter(|one| one["state"] != "draining");
    usable
        .map(|one| one["id"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn who_has_no_token_or_no_server_is_told_what_to_do() {
    let mut wharf = server().await;
    let other = tempfile::tempdir().expect("there is room for temporary files");
    let without = |wharf: &Wharf, directory: &Path| {
        let mut command = command(wharf, &["status"]);
        Said::from(
            command
                .env("WHARF_DATA", directory)
                .output()
                .expect("it runs"),
        )
    };
    without(&wharf, other.path()).refused(1, &["admin.token", "--data"]);
    std::fs::write(other.path().join("admin.token"), "0".repeat(64)).expect("it can be written");
    without(&wharf, other.path()).refused(1, &["token"]);
    wharf.kill9();
    let addr = wharf.admin.addr.to_string();
    say(&wharf, &["status"]).refused(3, &[&addr]);
    say(&wharf, &["status", "--colour"]).refused(2, &["--colour"]);
}

fn digest_of(guest: &str) -> String {
    digest(&std::fs::read(test_guest(guest)).expect("a built component can be read"))
}
