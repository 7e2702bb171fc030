//! The command line, apart from what all other tests use of it.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use wharf_tests::build::wharf_binary;
use wharf_tests::wharf::Process;
use wharf_tests::{Target, Wharf, guest, test_guest};

use crate::{fault, fault_p3};

fn wharf(arguments: &[&str], directory: &Path) -> Output {
    Command::new(wharf_binary())
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the binary that was just built runs")
}

/// Everything that `wharf check FILE` says, and whether it says yes.
fn check(file: &Path) -> (bool, String) {
    let file = file.to_str().expect("test paths are plain");
    let output = wharf(&["check", file], Path::new("."));
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("there is room for temporary files")
}

#[tokio::test]
async fn serve_prints_two_lines_and_nothing_else() {
    let wharf = Wharf::with("hello", test_guest("hello-one")).await;
    wharf.get("/hello").await;
    let front = format!("listening on http://{}", wharf.front.addr);
    let admin = format!("admin on http://{}", wharf.admin.addr);
    assert_eq!(wharf.printed(), [front, admin]);
}

#[tokio::test]
async fn serve_makes_the_directories_that_are_missing() {
    let root = directory();
    let mut process = Process::start(
        Command::new(wharf_binary())
            .args(["serve", "not/there/yet", "--data", "nor/this"])
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .current_dir(root.path()),
    );
    let front = Target::new(process.announced("listening on http://").await);
    front.get("/hello").await.problem(404);
    assert!(root.path().join("nor/this").is_dir());
    let to = root.path().join("not/there/yet/hello.wasm");
    std::fs::copy(test_guest("hello-one"), to).expect("the directory is there now");
    wharf_tests::wait_until("it was served", || async {
        front.get("/hello").await.status == 200
    })
    .await;
}

#[test]
fn serve_refuses_a_configuration_that_makes_no_sense_and_names_the_key() {
    let root = directory();
    for (config, words) in [
        (
            "[drain]\ngrace = '30 parsecs'",
            ["wharf.toml", "drain.grace"],
        ),
        (
            "[http]\nmax_conections = 5",
            ["wharf.toml", "max_connections"],
        ),
        ("listen = 'nowhere'", ["wharf.toml", "listen"]),
        ("[[[", ["wharf.toml", "1"]),
    ] {
        std::fs::write(root.path().join("wharf.toml"), config).expect("it can be written");
        let output = wharf(
            &["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
            root.path(),
        );
        assert!(!output.status.success(), "{config:?} was taken");
        let text = String::from_utf8_lossy(&output.stderr);
        for word in words {
            assert!(
                text.contains(word),
                "{config:?}: {text} should speak of {word:?}"
            );
        }
        assert!(output.stdout.is_empty(), "{config:?}");
    }
    let output = wharf(&["serve", "--config", "missing.toml"], root.path());
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("missing.toml"));
}

#[tokio::test]
async fn serve_says_which_address_is_taken() {
    let running = Wharf::builder().start().await;
    let taken = running.front.addr.to_string();
    let root = directory();
    let output = wharf(
        &["serve", "--listen", &taken, "--admin", "127.0.0.1:0"],
        root.path(),
    );
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(&taken), "{text}");
}

#[tokio::test]
async fn two_servers_cannot_share_a_data_directory() {
    let running = Wharf::builder().start().await;
    let data = running.data();
    let data = data.to_str().expect("test paths are plain");
    let root = directory();
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--data",
        data,
    ];
    let output = wharf(&arguments, root.path());
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(data), "{text}");
}

#[test]
fn arguments_that_make_no_sense_are_explained() {
    let root = directory();
    for arguments in [
        &["srve"][..],
        &["serve", "--listen", "here"],
        &["check"],
        &[],
    ] {
        let output = wharf(arguments, root.path());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            text.contains("--help") || text.contains("Usage"),
            "{arguments:?}: {text}"
        );
    }
    let help = wharf(&["--help"], root.path());
    assert!(help.status.success());
    let text = String::from_utf8_lossy(&help.stdout);
    for command in ["serve", "check", "dev"] {
        assert!(text.contains(command), "{text}");
    }
}

#[test]
fn check_tells_what_a_component_is_and_which_grants_it_would_need() {
    let (taken, text) = check(&fault());
    assert!(taken, "{text}");
    for word in [
        "wasi:http/incoming-handler",
        "wasi:keyvalue/store@0.2.0-draft2",
        "wasi:config/store@0.2.0-rc.1",
        "keyvalue",
        "http",
    ] {
        assert!(text.contains(word), "it should speak of {word}: {text}");
    }
    let (taken, text) = check(&fault_p3());
    assert!(taken, "{text}");
    assert!(text.contains("wasi:http/handler@0.3"), "{text}");
    let (taken, text) = check(&guest("accounts"));
    assert!(taken, "{text}");
    assert!(text.contains("keyvalue"), "{text}");
    assert!(text.contains("wharf:accounts/users@0.1.0"), "{text}");
}

#[test]
fn check_takes_what_calls_another_service_if_its_manifest_names_one() {
    let root = directory();
    let file = root.path().join("register.wasm");
    std::fs::copy(guest("register"), &file).expect("it was built");
    let (taken, text) = check(&file);
    assert!(!taken, "{text}");
    for word in ["wharf:accounts/users@0.1.0", "grants.services"] {
        assert!(text.contains(word), "it should speak of {word}: {text}");
    }
    let manifest = "[grants]\nservices = ['accounts']";
    std::fs::write(file.with_extension("toml"), manifest).expect("it can be written");
    let (taken, text) = check(&file);
    assert!(taken, "{text}");
    assert!(text.contains("accounts has to export it"), "{text}");
}

#[test]
fn check_says_no_to_what_serve_would_refuse_and_why() {
    let root = directory();
    let file = |name: &str, contents: &[u8]| {
        let path = root.path().join(name);
        std::fs::write(&path, contents).expect("it can be written");
        path
    };
    let good = std::fs::read(test_guest("hello-one")).expect("it was built");
    for (path, word) in [
        (test_guest("unmet-import"), "acme:missing/thing"),
        (test_guest("no-handler"), "wasi:http"),
        (file("module.wasm", b"\0asm\x01\0\0\0"), "component"),
        (
            file("truncated.wasm", &good[..good.len() / 2]),
            "truncated.wasm",
        ),
        (file("text.wasm", b"hello"), "text.wasm"),
        (root.path().join("missing.wasm"), "missing.wasm"),
    ] {
        let (taken, text) = check(&path);
        assert!(!taken, "{}: {text}", path.display());
        assert!(text.contains(word), "{}: {text}", path.display());
    }
}
