//! What was compiled once is loaded by the next start, and nothing else is.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use wharf_tests::{Builder, Wharf, test_guest, wait_until};

/// Says which components are loaded and which are compiled.
const DEBUG: &str = "[log]\nlevel = 'wharf=debug'";
const LOADED: &str = "the compiled code was loaded";
const COMPILED: &str = "a component was compiled";
const SPOILT: &str = "compiled code can't be used";

fn one_and_two() -> Builder {
    Wharf::builder()
        .cold()
        .service("one", test_guest("hello-one"))
        .service("two", test_guest("hello-two"))
}

fn directory(wharf: &Wharf) -> PathBuf {
    wharf.data().join("compiled")
}

/// The entries, in the order of their names.
fn entries(wharf: &Wharf) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory(wharf)).expect("the directory is there");
    let mut entries: Vec<_> = entries
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    entries.sort();
    entries
}

/// Both services answer as they should; and of so many lines the log has so many.
async fn assert_right(wharf: &Wharf, lines: &[(&str, usize)]) {
    assert_eq!(wharf.get("/one").await.text(), "one\n");
    assert_eq!(wharf.get("/two").await.text(), "two\n");
    for (line, count) in lines {
        let logged = || wharf.log_lines(&[line]).len();
        wait_until("it was logged", || async { logged() >= *count }).await;
        assert_eq!(logged(), *count, "{line}");
    }
}

#[tokio::test]
async fn a_restart_loads_what_was_compiled_before() {
    let mut wharf = one_and_two().config(DEBUG).start().await;
    assert_right(&wharf, &[(COMPILED, 2), (LOADED, 0)]).await;
    for entry in entries(&wharf) {
        let mode = fs::metadata(&entry).expect("it is there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{}", entry.display());
    }
    wharf.restart().await;
    assert_right(&wharf, &[(COMPILED, 0), (LOADED, 2)]).await;
    assert_eq!(entries(&wharf).len(), 2);
}

#[tokio::test]
async fn a_damaged_entry_is_compiled_again() {
    let mut wharf = one_and_two().config(DEBUG).start().await;
    wharf.kill9();
    let entry = entries(&wharf).remove(0);
    let mut bytes = fs::read(&entry).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&entry, bytes).expect("it is ours");
    wharf.restart().await;
    assert_right(&wharf, &[(SPOILT, 1), (COMPILED, 1), (LOADED, 1)]).await;
    wharf.restart().await;
    assert_right(&wharf, &[(SPOILT, 0), (COMPILED, 0), (LOADED, 2)]).await;
}

#[tokio::test]
async fn what_was_put_among_the_compiled_code_is_not_run() {
    let mut wharf = one_and_two().config(DEBUG).start().await;
    wharf.kill9();
    let [first, second] = entries(&wharf).try_into().expect("two entries");
    // each under the other's name
    let aside = directory(&wharf).join("aside");
    fs::rename(&first, &aside).expect("it is ours");
    fs::rename(&second, &first).expect("it is ours");
    fs::rename(&aside, &second).expect("it is ours");
    wharf.restart().await;
    assert_right(&wharf, &[(SPOILT, 2), (COMPILED, 2)]).await;

    wharf.kill9();
    fs::write(&first, "garbage".repeat(10_000)).expect("it is ours");
    fs::write(&second, "").expect("it is ours");
    fs::write(directory(&wharf).join("three.cwasm"), "garbage").expect("it is ours");
    wharf.restart().await;
    assert_right(&wharf, &[(SPOILT, 2), (COMPILED, 2)]).await;
    wharf.get("/three").await.problem(404);
}

#[tokio::test]
async fn a_directory_that_others_can_write_to_is_not_trusted() {
    let mut wharf = one_and_two().config(DEBUG).start().await;
    wharf.kill9();
    fs::set_permissions(directory(&wharf), Permissions::from_mode(0o777)).expect("it is ours");
    wharf.restart().await;
    assert_right(&wharf, &[(COMPILED, 2), (LOADED, 0)]).await;
    let warnings = wharf.log_lines(&["compiled code is not kept", "others may write to it"]);
    assert_eq!(warnings.len(), 1, "once is enough: {warnings:?}");
}

#[tokio::test]
async fn copies_of_a_component_are_compiled_once() {
    let mut builder = one_and_two().config(DEBUG);
    for number in 0..5 {
        builder = builder.service(&format!("one-{number}"), test_guest("hello-one"));
    }
    let mut wharf = builder.start().await;
    assert_right(&wharf, &[(COMPILED, 2)]).await;
    assert_eq!(wharf.get("/one-4").await.text(), "one\n");
    assert_eq!(entries(&wharf).len(), 2);
    wharf.restart().await;
    assert_right(&wharf, &[(COMPILED, 0), (LOADED, 2)]).await;
    assert_eq!(wharf.get("/one-4").await.text(), "one\n");
}

#[tokio::test]
async fn the_cache_can_be_turned_off() {
    let config = format!("{DEBUG}\n[deploy]\ncompile_cache = 'off'");
    let mut wharf = one_and_two().config(&config).start().await;
    assert!(!directory(&wharf).exists());
    wharf.restart().await;
    assert_right(&wharf, &[(COMPILED, 2), (LOADED, 0)]).await;
}
