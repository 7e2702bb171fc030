//! What it takes to compile a component is bounded, and whatever becomes of it harms nobody.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use wharf_tests::build::wharf_binary;
use wharf_tests::wharf::Process;
use wharf_tests::{Load, Target, Wharf, test_guest, wait_for, wait_until};

/// A small component that takes very much to compile: in the innermost of its loops each of its variables
/// is used, and may have come from each of the loops around.
fn bomb(size: usize) -> Vec<u8> {
    let mut body = "loop ".repeat(size);
    for variable in 1..=size {
        write!(body, "local.get {variable} drop ").expect("a string takes everything");
    }
    body += &"local.get 0 br_if 0 end ".repeat(size);
    let variables = "i64 ".repeat(size);
    let text = format!("(component (core module (func (param i32) (local {variables}) {body})))");
    wat::parse_str(text).expect("it is valid")
}

/// One that takes minutes, and memory as another one does.
fn slow() -> Vec<u8> {
    bomb(3_000)
}

/// One that takes gigabytes at once.
fn large() -> Vec<u8> {
    bomb(20_000)
}

/// A server that serves `hello` from its cache, and has this configuration.
async fn hello(config: &str) -> Wharf {
    let mut wharf = Wharf::with("hello", test_guest("hello-one")).await;
    wharf.reconfigure(config);
    wharf.restart().await;
    wharf
}

/// The process that compiles for a server, once there is one.
async fn compiling(server: u32) -> PathBuf {
    wait_for("a process was compiling", || async {
        compilers(server).pop()
    })
    .await
}

