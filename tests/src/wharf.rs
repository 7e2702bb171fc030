//! One running `wharf`, with directories and ports of its own.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::build::wharf_binary;
use crate::client::{Reply, Target};
use crate::compiled;
use crate::held::Held;
use crate::output::Lines;
use crate::{wait_for, wait_until};

/// Lines of the log to show when a test fails.
const TAIL: usize = 60;

/// What a server is to start with.
pub struct Builder {
    root: TempDir,
    config: Option<String>,
    env: Vec<(String, String)>,
    cold: bool,
}

impl Builder {
    /// Lays a component into the services directory.
    #[must_use]
    pub fn service(self, name: &str, component: impl AsRef<Path>) -> Self {
        let to = self.services().join(format!("{name}.wasm"));
        fs::copy(component, to).expect("a built component can be copied");
        self
    }

    /// Lays a manifest beside a component.
    #[must_use]
    pub fn manifest(self, name: &str, toml: &str) -> Self {
        self.file(&format!("{name}.toml"), toml)
    }

    /// Lays any file into the services directory.
    #[must_use]
    pub fn file(self, name: &str, contents: impl AsRef<[u8]>) -> Self {
        let to = self.services().join(name);
        fs::write(to, contents).expect("the services directory can be written to");
        self
    }

    /// Starts with a configuration file, `wharf.toml`.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.config = Some(toml.to_owned());
        self
    }

    /// Starts with a variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has it compile everything itself, where it would be given what others have compiled.
    #[must_use]
    pub fn cold(mut self) -> Self {
        self.cold = true;
        self
    }

    /// Starts the server and waits until it is ready.
    pub async fn start(self) -> Wharf {
        if let Some(config) = &self.config {
            let file = self.root.path().join("wharf.toml");
            fs::write(file, config).expect("a temporary directory can be written to");
        }
        if !self.cold {
            self.give_compiled().expect("compiled code can be copied");
        }
        let process = Process::spawn(&self.root, self.config.is_some(), &self.env);
        let mut wharf = Wharf {
            configured: self.config.is_some(),
            env: self.env,
            front: Target::new(([127, 0, 0, 1], 0).into()),
            admin: Target::new(([127, 0, 0, 1], 0).into()),
            cold: self.cold,
            root: self.root,
            process,
        };
        wharf.up().await;
        wharf
    }

    fn give_compiled(&self) -> io::Result<()> {
        for file in fs::read_dir(self.services())? {
            let file = file?.path();
            if file.extension().is_some_and(|ending| ending == "wasm") && file.is_file() {
                compiled::give(&self.root.path().join("data"), &digest(&fs::read(file)?))?;
            }
        }
        Ok(())
    }

    /// The services directory.
    pub fn services(&self) -> PathBuf {
        self.root.path().join("services")
    }
}

/// A server under test. Dropping it kills it; when the test is failing, the end of its log is shown.
pub struct Wharf {
    /// Where the services are.
    pub front: Target,
    /// Where the operator asks.
    pub admin: Target,
    process: Process,
    configured: bool,
    env: Vec<(String, String)>,
    cold: bool,
    root: TempDir,
}

/// What it has compiled is kept for others. If that fails, they compile it, too.
impl Drop for Wharf {
    fn drop(&mut self) {
        if !self.cold {
            let _ = compiled::keep(&self.data());
        }
    }
}

impl Wharf {
    /// Begins with an empty services directory.
    pub fn builder() -> Builder {
        let root = tempfile::Builder::new().prefix("wharf-test-").tempdir();
        let root = root.expect("there is room for temporary files");
        fs::create_dir(root.path().join("services")).expect("the directory is empty");
        Builder {
            root,
            config: None,
            env: Vec::new(),
            cold: false,
        }
    }

    /// A server with one service, named as its component, and the default manifest.
    pub async fn with(name: &str, component: impl AsRef<Path>) -> Self {
        Self::builder().service(name, component).start().await
    }

