use std::sync::Mutex;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::super::testing::{Fake, Reply, Run};
use super::*;

fn stage(service: &str, stage: &str) -> String {
    format!(
        "event: event\ndata: {{\"kind\":\"deploy\",\"service\":\"{service}\",\"stage\":\"{stage}\",\"message\":\"\"}}\n\n"
    )
}

const LIVE: &str = r#"{"service":"login","state":"live","revision":8,"digest":"ab12cd34ef56"}"#;

/// A host that tells of the stages of `service` before it gives its verdict.
async fn host(verdict: impl Fn() -> Reply + Send + Sync + 'static) -> Fake {
    Fake::start(move |request| {
        if request.method == Method::PUT {
            return verdict();
        }
        let events = [
            stage("login", "validating"),
            stage("pay", "shifting"),
            stage("login", "compiling"),
            stage("login", "compiling"),
            stage("login", "warming"),
            stage("login", "live"),
        ];
        Reply::open_stream(&events.concat())
    })
    .await
}

struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    async fn deploy(&self, host: &Fake, arguments: &[&str]) -> Run {
        let mut line = vec!["deploy".to_owned(), self.path(arguments[0])];
        line.extend(arguments[1..].iter().map(ToString::to_string));
        let line: Vec<_> = line.iter().map(String::as_str).collect();
        host.run(&line).await
    }
}

fn sent(host: &Fake) -> (String, String) {
    let requests = host.requests();
    let put = requests
        .iter()
        .find(|request| request.method == Method::PUT)
        .unwrap();
    (
        put.path.clone(),
        String::from_utf8(put.body.to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn a_component_goes_with_the_manifest_beside_it() {
    let host = host(|| Reply::json(LIVE)).await;
    let files = Files::new(&[
        ("login.wasm", "\0asm"),
        ("login.toml", "[limits]"),
        ("other.toml", "[other]"),
    ]);
    let run = files.deploy(&host, &["login.wasm"]).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "login: release 8 (ab12cd34) is live\n"),
        "{}",
        run.err
    );
    let (path, body) = sent(&host);
    assert_eq!(path, "/api/services/login");
    assert!(
        body.contains("name=\"component\"") && body.contains("\0asm"),
        "{body}"
    );
    assert!(
        body.contains("name=\"manifest\"") && body.contains("[limits]"),
        "{body}"
    );
    assert!(!body.contains("[other]"), "{body}");
}

#[tokio::test]
async fn without_a_manifest_none_is_sent_and_one_that_was_named_must_be_there() {
    let host = host(|| Reply::json(LIVE)).await;
    let files = Files::new(&[("my_login.wasm", "\0asm"), ("my_login.toml", "[mine]")]);
    let run = files
        .deploy(&host, &["my_login.wasm", "--name", "login"])
        .await;
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(!sent(&host).1.contains("manifest"), "{}", sent(&host).1);
    let run = files
        .deploy(
            &host,
            &["my_login.wasm", "--name", "login", "--manifest", "no/such"],
        )
        .await;
    assert_eq!(run.code, 1);
    assert!(run.err.contains("no/such can't be read"), "{}", run.err);
}

#[tokio::test]
async fn a_file_name_that_is_none_for_a_service_is_told_what_would_do() {
    let host = host(|| Reply::json(LIVE)).await;
    let files = Files::new(&[("my_login.wasm", "\0asm")]);
    let run = files.deploy(&host, &["my_login.wasm"]).await;
    assert_eq!(run.code, 1);
    assert!(
        run.err.contains("`--name my-login` would do"),
        "{}",
        run.err
    );
    let run = files.deploy(&host, &["missing.wasm"]).await;
    assert!(
        run.err.contains("missing.wasm can't be read"),
        "{}",
        run.err
    );
    assert!(host.requests().is_empty());
}

/// A host whose verdict comes once all stages were sent, as it does in earnest.
#[tokio::test]
async fn each_stage_is_a_line_where_there_is_no_terminal() {
    let streams: Mutex<Vec<UnboundedSender<String>>> = Mutex::default();
    let host = Fake::start(move |request| {
        let mut streams = streams.lock().unwrap();
        if request.method == Method::PUT {
            return Reply::json(LIVE);
        }
        assert_eq!(request.path, "/api/events/stream?service=login");
        let (sender, receiver) = unbounded_channel();
        for (service, name) in [
            ("login", "validating"),
            ("pay", "shifting"),
            ("login", "compiling"),
            ("login", "compiling"),
        ] {
            sender.send(stage(service, name)).unwrap();
        }
        streams.push(sender);
        Reply::channel(receiver)
    })
    .await;
    let files = Files::new(&[("login.wasm", "\0asm")]);
    let run = files.deploy(&host, &["login.wasm"]).await;
    let stages: Vec<_> = run.err.lines().collect();
    assert_eq!(stages[0], "login: sending");
    assert!(
        stages.last().unwrap().starts_with("login: done in "),
        "{stages:?}"
    );
    // the answer may overtake the stream, but what is shown is in order, once, and of this service
    let between = &stages[1..stages.len() - 1];
    assert!(
        ["login: validating", "login: compiling"].starts_with(between),
        "{stages:?}"
    );
}

#[tokio::test]
async fn a_terminal_shows_one_line_that_is_gone_at_the_end() {
    let host = host(|| Reply::json(LIVE)).await;
    let files = Files::new(&[("login.wasm", "\0asm")]);
    let file = files.path("login.wasm");
    let run = host.run_with(&["deploy", &file], Some(80)).await;
    assert!(!run.err.contains('\n'), "{:?}", run.err);
    let last = run.err.trim_end_matches('\r').rsplit('\r').next().unwrap();
    assert_eq!(last.trim(), "", "{:?}", run.err);
}

#[tokio::test]
async fn a_refusal_is_the_hosts_own_words() {
    let host = host(|| Reply::problem(422, "it imports wasi:gpu, which no host has")).await;
    let files = Files::new(&[("login.wasm", "\0asm")]);
    let run = files.deploy(&host, &["login.wasm"]).await;
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    let last = run.err.lines().last().unwrap();
    assert_eq!(
        last,
        "wharf: login: not deployed: it imports wasi:gpu, which no host has"
    );
}

#[tokio::test]
async fn a_release_that_is_held_is_told_from_one_that_is_refused() {
    let host = host(|| Reply::problem(409, "it asks for wasi:keyvalue/store, too")).await;
    let files = Files::new(&[("login.wasm", "\0asm")]);
    let run = files.deploy(&host, &["login.wasm", "--json"]).await;
    assert_eq!(run.code, 1);
    assert!(run.out.contains("\"status\":409"), "{}", run.out);
    assert!(
        run.err.contains("`wharf resume login` takes it"),
        "{}",
        run.err
    );
}

#[tokio::test]
async fn a_host_without_an_event_stream_deploys_all_the_same() {
    let host = Fake::start(|request| match request.method {
        Method::PUT => Reply::json(LIVE),
        _ => Reply::problem(404, "there is no such page"),
    })
    .await;
    let files = Files::new(&[("login.wasm", "\0asm")]);
    assert_eq!(
        files.deploy(&host, &["login.wasm", "--json"]).await.out,
        format!("{LIVE}\n")
    );
}
