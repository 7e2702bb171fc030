//! The whole server: bind first, serve when ready, drain at the end.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{timeout, timeout_at};
use tracing::{debug, error, info, warn};

use crate::admin::token::Token;
use crate::admin::{Admin, Streams};
use crate::calls::Calls;
use crate::config::Config;
use crate::deploy::archive::Archive;
use crate::deploy::operator::Operator;
use crate::deploy::upload::Uploads;
use crate::deploy::{Controller, Workshop};
use crate::drain::Signals;
use crate::ingress::{Ingress, Routes};
use crate::keyvalue::{EmbeddedStore, Store as KeyValueStore};
use crate::network::{Network, Settings};
use crate::service::gate::Gate;
use crate::service::{Catalog, Ledger};
use crate::telemetry::access::AccessLog;
use crate::telemetry::events::{Event, Events, Kind};
use crate::telemetry::otlp::Otlp;
use crate::telemetry::record::Recorder;
use crate::telemetry::sampler::Sampler;
use crate::threads::{Loops, Threads};
use crate::wasm::{Reach, Sandbox};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long the store and the listeners may take to close once nothing uses them.
const CLOSING: Duration = Duration::from_secs(5);

/// A server that is bound and not yet serving.
pub struct App {
    config: Config,
    front: TcpListener,
    admin: TcpListener,
    keyvalue: Arc<dyn KeyValueStore>,
    sandbox: Arc<Sandbox>,
    gate: Arc<Gate>,
    loops: Arc<Loops>,
    archive: Archive,
    token: Token,
    access: AccessLog,
}

/// A server that is up, for whoever started it.
pub struct Serving {
    /// Where requests come in.
    pub address: SocketAddr,
    /// The services, as they change.
    pub catalog: Arc<Catalog>,
}

impl App {
    /// Takes everything that can fail to be had: directories, addresses, the data, the engine.
    ///
    /// # Errors
    ///
    /// What can't be had, and what to do.
    pub async fn build(config: Config, threads: &Threads) -> Result<Self> {
        for (directory, what) in [(&config.services, "services"), (&config.data, "data")] {
            std::fs::create_dir_all(directory).with_context(|| {
                format!("the {what} directory {} can't be made", directory.display())
            })?;
        }
        let front = bind(config.listen, "--listen")?;
        let admin = bind(config.admin, "--admin")?;
        // side by side: neither needs the other, and a start should not be noticed
        let (data, limits) = (config.data.clone(), config.sandbox.clone());
        let keyvalue = spawn_blocking(move || timed("the store", || EmbeddedStore::open(&data)));
        let sandbox = spawn_blocking(move || timed("the engine", || Sandbox::new(&limits)));
        let keyvalue = keyvalue.await??;
        let sandbox = sandbox.await??;
        // the store has made sure that no other process uses the directory
        let token = Token::of(&config.data)?;
        let archive = Archive::open(&config);
        let access = AccessLog::open(&config.access_log).context(
            "the access log can't be opened; access_log.output in wharf.toml says where it goes",
        )?;
        Ok(Self {
            config,
            front,
            admin,
            keyvalue: Arc::new(keyvalue),
            sandbox,
            gate: Arc::clone(threads.gate()),
            loops: Arc::clone(threads.loops()),
            archive,
            token,
            access,
        })
    }

