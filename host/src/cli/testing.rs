//! A host that answers as a test wants it to, and commands that run against it.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser as _;
use futures::StreamExt as _;
use futures::stream;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::output::Output;
use super::{Arguments, Command, operator};

/// When it is in tests: 2025-11-26T18:00:09Z.
pub(super) const NOW: f64 = 1_764_180_009.0;
/// How long a test waits for what has to come.
const LONG: Duration = Duration::from_mins(1);

/// A request that came in.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Seen {
    /// Method and path, with the query.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// An answer.
pub(super) struct Reply {
    status: u16,
    kind: &'static str,
    body: UnsyncBoxBody<Bytes, Infallible>,
}

impl Reply {
    /// Any text.
    pub(super) fn text(status: u16, kind: &'static str, text: &str) -> Self {
        let body = Full::new(Bytes::from(text.to_owned())).boxed_unsync();
        Self { status, kind, body }
    }

    /// A document.
    pub(super) fn json(text: &str) -> Self {
        Self::text(200, "application/json", text)
    }

    /// A refusal.
    pub(super) fn problem(status: u16, detail: &str) -> Self {
        let document = format!(
            r#"{{"type":"about:blank","title":"Refused","status":{status},"detail":{}}}"#,
            serde_json::to_string(detail).unwrap()
        );
        Self::text(status, "application/problem+json", &document)
    }

    /// 204
    pub(super) fn empty() -> Self {
        Self::text(204, "application/json", "")
    }

    /// A stream of these bytes that then ends.
    pub(super) fn stream(text: &str) -> Self {
        Self::text(200, "text/event-stream", text)
    }

    /// A stream of these bytes that then stays open.
    pub(super) fn open_stream(text: &str) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        sender.send(text.to_owned()).unwrap();
        std::mem::forget(sender);
        Self::channel(receiver)
    }

    /// A stream of what comes through a channel.
    pub(super) fn channel(receiver: mpsc::UnboundedReceiver<String>) -> Self {
        let chunks = stream::unfold(receiver, async |mut receiver| {
            let text: String = receiver.recv().await?;
            Some((Ok(Frame::data(Bytes::from(text))), receiver))
        });
        let body = StreamBody::new(chunks.boxed()).boxed_unsync();
        Self {
            status: 200,
            kind: "text/event-stream",
            body,
        }
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// A host.
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    directory: tempfile::TempDir,
    seen: Arc<Mutex<Vec<Seen>>>,
    handler: Arc<Handler>,
    task: JoinHandle<()>,
}

/// What a command did.
pub(super) struct Run {
    pub(super) code: u8,
    pub(super) out: String,
    pub(super) err: String,
}

impl Fake {
    pub(super) const TOKEN: &str = "0123456789abcdef";

    /// Starts one that answers by `handler`.
    pub(super) async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("admin.token"), Self::TOKEN).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let handler: Arc<Handler> = Arc::new(handler);
        Self {
            address: listener.local_addr().unwrap(),
            task: tokio::spawn(serve(listener, Arc::clone(&handler), Arc::clone(&seen))),
            directory,
            seen,
            handler,
        }
    }

    /// Stops listening, and breaks what is open.
    pub(super) async fn stop(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    pub(super) async fn stopped(mut self) -> Self {
        self.stop().await;
        self
    }

    /// Listens again where it did.
    pub(super) async fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let (handler, seen) = (Arc::clone(&self.handler), Arc::clone(&self.seen));
        self.task = tokio::spawn(serve(listener, handler, seen));
    }

    pub(super) fn requests(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The file with the token.
    pub(super) fn token_file(&self) -> std::path::PathBuf {
        self.directory.path().join("admin.token")
    }

    /// Runs a command to its end, as in a pipe.
    pub(super) async fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, None).await
    }

    /// Runs a command to its end, on a terminal of that width if there is one.
    pub(super) async fn run_with(&self, arguments: &[&str], width: Option<usize>) -> Run {
        let (out, err) = (Captured::default(), Captured::default());
        let code = timeout(LONG, self.command(arguments, width, &out, &err));
        let code = code.await.expect("the command ends");
        let (out, err) = (out.text(), err.text());
        Run { code, out, err }
    }

    /// Runs a command and, beside it, a test that reads what it prints; the command ends with it.
    pub(super) async fn watch(
        &self,
        arguments: &[&str],
        test: impl AsyncFnOnce(&Captured, &Captured),
    ) {
        let (out, err) = (Captured::default(), Captured::default());
        let both = async {
            tokio::select! {
                code = self.command(arguments, None, &out, &err) => {
                    panic!("it ended with {code}: {}{}", out.text(), err.text())
                }
                () = test(&out, &err) => {}
            }
        };
        let waited = timeout(LONG, both).await;
        assert!(
            waited.is_ok(),
            "nothing came after {:?} {:?}",
            out.text(),
            err.text()
        );
    }

    async fn command(
        &self,
        arguments: &[&str],
        width: Option<usize>,
        out: &Captured,
        err: &Captured,
    ) -> u8 {
        let (address, token) = (self.address.to_string(), self.token_file());
        let mut line = vec!["wharf"];
        line.extend(arguments);
        if !arguments.contains(&"--admin") {
            line.extend(["--admin", &address]);
        }
        if !arguments.contains(&"--token-file") {
            line.extend(["--token-file", token.to_str().unwrap()]);
        }
        let command = match Arguments::try_parse_from(line) {
            Ok(arguments) => arguments.command,
            Err(error) => return u8::try_from(error.exit_code()).unwrap(),
        };
        let Command::Operator(command) = command else {
            panic!("no host is asked by that command");
        };
        let mut output = Output::new(out.clone(), err.clone(), width, || NOW);
        operator::execute(&command, &mut output).await
    }
}

async fn serve(listener: TcpListener, handler: Arc<Handler>, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
        let service =
            service_fn(move |request| answer(request, Arc::clone(&handler), Arc::clone(&seen)));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    request: Request<Incoming>,
    handler: Arc<Handler>,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let request = Seen {
        method: head.method,
        path: head.uri.to_string(),
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    };
    let allowed = request.headers.get("authorization").is_some_and(|value| {
        value
            .to_str()
            .is_ok_and(|value| value == format!("Bearer {}", Fake::TOKEN))
    });
    let reply = if allowed {
        handler(&request)
    } else {
        Reply::problem(401, "the token is missing or wrong")
    };
    seen.lock().unwrap().push(request);
    let mut response = Response::new(reply.body);
    *response.status_mut() = reply.status.try_into().unwrap();
    let headers = response.headers_mut();
    headers.insert("content-type", reply.kind.parse().unwrap());
    if !allowed {
        headers.insert("www-authenticate", "Bearer".parse().unwrap());
    }
    Ok(response)
}

/// What was printed, without colours.
#[derive(Clone, Default)]
pub(super) struct Captured {
    bytes: Arc<Mutex<Vec<u8>>>,
    written: Arc<Notify>,
}

impl Captured {
    pub(super) fn text(&self) -> String {
        let text = String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap();
        anstream::adapter::strip_str(&text).to_string()
    }

    /// Waits until a text was printed.
    pub(super) async fn shows(&self, wanted: &str) {
        loop {
            let written = self.written.notified();
            if self.text().contains(wanted) {
                return;
            }
            written.await;
        }
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.lock().unwrap().extend_from_slice(bytes);
        self.written.notify_one();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
