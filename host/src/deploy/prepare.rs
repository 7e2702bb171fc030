//! Makes a release: read, validate, compile, keep, warm. Nothing that is served knows of it until it
//! is published.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, bail};
use tokio::time::Instant;
use tracing::debug;

use super::archive::Archive;
use super::capability;
use super::fingerprint::Fingerprint;
use super::releases::State;
use super::scan::Sighting;
use super::source::{Source, Sources};
use crate::config::{Config, Manifest};
use crate::service::exit::unix_seconds;
use crate::service::launch::Launch as _;
use crate::service::pool::{Pool, PoolLimits};
use crate::service::quarantine::Ward;
use crate::service::status::{Held, HeldBy};
use crate::service::supervisor::{Crew, Supervisor};
use crate::service::{Ledger, Release, ReleaseInfo, Service};
use crate::telemetry::events::{Event, Stage};
use crate::wasm::typed::Links;
use crate::wasm::{
    Bounds, Compiler, Component, Contract, Facts, Launcher, Library, Reach, Sandbox,
};

/// What releases are made with.
pub struct Workshop {
    /// The configuration.
    pub(super) config: Config,
    /// The engine.
    pub(super) sandbox: Arc<Sandbox>,
    /// Where files and compiled code come from.
    pub(super) sources: Arc<Sources>,
    /// Where releases are kept.
    pub(super) archive: Archive,
    /// What guests can reach.
    pub(super) reach: Reach,
    /// Where exits and metrics go.
    pub(super) ledger: Arc<Ledger>,
}

/// What a release is to be made of.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// The files in the services directory, as they were seen.
    Files(Sighting),
    /// The release of that number, which is kept.
    Kept(u64),
}

/// What is wanted of the workshop.
pub(super) struct Order {
    pub(super) service: Arc<Service>,
    pub(super) origin: Origin,
    /// The operator wants it, whatever it imports.
    pub(super) forced: bool,
    /// The release that ran before this process, if none has since. Its failure now is no verdict.
    pub(super) ran: Option<u64>,
    /// What the release imports that is to be replaced.
    pub(super) replaces: Option<Arc<Facts>>,
}

/// The content that was judged, and the judgement.
pub(super) struct Judged {
    pub(super) service: Arc<Service>,
    /// `None` if the files could not be read.
    pub(super) fingerprint: Option<Fingerprint>,
    /// It came from the services directory.
    pub(super) from_files: bool,
    pub(super) outcome: Outcome,
}

/// What becomes of a release.
pub(super) enum Outcome {
    /// It is warm.
    Warm(Warm),
    /// It waits for the operator.
    Held(Held),
    /// It can't be taken.
    Refused(anyhow::Error),
}

/// A release that is warm.
pub(super) struct Warm {
    pub(super) release: Arc<Release>,
    /// What it wants of other services, and offers them.
    pub(super) contract: Arc<Contract>,
    /// To be set when it goes live.
    pub(super) links: Links,
    /// What it imports.
    pub(super) facts: Arc<Facts>,
}

/// Makes a release.
pub(super) async fn prepare(workshop: Arc<Workshop>, order: Order) -> Judged {
    let start = Instant::now();
    workshop.tell(&order.service, Stage::Validating, "its files are read");
    let (fingerprint, outcome) = match take(&workshop, &order).await {
        Ok(source) => {
            let code_ms = start.elapsed().as_secs_f64() * 1e3;
            let fingerprint = Some(source.fingerprint.clone());
            let outcome = make(&workshop, &order, source).await;
            let total_ms = start.elapsed().as_secs_f64() * 1e3;
            debug!(service = %order.service.name, code_ms, total_ms, "a release was made");
            (fingerprint, outcome.unwrap_or_else(Outcome::Refused))
        }
        Err((fingerprint, error)) => (fingerprint, Outcome::Refused(error)),
    };
    Judged {
        from_files: matches!(order.origin, Origin::Files(_)),
        service: order.service,
        fingerprint,
        outcome,
    }
}

/// What was not read, if that is known, and why.
type Unread = (Option<Fingerprint>, anyhow::Error);

async fn take(workshop: &Workshop, order: &Order) -> Result<Source, Unread> {
    let (sources, name) = (&workshop.sources, &order.service.name);
    let seen = match &order.origin {
        Origin::Kept(revision) => {
            let kept = sources.kept(&workshop.archive, name, *revision).await;
            return kept.map_err(|error| (None, error));
        }
        Origin::Files(seen) => seen,
    };
    sources
        .check_size(name, seen)
        .map_err(|error| (Some(seen.fingerprint.clone()), error))?;
    let files = sources.files(name);
    if let Some(source) = sources.recall(files.clone(), seen.clone()).await {
        return Ok(source);
    }
    workshop.tell(&order.service, Stage::Compiling, "it is compiled");
    sources.read(files).await.map_err(|error| (None, error))
}