    /// A server with one service and its manifest.
    pub async fn with_manifest(name: &str, component: impl AsRef<Path>, toml: &str) -> Self {
        Self::builder()
            .service(name, component)
            .manifest(name, toml)
            .start()
            .await
    }

    async fn up(&mut self) {
        self.front.addr = self.process.announced("listening on http://").await;
        self.admin.addr = self.process.announced("admin on http://").await;
        let token = fs::read_to_string(self.data().join("admin.token"));
        self.admin.token = Some(token.expect("there is a token").trim().to_owned());
        wait_until("the server was ready", || async {
            self.admin
                .try_get("/readyz")
                .await
                .is_ok_and(|reply| reply.status == 200)
        })
        .await;
    }

    // --- asking it ---

    /// See [`Target::get`].
    pub async fn get(&self, target: &str) -> Reply {
        self.front.get(target).await
    }

    /// See [`Target::post`].
    pub async fn post(&self, target: &str, body: impl Into<bytes::Bytes>) -> Reply {
        self.front.post(target, body).await
    }

    /// Starts a request that stays in flight until the test ends it.
    pub async fn hold(&self, target: &str) -> Held {
        Held::open(&self.front, target).await
    }

    /// Asks for `target` until an instance answers whose name is wanted, and gives that name back.
    pub async fn reach_instance(&self, target: &str, wanted: impl Fn(&str) -> bool) -> String {
        wait_for("the wanted instance answered", || async {
            let instance = self.get(target).await.instance();
            wanted(&instance).then_some(instance)
        })
        .await
    }

    /// What the admin API says at `path`.
    pub async fn api(&self, path: &str) -> Value {
        let reply = self.admin.get(path).await;
        assert_eq!(
            reply.status, 200,
            "GET {path} on the admin listener: {reply:?}"
        );
        reply.json()
    }

    /// What the admin API says about one service.
    pub async fn service(&self, name: &str) -> Value {
        self.api(&format!("/api/services/{name}")).await
    }

    /// The state of one service in a word.
    pub async fn state(&self, name: &str) -> String {
        let service = self.service(name).await;
        service["state"].as_str().unwrap_or_default().to_owned()
    }

    /// One of a service's counts.
    pub async fn count(&self, name: &str, count: &str) -> u64 {
        let service = self.service(name).await;
        let count = service["counts"][count].as_u64();
        count.unwrap_or_else(|| panic!("no such count: {service}"))
    }

    /// Why a service's last file was not taken; empty if it was.
    pub async fn deploy_error(&self, name: &str) -> String {
        let service = self.admin.get(&format!("/api/services/{name}")).await;
        if service.status != 200 {
            return String::new();
        }
        let error = &service.json()["last_deploy_error"]["message"];
        error.as_str().unwrap_or_default().to_owned()
    }

    /// The exits of one service's instances, newest first.
    pub async fn exits(&self, name: &str) -> Vec<Value> {
        let exits = self.api("/api/exits").await;
        let exits = exits["exits"].as_array().cloned().unwrap_or_default();
        exits
            .into_iter()
            .filter(|exit| exit["service"] == name)
            .collect()
    }

    /// The exits of one service's instances that ended for that reason, newest first.
    pub async fn exits_by(&self, name: &str, reason: &str) -> Vec<Value> {
        let exits = self.exits(name).await.into_iter();
        exits.filter(|exit| exit["reason"] == reason).collect()
    }

    /// Waits until one of a service's counts is that number, and asserts that it isn't more.
    pub async fn wait_count(&self, name: &str, count: &str, expected: u64) {
        wait_until(&format!("{name} counted {expected} {count}"), || async {
            self.count(name, count).await >= expected
        })
        .await;
        assert_eq!(self.count(name, count).await, expected, "{count} of {name}");
    }

