//! Names that mean what a test wants, wires that lead to peers played in memory, and servers that
//! really listen.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::super::{Dial, Download, Io, Network, NetworkError, Resolve, Settings, Timeouts};
use crate::config::HttpGrant;

pub(super) fn grants(all: &[&str]) -> Vec<HttpGrant> {
    all.iter().map(|text| text.parse().unwrap()).collect()
}

pub(super) fn get(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri).body(Empty::new()).unwrap()
}

pub(super) async fn text(response: Response<Download>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A resolver that knows what it was told. Of several answers each is given once, the last one for
/// ever.
#[derive(Default)]
pub(super) struct Names {
    answers: Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>,
    pub(super) asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().push(name.to_owned());
        let answer = self.answers.lock().get_mut(name).map(|answers| {
            if answers.len() > 1 {
                answers.pop_front().unwrap()
            } else {
                answers[0].clone()
            }
        });
        match answer {
            Some(answer) => Ok(answer),
            None => pending().await,
        }
    }
}

/// What is at the other end.
#[derive(Clone, Copy)]
pub(super) enum Peer {
    /// Answers each request with what it heard.
    Echo,
    /// Answers each head with these bytes.
    Says(&'static str),
    /// Answers the first head with these bytes and hangs up.
    SaysOnce(&'static str),
    /// Answers with four bytes, one every 50 seconds.
    Drips,
    /// Connects and never says or takes anything.
    Mute,
    /// Never even connects.
    Silent,
    /// Doesn't connect.
    Fails(io::ErrorKind),
}

/// Leads to peers; to [`Peer::Echo`] where nothing else was said.
#[derive(Default)]
pub(super) struct Wire {
    peers: Mutex<HashMap<IpAddr, Peer>>,
    pub(super) dialled: Mutex<Vec<SocketAddr>>,
    pub(super) heard: Arc<Mutex<String>>,
    /// What mute peers hold, so that a test sees when the connection is dropped.
    pub(super) held: Mutex<Vec<DuplexStream>>,
}

#[async_trait]
impl Dial for Wire {
    async fn dial(&self, address: SocketAddr) -> io::Result<Box<dyn Io>> {
        self.dialled.lock().push(address);
        let peer = self.peers.lock().get(&address.ip()).copied();
        let (near, far) = duplex(1024);
        match peer.unwrap_or(Peer::Echo) {
            Peer::Echo => {
                tokio::spawn(serve(far));
            }
            Peer::Says(answer) => {
                tokio::spawn(say(far, answer, usize::MAX, Arc::clone(&self.heard)));
            }
            Peer::SaysOnce(answer) => {
                tokio::spawn(say(far, answer, 1, Arc::clone(&self.heard)));
            }
            Peer::Drips => {
                tokio::spawn(drip(far));
            }
            Peer::Mute => self.held.lock().push(far),
            Peer::Silent => pending().await,
            Peer::Fails(kind) => return Err(kind.into()),
        }
        Ok(Box::new(near))
    }
}

async fn say(mut io: DuplexStream, answer: &str, times: usize, heard: Arc<Mutex<String>>) {
    for _ in 0..times {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let Ok(byte) = io.read_u8().await else { return };
            request.push(byte);
            heard.lock().push(char::from(byte));
        }
        if io.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Doesn't care for more of the request than that there is one.
async fn drip(mut io: DuplexStream) {
    while io.read_u8().await.unwrap() != b'\n' {}
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
    io.write_all(head).await.unwrap();
    for _ in 0..4 {
        sleep(Duration::from_secs(50)).await;
        io.write_all(b"x").await.unwrap();
    }
}

async fn serve(io: impl Io + 'static) {
    let server = auto::Builder::new(TokioExecutor::new());
    let connection = server.serve_connection(TokioIo::new(io), service_fn(echo));
    let _ = connection.await;
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    use std::fmt::Write;
    let (head, body) = request.into_parts();
    let mut text = format!("{} {} {:?}\n", head.method, head.uri, head.version);
    for (name, value) in &head.headers {
        writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
    }
    if let Ok(body) = body.collect().await {
        writeln!(text, "+{}", body.to_bytes().len()).unwrap();
    }
    Ok(Response::new(text.into()))
}

/// A network in memory.
pub(super) struct World {
    pub(super) names: Arc<Names>,
    pub(super) wire: Arc<Wire>,
    pub(super) network: Network,
}

pub(super) fn world(names: &[(&str, &[&str])]) -> World {
    world_with(names, Settings::default())
}

pub(super) fn world_with(names: &[(&str, &[&str])], settings: Settings) -> World {
    let resolver = Arc::new(Names::default());
    let wire = Arc::new(Wire::default());
    let network = Network::with(
        settings,
        Arc::clone(&resolver) as Arc<dyn Resolve>,
        Arc::clone(&wire) as Arc<dyn Dial>,
    );
    let world = World {
        names: resolver,
        wire,
        network: network.unwrap(),
    };
    for (name, addresses) in names {
        world.answer(name, addresses);
    }
    world
}

impl World {
    /// One more answer for `name`.
    pub(super) fn answer(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let mut answers = self.names.answers.lock();
        answers
            .entry(name.to_owned())
            .or_default()
            .push_back(addresses);
    }

    pub(super) fn peer(&self, ip: &str, peer: Peer) {
        self.wire.peers.lock().insert(ip.parse().unwrap(), peer);
    }

    pub(super) async fn get(&self, uri: &str, granted: &[&str]) -> Result<String, NetworkError> {
        let granted = grants(granted);
        let sent = self
            .network
            .send(get(uri), &granted, Timeouts::default())
            .await?;
        Ok(text(sent).await)
    }

    pub(super) fn dialled(&self) -> Vec<String> {
        self.wire
            .dialled
            .lock()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// What was dialled since this was called last.
    pub(super) fn dialled_now(&self) -> Vec<String> {
        let dialled = self.dialled();
        self.wire.dialled.lock().clear();
        dialled
    }

    /// `uri` isn't sent anywhere, nor anything looked up for it. Some URIs can't even be written.
    pub(super) async fn never_leaves(&self, uri: &str, granted: &[&str]) {
        if uri.parse::<http::Uri>().is_err() {
            return;
        }
        let error = self.get(uri, granted).await.unwrap_err();
        assert!(
            matches!(error, NetworkError::Denied(_) | NetworkError::UriInvalid(_)),
            "{uri}: {error:?}"
        );
        assert_eq!(self.dialled(), [""; 0], "{uri}");
        assert_eq!(*self.names.asked.lock(), [""; 0], "{uri}");
    }

    /// The address behind `uri` is not dialled.
    pub(super) async fn is_prohibited(&self, uri: &str, granted: &[&str]) {
        let error = self.get(uri, granted).await.unwrap_err();
        assert!(
            matches!(error, NetworkError::IpProhibited { .. }),
            "{uri}: {error:?}"
        );
        assert_eq!(self.dialled(), [""; 0], "{uri}");
    }
}

/// A server on a port of this machine.
pub(super) struct Server {
    pub(super) port: u16,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    /// Serves echoes, with TLS if there is an acceptor.
    pub(super) async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => serve(io).await,
                        Some(tls) => {
                            if let Ok(io) = tls.accept(io).await {
                                serve(io).await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, accepted }
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}
