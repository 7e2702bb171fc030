//! Makes a release from a service's files: read, validate, compile, warm. Nothing that is served
//! knows of it until it is published.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::debug;

use super::fingerprint::{Files, Fingerprint, Stamp, sha256};
use super::scan::Sighting;
use crate::config::{Config, Manifest, ServiceName};
use crate::service::launch::Launch as _;
use crate::service::pool::{Pool, PoolLimits};
use crate::service::quarantine::Ward;
use crate::service::supervisor::{Crew, Supervisor};
use crate::service::{Ledger, Release, ReleaseInfo, Service};
use crate::wasm::typed::Links;
use crate::wasm::{Component, Contract, Launcher, Library, Reach, Sandbox};

/// What releases are made with.
pub(super) struct Workshop {
    /// The configuration.
    pub config: Config,
    /// The engine.
    pub sandbox: Arc<Sandbox>,
    /// What was compiled.
    pub library: Library,
    /// What guests can reach.
    pub reach: Reach,
    /// Where exits and metrics go.
    pub ledger: Arc<Ledger>,
    /// Bounds compilation, and with it how many components are in memory at once.
    pub(super) compiles: Semaphore,
    /// Bounds the loading of compiled code.
    pub(super) loads: Semaphore,
}

/// The content that was judged, and the judgement.
pub(super) struct Judged {
    pub name: ServiceName,
    /// `None` if the files could not be read.
    pub fingerprint: Option<Fingerprint>,
    /// A release that is warm.
    pub outcome: Result<Warm>,
}

/// A release that is warm.
pub(super) struct Warm {
    pub release: Arc<Release>,
    /// What it wants of other services, and offers them.
    pub contract: Arc<Contract>,
    /// To be set when it goes live.
    pub links: Links,
}

/// What one reading of a service's files gave.
struct Source {
    fingerprint: Fingerprint,
    manifest: Result<Option<String>>,
    component: Result<Component>,
}

/// A manifest as it was read, if there is one.
struct Text {
    digest: Option<Arc<str>>,
    text: Result<Option<String>>,
}

/// Makes a release of the files that were seen.
pub(super) async fn prepare(
    workshop: Arc<Workshop>,
    service: Arc<Service>,
    seen: Sighting,
) -> Judged {
    let name = service.name.clone();
    let files = Files::of(&workshop.config.services, &name);
    let start = Instant::now();
    let most = workshop.config.deploy.max_component_size;
    if let Err(error) = check_size(&files.component, seen.stamp.size, most) {
        return Judged {
            name,
            fingerprint: Some(seen.fingerprint),
            outcome: Err(error),
        };
    }
    let source = match recall(&workshop, &files, seen).await {
        Some(source) => Ok(source),
        None => compile(&workshop, &files).await,
    };
    let source = match source {
        Ok(source) => source,
        Err(error) => {
            return Judged {
                name,
                fingerprint: None,
                outcome: Err(error),
            };
        }
    };
    let fingerprint = Some(source.fingerprint.clone());
    let code = start.elapsed();
    let outcome = warm(&workshop, &service, &files, source).await;
    debug!(service = %name, code_ms = code.as_secs_f64() * 1e3, total_ms = start.elapsed().as_secs_f64() * 1e3,
        "a release was made");
    Judged {
        name,
        fingerprint,
        outcome,
    }
}

/// Takes what was compiled before, here or by a process before this one. The component itself isn't
/// even read: it was when it was seen, and hasn't changed since.
async fn recall(workshop: &Arc<Workshop>, files: &Files, seen: Sighting) -> Option<Source> {
    let _permit = workshop.loads.acquire().await;
    let files = files.clone();
    let shop = Arc::clone(workshop);
    let work = move || {
        if seen.stamp != Stamp::of(&files.component)? {
            return Ok(None);
        }
        let digest = seen.fingerprint.component;
        let Some(component) = shop.library.find(&digest) else {
            return Ok(None);
        };
        let manifest = read_manifest(&files)?;
        Ok(Some(Source {
            fingerprint: Fingerprint {
                component: digest,
                manifest: manifest.digest,
            },
            manifest: manifest.text,
            component: Ok(component),
        }))
    };
    // whatever went wrong is met again, and told, on the long way
    blocking(work).await.ok().flatten()
}

/// Reads the files as they are now, and compiles.
async fn compile(workshop: &Arc<Workshop>, files: &Files) -> Result<Source> {
    let _permit = workshop.compiles.acquire().await;
    let files = files.clone();
    let shop = Arc::clone(workshop);
    blocking(move || {
        let shown = files.component.display();
        let bytes = read_component(&files.component, shop.config.deploy.max_component_size)?;
        let manifest = read_manifest(&files)?;
        let digest = sha256(&bytes);
        let component = shop
            .library
            .compile(&digest, &bytes)
            .with_context(|| format!("{shown} is not taken"));
        Ok(Source {
            fingerprint: Fingerprint {
                component: digest,
                manifest: manifest.digest,
            },
            manifest: manifest.text,
            component,
        })
    })
    .await
}

fn read_component(file: &Path, most: usize) -> Result<Vec<u8>> {
    let shown = file.display();
    let size = std::fs::metadata(file)
        .with_context(|| format!("{shown} can't be read"))?
        .len();
    check_size(file, size, most)?;
    std::fs::read(file).with_context(|| format!("{shown} can't be read"))
}

fn check_size(file: &Path, size: u64, most: usize) -> Result<()> {
    if size > most as u64 {
        bail!(
            "{} has {size} bytes; deploy.max_component_size allows {most}",
            file.display()
        );
    }
    Ok(())
}

fn read_manifest(files: &Files) -> Result<Text> {
    let shown = files.manifest.display();
    match std::fs::read(&files.manifest) {
        Ok(bytes) => {
            let print = sha256(&bytes);
            let text = String::from_utf8(bytes)
                .map(Some)
                .with_context(|| format!("{shown} is not UTF-8 text"));
            Ok(Text {
                digest: Some(print),
                text,
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Text {
            digest: None,
            text: Ok(None),
        }),
        Err(error) => Err(error).with_context(|| format!("{shown} can't be read")),
    }
}

async fn warm(
    workshop: &Arc<Workshop>,
    service: &Arc<Service>,
    files: &Files,
    source: Source,
) -> Result<Warm> {
    let component = source.component?;
    let mut manifest = match source.manifest? {
        Some(text) => Manifest::parse(&service.name, &files.manifest, &text, &workshop.config)?,
        None => Manifest::default_for(&service.name, &workshop.config),
    };
    if component.generation.is_none() {
        manifest = manifest.without_requests(&files.manifest)?;
    }
    let contract = Arc::clone(component.contract());
    let info = Arc::new(ReleaseInfo {
        service: service.name.clone(),
        digest: source.fingerprint.component,
        made: SystemTime::now(),
    });
    let launcher = Launcher::new(
        Arc::clone(&workshop.sandbox),
        component,
        &service.name,
        &manifest,
        &shown(&files.manifest),
        &workshop.config.log,
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
            bail!(
                "{} fails to start: {}",
                files.component.display(),
                exit.message
            );
        }
        Err(_) => bail!(
            "{} was not started: the host is shutting down",
            files.component.display()
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
    })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("a background task failed")?
}
