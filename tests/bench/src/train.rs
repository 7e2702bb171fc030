//! `wharf-bench train`: everything that Wharf does often, done for a while.
//!
//! What a build has seen of this in its profile it makes fast, and what it hasn't it makes small
//! (`tests/bench/pgo`). So nothing is to be left out that a host does for its services every day: both
//! generations, a fresh instance for each request, large bodies, calls from service to service, HTTP/2, and
//! the services of the main job, whose state is kept. The peers are trained with it, so that who is
//! compared is built alike.

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use wharf_tests::build::{guest, root};

use crate::costs::home::Home;
use crate::options::Options;
use crate::peers::NATIVE;
use crate::workload::Workload;
use crate::{client, contest, hops, streaming};

/// How long a server may take until it answers: it counts all that it does.
const PATIENCE: Duration = Duration::from_mins(2);

/// How long each kind of request is sent, in seconds.
const SECONDS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

/// Users that register. Hashing their passwords is the guest's own work, and takes long.
const USERS: u32 = 20;

/// Who is built with this program.
const OWN: [&str; 3] = [NATIVE, "wharf", "floor"];

pub(crate) fn run(options: &Options) -> Result<()> {
    let options = options.training(&OWN, SECONDS);
    let peers = options.peers();
    for workload in [Workload::Hello, Workload::Echo] {
        let outcome = contest::run(&options, &peers, workload, options.connections);
        let notes = outcome.notes();
        ensure!(notes.is_empty(), "not everything was seen:\n{notes}");
    }
    eprintln!("{}", streaming::run(&options, &peers));
    eprintln!("{}", hops::run(&options)?);
    main_job()
}

/// Users register and log in, and then their sessions are asked for.
fn main_job() -> Result<()> {
    let home = Home::new()?;
    for name in ["accounts", "register", "login"] {
        let manifest = fs::read_to_string(root().join(format!("guests/{name}/{name}.toml")))?;
        home.service(name, &fs::read(guest(name))?, &manifest)?;
    }
    let _process = home.start(PATIENCE)?;
    eprintln!("the main job");
    client::wait(async {
        let mut connection = Connection::open(home.addr).await?;
        let mut token = None;
        for user in 0..USERS {
            let user = format!(r#"{{"username":"user{user}","password":"correct horse"}}"#);
            connection.post("/register", &user, 201).await?;
            let answer = connection.post("/login", &user, 200).await?;
            let answer: serde_json::Value = serde_json::from_slice(&answer)?;
            token = answer["token"].as_str().map(str::to_owned);
        }
        let token = token.context("login gave no token")?;
        let until = Instant::now() + Duration::from_secs(SECONDS.get() as u64);
        while Instant::now() < until {
            connection.session(&token).await?;
        }
        Ok(())
    })
}

/// One over HTTP/2, by prior knowledge.
struct Connection {
    addr: SocketAddr,
    sender: http2::SendRequest<Full<Bytes>>,
}

impl Connection {
    async fn open(addr: SocketAddr) -> Result<Self> {
        let stream = TokioIo::new(TcpStream::connect(addr).await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        // its errors are those of its requests too
        tokio::spawn(connection);
        Ok(Self { addr, sender })
    }

    async fn post(&mut self, path: &str, json: &str, wanted: u16) -> Result<Bytes> {
        let request = self.request(Method::POST, path);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let body = Full::new(Bytes::copy_from_slice(json.as_bytes()));
        self.send(request.body(body)?, wanted).await
    }

    async fn session(&mut self, token: &str) -> Result<()> {
        let request = self.request(Method::GET, "/login/session");
        let bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
        let request = request.header(header::AUTHORIZATION, bearer);
        self.send(request.body(Full::default())?, 200)
            .await
            .map(drop)
    }

    async fn send(&mut self, request: Request<Full<Bytes>>, wanted: u16) -> Result<Bytes> {
        let reply = client::whole(self.sender.send_request(request).await?).await?;
        ensure!(reply.status == wanted, "it answered {reply:?}");
        Ok(reply.body)
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let target = format!("http://{}{path}", self.addr);
        Request::builder().method(method).uri(target)
    }
}
