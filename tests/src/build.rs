//! Builds what is tested, once per test run and only through cargo, which does nothing when all is
//! fresh.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The target that guests are built for.
const TARGET: &str = "wasm32-wasip2";

/// The repository's root.
pub fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests live below the root")
}

/// The binary `wharf`: the one that `WHARF_BINARY` names, else built from this repository in release
/// mode.
pub fn wharf_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        given_binary().unwrap_or_else(|| {
            let built = cargo_build(root(), &["--package", "wharf", "--bin", "wharf"]);
            find(&built, "wharf")
        })
    })
}

/// The binary `wharf` that `WHARF_BINARY` names, if it is set.
pub fn given_binary() -> Option<PathBuf> {
    std::env::var_os("WHARF_BINARY").map(PathBuf::from)
}

/// One of the services that Wharf comes with: `accounts`, `register`, `login`, `signup`.
pub fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    find(
        BUILT.get_or_init(|| build_guests(&root().join("guests"))),
        name,
    )
}

/// One of the components in `tests/guests`.
pub fn test_guest(name: &str) -> PathBuf {
    find(test_guests(), name)
}

/// All components in `tests/guests`, by name.
pub fn test_guests() -> &'static HashMap<String, PathBuf> {
    static BUILT: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    BUILT.get_or_init(|| build_guests(&root().join("tests/guests")))
}

fn find(built: &HashMap<String, PathBuf>, name: &str) -> PathBuf {
    let found = built.get(name).cloned();
    found.unwrap_or_else(|| panic!("no `{name}` was built, only {:?}", built.keys()))
}

/// All components of a workspace of guests, by name.
pub fn build_guests(workspace: &Path) -> HashMap<String, PathBuf> {
    add_target();
    cargo_build(workspace, &["--workspace", "--target", TARGET])
}

/// Makes sure that the compiler can build guests.
fn add_target() {
    let listed = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .output();
    let Ok(listed) = listed else {
        // Without rustup the target is the packager's business, and cargo will say if it's missing.
        return;
    };
    if String::from_utf8_lossy(&listed.stdout)
        .lines()
        .any(|target| target == TARGET)
    {
        return;
    }
    let added = Command::new("rustup")
        .args(["target", "add", TARGET])
        .status();
    assert!(
        added.is_ok_and(|status| status.success()),
        "guests need the target {TARGET}, and `rustup target add {TARGET}` failed: run it yourself to see why"
    );
}

/// Runs `cargo build --release` and tells what it built: components and binaries, by name.
fn cargo_build(workspace: &Path, arguments: &[&str]) -> HashMap<String, PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(workspace)
        .args(["build", "--release", "--locked"])
        .args(["--message-format", "json-render-diagnostics"])
        .args(arguments)
        // Flags for the tests' own build, such as a linker's, mean nothing to another target.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs, since it runs this test");
    assert!(
        output.status.success(),
        "cargo build in {} failed, see above",
        workspace.display()
    );
    let messages = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    messages.lines().filter_map(artifact).collect()
}

/// The name and the file of a component or binary that one of cargo's messages speaks of.
fn artifact(message: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let executable = message["executable"].as_str();
    let files = message["filenames"].as_array()?.iter();
    let mut files = files.filter_map(serde_json::Value::as_str);
    let component = files.find(|file| Path::new(file).extension() == Some("wasm".as_ref()));
    let name = message["target"]["name"].as_str()?.replace('_', "-");
    Some((name, component.or(executable)?.into()))
}