    /// Serves until a signal, then drains. Prints where it listens once every service that was
    /// there at the start is up or refused, and then calls `announced`.
    ///
    /// # Errors
    ///
    /// A failure of the host; a guest's never ends it.
    pub async fn run(self, announced: impl FnOnce(Serving) + Send + 'static) -> Result<()> {
        let signals = Signals::take()?;
        let (stop, stopping) = watch::channel(false);
        let (ready, is_ready) = watch::channel(false);
        let ledger = Ledger::new(self.gate);
        let events_log = ledger.events.clone();
        let routes: Arc<Routes> = Arc::new(Routes::default());
        let catalog: Arc<Catalog> = Arc::new(ArcSwap::default());
        let (front_address, admin_address) = (self.front.local_addr()?, self.admin.local_addr()?);
        let grace = self.config.drain.grace;
        let sampler = Sampler::new(Arc::clone(&catalog));
        let otlp = Otlp::from_env(Arc::new(sampler.clone())).unwrap_or_else(|error| {
            error!(%error, "telemetry is not exported");
            Otlp::off()
        });
        let ingress = Ingress::new(
            Arc::clone(&routes),
            Arc::clone(&ledger),
            Recorder::new(self.access.clone(), otlp.tracer()),
            self.config.http.clone(),
            self.loops,
        );
        let serving = Serving {
            address: front_address,
            catalog: Arc::clone(&catalog),
        };
        let reach = Reach {
            keyvalue: Arc::clone(&self.keyvalue),
            calls: Calls::new(Arc::clone(&catalog), otlp.tracer()),
            network: Network::new(Settings {
                listeners: vec![front_address, admin_address],
                ..Settings::default()
            })?,
            tracer: otlp.tracer(),
        };
        let (config, archive) = (self.config, self.archive.clone());
        let uploads = Uploads::new(&config.services);
        let (operator, orders) = Operator::new(uploads, self.archive.clone());
        let admin = Admin {
            catalog: Arc::clone(&catalog),
            ledger: Arc::clone(&ledger),
            keyvalue: Arc::clone(&self.keyvalue),
            operator,
            sampler: sampler.clone(),
            config: config.clone(),
            token: self.token,
            addresses: [front_address, admin_address],
            started: SystemTime::now(),
            ready: is_ready.clone(),
            stopping: stopping.clone(),
            streams: Streams::default(),
        };
        let workshop = Workshop::new(
            config,
            self.sandbox,
            self.archive,
            reach,
            Arc::clone(&ledger),
        );
        let controller = Controller::new(workshop, orders, routes, catalog, ready);
        let sampler = tokio::spawn(sampler.run());
        // the admin listener answers from the start to the end of the drain
        let admin = tokio::spawn(admin.serve(self.admin));
        let front = tokio::spawn(ingress.serve(self.front, stopping.clone()));
        let events = events_log.clone();
        let announced = tokio::spawn(async move {
            if announce(is_ready, front_address, admin_address).await {
                let event = Event::of(Kind::HostStarted);
                events.tell(event.say(format!("requests are taken on {front_address}")));
                announced(serving);
            }
        });
        let work = finish(controller, front, stopping, grace, events_log, archive);
        tokio::select! {
            result = work => result.map_err(|error| anyhow!("the deploy controller failed: {error}"))?,
            () = signals.drive(stop) => {}
        }
        announced.abort();
        sampler.abort();
        admin.abort();
        close(self.keyvalue, otlp, self.access).await;
        info!("stopped");
        Ok(())
    }
}

/// Closes what keeps something, once nothing uses it.
async fn close(keyvalue: Arc<dyn KeyValueStore>, otlp: Otlp, access: AccessLog) {
    if timeout(CLOSING, keyvalue.close()).await.is_err() {
        warn!("the key-value store took too long to close; what was acknowledged is safe");
    }
    let closing = spawn_blocking(move || access.close());
    let ((), closed) = tokio::join!(otlp.shutdown(), closing);
    if closed.is_err() {
        warn!("the access log could not be closed");
    }
}

/// Runs the controller until the word to stop, then lets what is in flight finish, and after that the
/// instances, all in `grace`.
async fn finish(
    controller: Controller,
    front: JoinHandle<()>,
    mut stopping: watch::Receiver<bool>,
    grace: Duration,
    events: Events,
    archive: Archive,
) -> Result<(), JoinError> {
    // requests first: the instances they run in are drained only after them
    let (front_over, over) = watch::channel(None);
    let controller = tokio::spawn(controller.run(over));
    let _ = stopping.wait_for(|stop| *stop).await;
    let event = Event::of(Kind::HostStopping);
    events.tell(event.say("the server finishes what it has, and takes no more"));
    let (until, cut) = (tokio::time::Instant::now() + grace, front.abort_handle());
    if timeout_at(until, front).await.is_err() {
        cut.abort();
        warn!(
            grace_seconds = grace.as_secs_f64(),
            "the grace period is over; what is still in flight is cut off"
        );
    }
    front_over.send_replace(Some(until));
    let ended = controller.await;
    archive.settle().await;
    ended
}

/// Says where the server listens, on standard output, for people and for scripts that wait for it.
/// `false` if it ended before it was ready.
async fn announce(mut ready: watch::Receiver<bool>, front: SocketAddr, admin: SocketAddr) -> bool {
    if ready.wait_for(|ready| *ready).await.is_err() {
        return false;
    }
    let mut out = std::io::stdout().lock();
    // nobody may be reading; that is no reason to stop serving
    let _ = writeln!(out, "listening on http://{front}\nadmin on http://{admin}");
    let _ = out.flush();
    true
}

/// Does one part of the start, and tells whoever debugs how long it took.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let made = work();
    debug!(ms = start.elapsed().as_secs_f64() * 1e3, "{what} is there");
    made
}

fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // a restart must not wait for connections of the process before
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().with_context(|| {
        format!(
            "can't listen on {address}: is something else using it? {flag} names another address"
        )
    })
}