    /// Waits until that many instances of a service have ended for that reason, asserts that there
    /// aren't more, and gives them back, newest first.
    pub async fn wait_exits(&self, name: &str, reason: &str, expected: usize) -> Vec<Value> {
        let what = format!("{expected} instances of {name} ended by {reason}");
        let exits = wait_for(&what, || async {
            let exits = self.exits_by(name, reason).await;
            (exits.len() >= expected).then_some(exits)
        })
        .await;
        assert_eq!(exits.len(), expected, "{exits:?}");
        exits
    }

    /// Waits until that many of a service's requests wait for an instance.
    pub async fn wait_queued(&self, name: &str, count: u64) {
        wait_until(
            &format!("{count} requests of {name} were queued"),
            || async { self.service(name).await["queued"] == count },
        )
        .await;
    }

    /// Waits until that many requests are in a service's instances.
    pub async fn wait_in_flight(&self, name: &str, count: u64) {
        wait_until(
            &format!("{count} requests of {name} were in flight"),
            || async {
                let service = self.service(name).await;
                let instances = service["instances"].as_array();
                let in_flight = instances.into_iter().flatten();
                in_flight
                    .filter_map(|instance| instance["in_flight"].as_u64())
                    .sum::<u64>()
                    == count
            },
        )
        .await;
    }

    /// Waits until that many instances of a service can work, and nothing of it is broken.
    pub async fn wait_healthy(&self, name: &str, instances: usize) {
        wait_until(
            &format!("{instances} instances of {name} were ready"),
            || async {
                let service = self.service(name).await;
                let all = service["instances"].as_array().map_or(0, Vec::len);
                service["state"] == "ready" && all == instances
            },
        )
        .await;
    }

    /// The metrics as text.
    pub async fn metrics(&self) -> String {
        let reply = self.admin.get("/metrics").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.text()
    }

    /// The sum of all samples of one whole-numbered metric whose labels contain all of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let text = self.metrics().await;
        let samples = text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        samples
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    // --- its services directory ---

    /// The services directory.
    pub fn services(&self) -> PathBuf {
        self.root.path().join("services")
    }

    /// The directory of what the server keeps.
    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Deploys by renaming a finished file into place, as a careful operator does.
    pub fn deploy(&self, name: &str, component: impl AsRef<Path>) {
        let bytes = fs::read(component).expect("a built component can be read");
        if !self.cold {
            compiled::give(&self.data(), &digest(&bytes)).expect("compiled code can be copied");
        }
        self.rename_in(&format!("{name}.wasm"), &bytes);
    }

    /// Renames a file with these contents into the services directory.
    pub fn rename_in(&self, file: &str, contents: &[u8]) {
        let staged = self.root.path().join(format!("staged-{file}"));
        fs::write(&staged, contents).expect("a temporary directory can be written to");
        fs::rename(staged, self.services().join(file)).expect("it is on the same file system");
    }

    /// Overwrites or creates a file where it stands.
    pub fn write(&self, file: &str, contents: &[u8]) {
        fs::write(self.services().join(file), contents)
            .expect("the services directory can be written to");
    }

    /// Removes a file.
    pub fn remove(&self, file: &str) {
        fs::remove_file(self.services().join(file)).expect("the file is there");
    }

    /// Waits until a service runs this component.
    pub async fn wait_deployed(&self, name: &str, component: impl AsRef<Path>) {
        let bytes = fs::read(component).expect("a built component can be read");
        let digest = digest(&bytes);
        wait_until(&format!("{name} ran release {digest}"), || async {
            let service = self.admin.get(&format!("/api/services/{name}")).await;
            service.status == 200 && service.json()["release"]["digest"] == digest
        })
        .await;
    }

    /// Waits until a file of a service's is refused, and gives back why.
    pub async fn wait_refused(&self, name: &str) -> String {
        wait_for(&format!("a file of {name} was refused"), || async {
            let error = self.deploy_error(name).await;
            (!error.is_empty()).then_some(error)
        })
        .await
    }

    // --- its life ---

    /// Its log so far.
    pub fn log(&self) -> Vec<String> {
        self.process.log.all()
    }