async fn make(workshop: &Arc<Workshop>, order: &Order, source: Source) -> Result<Outcome> {
    let name = &order.service.name;
    let component = source.component?;
    let at = &source.files.manifest;
    let text = source.manifest?;
    let mut manifest = match &text {
        Some(text) => Manifest::parse(name, at, text, &workshop.config)?,
        None => Manifest::default_for(name, &workshop.config),
    };
    if component.generation.is_none() {
        manifest = manifest.without_requests(at)?;
    }
    let accept = |state| {
        let release = (&source.fingerprint, text.clone());
        workshop.archive.accept(name, &source.files, release, state)
    };
    let revision = match (&order.origin, &order.replaces) {
        // it ran before
        (Origin::Kept(revision), _) => *revision,
        (Origin::Files(_), Some(before)) if !order.forced => {
            let added = capability::added(before, &component.facts, &manifest.grants);
            if !added.is_empty() {
                accept(State::Held).await;
                let held = held(name.as_str(), &source.fingerprint, added);
                return Ok(Outcome::Held(held));
            }
            accept(State::Canary).await
        }
        (Origin::Files(_), _) => accept(State::Canary).await,
    };
    let info = Arc::new(ReleaseInfo {
        service: name.clone(),
        revision,
        digest: Arc::clone(&source.fingerprint.component),
        made: SystemTime::now(),
    });
    workshop.tell(&order.service, Stage::Warming, "its instances are started");
    let warm = warm(workshop, &order.service, info, manifest, component, at).await;
    if let (Err(error), Origin::Files(_)) = (&warm, &order.origin)
        && order.ran != Some(revision)
    {
        let archive = &workshop.archive;
        archive.mark(name, revision, State::TakenBack, Some(format!("{error:#}")));
    }
    warm.map(Outcome::Warm)
}

fn held(service: &str, fingerprint: &Fingerprint, added: Vec<String>) -> Held {
    let keys = capability::keys(&added);
    let message = format!(
        "the new release imports {} and is granted nothing of the kind, which the running one doesn't import; \
         grant it in {service}.toml ({}), or take it as it is: wharf resume {service}",
        added.join(", "),
        keys.join(", ")
    );
    Held {
        digest: fingerprint.component.to_string(),
        at: unix_seconds(SystemTime::now()),
        why: HeldBy::Capabilities,
        added,
        message,
    }
}

async fn warm(
    workshop: &Arc<Workshop>,
    service: &Arc<Service>,
    info: Arc<ReleaseInfo>,
    manifest: Manifest,
    component: Component,
    manifest_file: &Path,
) -> Result<Warm> {
    let contract = Arc::clone(component.contract());
    let facts = Arc::clone(&component.facts);
    let launcher = Launcher::new(
        Arc::clone(&workshop.sandbox),
        component,
        &info,
        &manifest,
        &manifest_file.display().to_string(),
        (
            &workshop.config.log,
            workshop.ledger.logbook.open(&service.name),
        ),
        workshop.reach.clone(),
    );
    let links = launcher.links().clone();
    let pool = Pool::new(PoolLimits::of(&manifest, launcher.concurrency()));
    let (supervisor, warmed) = Supervisor::start(Crew {
        pool: Arc::clone(&pool),
        launcher: Arc::new(launcher),
        count: manifest.instances.count,
        restart: manifest.restart.clone(),
        release: Arc::clone(&info),
        ledger: Arc::clone(&workshop.ledger),
        metrics: service.metrics.clone(),
        share: Arc::clone(&service.share),
    });
    match warmed.await {
        Ok(Ok(())) => {}
        Ok(Err(exit)) => {
            supervisor.drain(Instant::now());
            // in wasmtime's words; nothing is wrong with the guest
            let full = exit.message.contains("concurrent limit");
            let hint = if full {
                "; sandbox.max_instances in wharf.toml is how many there may be"
            } else {
                ""
            };
            bail!(
                "{}.wasm fails to start: {}{hint}",
                service.name,
                exit.message
            );
        }
        Err(_) => bail!(
            "{}.wasm was not started: the host is shutting down",
            service.name
        ),
    }
    let release = Arc::new(Release {
        ward: Ward::new(manifest.failover.quarantine),
        info,
        manifest,
        pool,
        supervisor,
    });
    Ok(Warm {
        release,
        contract,
        links,
        facts,
    })
}

/// The directory of compiled code inside the data directory.
const COMPILED: &str = "compiled";

impl Workshop {
    /// What releases are made with on this server.
    pub fn new(
        config: Config,
        sandbox: Arc<Sandbox>,
        archive: Archive,
        reach: Reach,
        ledger: Arc<Ledger>,
    ) -> Self {
        let cache = config.deploy.compile_cache;
        let cache = cache.map(|most| (config.data.join(COMPILED), most));
        let compiler = Compiler::process(Bounds {
            time: config.deploy.compile_timeout,
            memory: config.deploy.compile_memory,
        });
        let library = Library::new(Arc::clone(&sandbox), cache, compiler);
        Self {
            sources: Arc::new(Sources::new(&config, library)),
            config,
            sandbox,
            archive,
            reach,
            ledger,
        }
    }

    /// Tells how far a deploy is.
    pub(super) fn tell(&self, service: &Service, stage: Stage, what: &str) {
        self.ledger
            .events
            .tell(Event::deploy(stage).service(&service.name).say(what));
    }
}