/// The processes that a server has started, as directories of `/proc`.
fn compilers(server: u32) -> Vec<PathBuf> {
    let tasks = fs::read_dir(format!("/proc/{server}/task")).expect("it is there");
    let children = tasks.flatten().flat_map(|task| {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    children
        .map(|child| Path::new("/proc").join(child))
        .collect()
}

fn kill(process: &Path) {
    let number = process
        .file_name()
        .and_then(|number| number.to_str()?.parse().ok());
    let pid = number.and_then(Pid::from_raw).expect("it is a process");
    kill_process(pid, Signal::KILL).expect("it is there");
}

/// A number of KiB that the system tells of a process.
fn kib(server: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{server}/status")).expect("it is there");
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let number = line.and_then(|line| line.trim_start_matches(':').trim().strip_suffix(" kB"));
    number
        .and_then(|number| number.parse().ok())
        .expect("it is a number")
}

/// The niceness of a process, of which more is less.
fn niceness(process: &Path) -> i32 {
    let stat = fs::read_to_string(process.join("stat")).expect("it is there");
    // what is before the bracket is a name, with whatever characters
    let fields = stat.rsplit(')').next().map(str::split_whitespace);
    let field = fields.and_then(|mut fields| fields.nth(16)?.parse().ok());
    field.expect("it is a number")
}

/// Lays the bomb in while requests go to another service, and gives back why it is refused.
async fn refusal(config: &str, bomb: &[u8]) -> String {
    let wharf = hello(config).await;
    let front = wharf.front.clone();
    let load = Load::start(2, move || {
        let front = front.clone();
        async move { front.try_get("/hello").await }
    });
    load.more(100).await;
    let before = kib(wharf.pid(), "VmHWM");
    wharf.rename_in("bomb.wasm", bomb);
    let why = wharf.wait_refused("bomb").await;
    load.more(100).await;
    load.stop().await.only(200);
    // the system counts by and by: the most that there ever was may be less than a moment ago
    let grown = kib(wharf.pid(), "VmHWM").saturating_sub(before);
    assert!(grown < 48 << 10, "the server itself took {grown} KiB more");
    assert_eq!(wharf.state("bomb").await, "refused");
    assert_eq!(
        compilers(wharf.pid()),
        Vec::<PathBuf>::new(),
        "nothing is left behind"
    );
    why
}

#[tokio::test]
async fn what_takes_too_long_to_compile_is_refused_and_nobody_else_notices() {
    let why = refusal("[deploy]\ncompile_timeout = '200ms'", &slow()).await;
    for word in ["bomb.wasm", "deploy.compile_timeout", "\"200ms\""] {
        assert!(why.contains(word), "it should speak of {word}: {why}");
    }
}

#[tokio::test]
async fn what_takes_too_much_memory_to_compile_is_refused_and_nobody_else_notices() {
    let why = refusal(
        "[deploy]\ncompile_timeout = '1h'\ncompile_memory = '128MiB'",
        &large(),
    )
    .await;
    for word in ["bomb.wasm", "deploy.compile_memory", "\"128MiB\""] {
        assert!(why.contains(word), "it should speak of {word}: {why}");
    }
}

#[tokio::test]
async fn copies_of_what_takes_too_much_are_not_all_tried() {
    let wharf = hello("[deploy]\ncompile_memory = '128MiB'\n[log]\nlevel = 'wharf=debug'").await;
    let bomb = large();
    for name in ["one", "two", "three"] {
        wharf.rename_in(&format!("{name}.wasm"), &bomb);
        let why = wharf.wait_refused(name).await;
        assert!(why.contains("deploy.compile_memory"), "{why}");
    }
    let tried = wharf.log_lines(&["the process that compiles has ended"]);
    assert_eq!(tried.len(), 1, "{tried:?}");
}

#[tokio::test]
async fn a_compiler_that_is_killed_is_told_and_the_next_file_is_taken() {
    let wharf = hello("[deploy]\ncompile_timeout = '1h'").await;
    wharf.rename_in("hello.wasm", &slow());
    kill(&compiling(wharf.pid()).await);
    let why = wharf.wait_refused("hello").await;
    assert!(why.contains("killed by signal 9"), "{why}");
    assert_eq!(wharf.get("/hello").await.text(), "one\n");
    wharf.deploy("hello", test_guest("hello-two"));
    wharf.wait_deployed("hello", test_guest("hello-two")).await;
    assert_eq!(wharf.get("/hello").await.text(), "two\n");
}

#[tokio::test]
async fn a_compiler_is_given_nothing_and_is_bound() {
    let wharf = hello("[deploy]\ncompile_timeout = '1h'\ncompile_memory = '700MiB'").await;
    wharf.rename_in("bomb.wasm", &slow());
    let compiler = compiling(wharf.pid()).await;
    let read = |file: &str| fs::read_to_string(compiler.join(file)).unwrap_or_default();
    // the last thing it does before it begins
    wait_until("it was bound", || async {
        read("oom_score_adj") == "1000\n"
    })
    .await;
    let limits = read("limits");
    for (name, soft, hard) in [
        ("Max data size", "734003200", "734003201"),
        ("Max file size", "734003200", "734003201"),
        ("Max core file size", "0", "1"),
    ] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        let values: Vec<_> = line.expect("it is listed").split_whitespace().collect();
        assert_eq!(values[..2], [soft, hard], "{name}");
    }
    let cpu = limits.lines().find(|line| line.starts_with("Max cpu time"));
    assert!(
        !cpu.expect("it is listed").contains("unlimited"),
        "{limits}"
    );
    let environment = read("environ");
    let mut variables = environment.split_terminator('\0');
    let own = |variable: &str| variable.starts_with("_RJEM_") || variable.starts_with("RAYON_");
    assert!(variables.all(own), "{environment}");
    let server = Path::new("/proc").join(wharf.pid().to_string());
    let lower = (niceness(&server) + 10).min(19);
    assert_eq!(niceness(&compiler), lower);
    // what the server itself was given by whoever has started it is none of its own
    let data = wharf.data().display().to_string();
    let files = fs::read_dir(compiler.join("fd")).expect("it is ours");
    let files: Vec<_> = files
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .map(|file| file.display().to_string())
        .filter(|file| file.starts_with("socket:") || file.starts_with(&data))
        .collect();
    assert_eq!(files, Vec::<String>::new());
    kill(&compiler);
    wharf.wait_refused("bomb").await;
}

#[tokio::test]
async fn no_compiler_outlives_its_server() {
    let gone = |compiler: PathBuf| async move {
        wait_until("it was gone", || async { !compiler.exists() }).await;
    };
    let mut wharf = hello("[deploy]\ncompile_timeout = '1h'").await;
    wharf.rename_in("bomb.wasm", &slow());
    let compiler = compiling(wharf.pid()).await;
    wharf.kill9();
    gone(compiler).await;

    wharf.remove("bomb.wasm");
    wharf.restart().await;
    wharf.rename_in("bomb.wasm", &slow());
    let compiler = compiling(wharf.pid()).await;
    wharf.terminate();
    assert!(
        wharf.wait_exit().await.success(),
        "it doesn't wait for the compiler"
    );
    gone(compiler).await;
}

#[tokio::test]
async fn a_server_whose_own_file_is_gone_compiles_all_the_same() {
    let root = tempfile::tempdir().expect("there is room for temporary files");
    let program = root.path().join("wharf");
    fs::copy(wharf_binary(), &program).expect("it was built");
    let mut process = Process::start(
        Command::new(&program)
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .current_dir(root.path()),
    );
    let front = Target::new(process.announced("listening on http://").await);
    fs::remove_file(&program).expect("it is ours");
    fs::write(&program, "another").expect("it is ours");
    let service = root.path().join("services/hello.wasm");
    fs::copy(test_guest("hello-one"), service).expect("the directory is there");
    wait_until("it was served", || async {
        front.get("/hello").await.status == 200
    })
    .await;
}