    /// The lines of its log that contain all of `parts`.
    pub fn log_lines(&self, parts: &[&str]) -> Vec<String> {
        let mut lines = self.log();
        lines.retain(|line| parts.iter().all(|part| line.contains(part)));
        lines
    }

    /// Waits for a line of the log that contains all of `parts`.
    pub async fn wait_log(&self, parts: &[&str]) -> String {
        wait_for(&format!("the log spoke of {parts:?}"), || async {
            self.log_lines(parts).into_iter().next()
        })
        .await
    }

    /// What it printed on stdout.
    pub fn printed(&self) -> Vec<String> {
        self.process.printed.all()
    }

    /// Kills it without a word (SIGKILL).
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Asks it to end as Ctrl-C does (SIGINT).
    pub fn interrupt(&self) {
        self.process.signal(Signal::INT);
    }

    /// Waits until it has ended by itself.
    pub async fn wait_exit(&mut self) -> ExitStatus {
        self.process.wait().await
    }

    /// Whether it has ended.
    pub fn has_exited(&mut self) -> bool {
        self.process.ended().is_some()
    }

    /// Gives it another configuration file, which the next start reads.
    pub fn reconfigure(&mut self, toml: &str) {
        let file = self.root.path().join("wharf.toml");
        fs::write(file, toml).expect("a temporary directory can be written to");
        self.configured = true;
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Starts it again, ended or not, on the same directories and on new ports.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = Process::spawn(&self.root, self.configured, &self.env);
        self.front = Target::new(self.front.addr);
        self.admin = Target::new(self.admin.addr);
        self.up().await;
    }
}

/// SHA-256 as hex.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as hex.
pub fn hex(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in bytes {
        write!(hex, "{byte:02x}").expect("a string takes everything");
    }
    hex
}

/// The binary's process and what it says.
pub struct Process {
    child: Child,
    printed: Lines,
    log: Lines,
}

impl Process {
    fn spawn(root: &TempDir, configured: bool, env: &[(String, String)]) -> Self {
        let mut command = Command::new(wharf_binary());
        command
            .arg("serve")
            .arg(root.path().join("services"))
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--data")
            .arg(root.path().join("data"))
            .envs(env.iter().map(|(name, value)| (name, value)))
            .current_dir(root.path());
        if configured {
            command.arg("--config").arg(root.path().join("wharf.toml"));
        }
        Self::start(&mut command)
    }

    /// Starts any command, with its outputs kept.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary that was just built runs");
        let (printed, log) = (Lines::default(), Lines::default());
        printed.read(child.stdout.take().expect("it is piped"));
        log.read(child.stderr.take().expect("it is piped"));
        Self {
            child,
            printed,
            log,
        }
    }

    /// Waits for the address that it prints behind `what`.
    pub async fn announced(&mut self, what: &str) -> SocketAddr {
        let printed = self.printed.clone();
        let found = wait_for(&format!("it printed `{what}`"), || {
            let lines = printed.all();
            let addr = lines
                .iter()
                .find_map(|line| line.strip_prefix(what)?.parse().ok());
            let ended = self.ended();
            async move {
                match (addr, ended) {
                    (Some(addr), _) => Some(Ok(addr)),
                    (None, Some(status)) => Some(Err(status)),
                    (None, None) => None,
                }
            }
        })
        .await;
        found.unwrap_or_else(|status| panic!("it ended at once: {status}"))
    }

    /// What it printed on stdout.
    pub fn printed(&self) -> Vec<String> {
        self.printed.all()
    }

    /// What it logged to stderr.
    pub fn log(&self) -> Vec<String> {
        self.log.all()
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        // One that has ended in the meantime is where the signal wanted it.
        let _ended = kill_process(pid, signal);
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Waits until it has ended.
    pub async fn wait(&mut self) -> ExitStatus {
        wait_for("it ended", || {
            let ended = self.ended();
            async move { ended }
        })
        .await
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        let _ended = self.child.kill();
        self.child.wait().expect("it is our child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the end of its log ---\n{}\n---", self.log.tail(TAIL));
        }
    }
}
