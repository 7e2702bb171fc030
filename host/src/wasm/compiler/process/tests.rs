use std::path::Path;
use std::sync::mpsc;
use std::thread;

use super::super::cancellation;
use super::*;
use crate::wasm::engine::Concurrency;

const HOUR: Duration = Duration::from_hours(1);

/// A shell that takes the place of the program.
fn shell(script: &str) -> Program {
    Program {
        path: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
    }
}

fn within(time: Duration, script: &str) -> Result<Compiled, ComponentError> {
    let bounds = Bounds {
        time,
        memory: 64 << 20,
    };
    let (_guard, canceled) = cancellation().unwrap();
    compile(&shell(script), bounds, b"bytes", &canceled)
}

fn said_by(script: &str) -> String {
    within(HOUR, script).unwrap_err().to_string()
}

/// Whether a process is there, be it as a zombie.
fn is_there(pid: &str) -> bool {
    Path::new("/proc").join(pid.trim()).exists()
}

#[test]
fn code_comes_back() {
    let script = r#"printf '{"compiled":{"concurrency":"on","bytes":5}}\n'; cat"#;
    let compiled = within(HOUR, script).unwrap();
    assert_eq!(compiled.concurrency, Concurrency::On);
    assert_eq!(compiled.code, b"bytes");
}

#[test]
fn a_refusal_comes_back_as_it_is() {
    let script = r#"printf '{"invalid":"it is\\nnone"}\n'"#;
    assert_eq!(said_by(script), "the component is not valid: it is\nnone");
}

#[test]
fn more_than_any_pipe_holds_goes_both_ways() {
    let bytes = vec![b'x'; 3 << 20];
    let bounds = Bounds {
        time: HOUR,
        memory: 64 << 20,
    };
    let (_guard, canceled) = cancellation().unwrap();
    // what it says is neither read nor kept for ever
    let script = r#"printf '{"compiled":{"concurrency":"off","bytes":3145728}}\n'; cat; yes | head -c 3000000 >&2"#;
    let compiled = compile(&shell(script), bounds, &bytes, &canceled).unwrap();
    assert_eq!(compiled.code, bytes);
}

#[test]
fn one_that_takes_too_long_is_ended_and_leaves_no_zombie() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let script = format!("echo $$ > '{}'; exec sleep 36000", file.display());
    // however long the shell takes to write its file: it is tried with more time until it has
    let mut time = Duration::from_millis(50);
    let (error, pid) = loop {
        let error = within(time, &script).unwrap_err();
        match std::fs::read_to_string(&file) {
            Ok(pid) if pid.ends_with('\n') => break (error, pid),
            _ => time *= 2,
        }
    };
    assert!(!is_there(&pid), "{pid} is still there");
    let error = error.to_string();
    assert!(error.contains("deploy.compile_timeout"), "{error}");
}

#[test]
fn one_that_is_given_up_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let script = format!("echo $$ > '{}'; exec sleep 36000", file.display());
    let bounds = Bounds {
        time: HOUR,
        memory: 64 << 20,
    };
    let (guard, canceled) = cancellation().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let outcome = compile(&shell(&script), bounds, b"", &canceled);
        tell.send(outcome).unwrap();
    });
    let pid = loop {
        match std::fs::read_to_string(&file) {
            Ok(pid) if pid.ends_with('\n') => break pid,
            _ => thread::yield_now(),
        }
    };
    assert!(is_there(&pid));
    drop(guard);
    let outcome = told.recv_timeout(Duration::from_mins(1)).unwrap();
    assert!(matches!(outcome, Err(ComponentError::Canceled)));
    assert!(!is_there(&pid), "{pid} is still there");
}

#[test]
fn memory_that_is_used_up_names_the_key() {
    for script in [
        "echo memory allocation of 4096 bytes failed >&2; ulimit -c 0; kill -ABRT $$",
        "ulimit -c 0; kill -XFSZ $$",
        "echo '\"memory\"'",
    ] {
        let error = said_by(script);
        assert!(error.contains("deploy.compile_memory"), "{error}");
        assert!(error.contains("\"64MiB\""), "{error}");
    }
}

#[test]
fn time_that_is_used_up_on_all_processors_names_the_key() {
    let error = said_by("ulimit -c 0; kill -XCPU $$");
    assert!(error.contains("deploy.compile_timeout"), "{error}");
    assert!(error.contains("\"1h\""), "{error}");
}

#[test]
fn one_that_dies_says_how_and_its_last_words() {
    let error = said_by("kill -KILL $$");
    assert!(error.contains("killed by signal 9"), "{error}");
    let error =
        said_by("echo first >&2; echo last words >&2; echo note: advice >&2; echo >&2; exit 3");
    assert!(error.contains("exit status: 3"), "{error}");
    assert!(error.contains("; it said: last words;"), "{error}");
    let error = said_by("ulimit -c 0; kill -SEGV $$");
    assert!(error.contains("ended by signal 11"), "{error}");
}

#[test]
fn what_it_writes_has_to_be_whole() {
    for script in [
        "true",
        "echo garbage",
        r#"printf '{"compiled":{"concurrency":"on","bytes":6}}\n'; cat"#,
    ] {
        let error = said_by(script);
        assert!(error.contains("made no sense"), "{script}: {error}");
    }
}

#[test]
fn a_program_that_is_not_there_is_named_as_the_problem() {
    let nowhere = Program {
        path: "/no/such/program".into(),
        arguments: Vec::new(),
    };
    let bounds = Bounds {
        time: HOUR,
        memory: 1 << 30,
    };
    let (_guard, canceled) = cancellation().unwrap();
    let error = compile(&nowhere, bounds, b"", &canceled).unwrap_err();
    let named = "/no/such/program can't be run";
    assert!(error.to_string().contains(named), "{error}");
}

#[test]
fn it_is_given_nothing_of_our_environment_and_of_our_open_files() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let ours = file.path().display();
    let script = format!(
        "test -z \"$CARGO_PKG_NAME$HOME$USER\" || exit 4
        ls -l /proc/self/fd | grep -q '{ours}' && exit 5
        echo none"
    );
    assert!(std::env::var_os("HOME").is_some() || std::env::var_os("CARGO_PKG_NAME").is_some());
    let error = said_by(&script);
    assert!(error.contains("made no sense"), "{error}");
}

#[test]
fn there_is_a_thread_for_each_processor_that_there_is_memory_for() {
    let processors = threads(u64::MAX);
    assert!(processors >= 1);
    assert_eq!(threads(64 << 20), 1);
    assert_eq!(threads(processors * MEMORY_OF_THREAD), processors);
}
