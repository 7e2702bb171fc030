//! Makes a release from a service's files: read, validate, compile, warm. Nothing that is served
//! knows of it until it is published.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::scan::{Files, Fingerprint, sha256};
use crate::config::{Config, Manifest, ServiceName};
use crate::keyvalue::Store as KeyValueStore;
use crate::service::pool::{Pool, PoolLimits};
use crate::service::supervisor::{Crew, Supervisor};
use crate::service::{Ledger, Release, ReleaseInfo, Service};
use crate::wasm::{Component, Launcher, Sandbox};

/// What releases are made with.
pub(super) struct Workshop {
    /// The configuration.
    pub config: Config,
    /// The engine.
    pub sandbox: Arc<Sandbox>,
    /// Where buckets are.
    pub keyvalue: Arc<dyn KeyValueStore>,
    /// Where exits and metrics go.
    pub ledger: Arc<Ledger>,
    /// Bounds compilation.
    pub(super) compiles: Semaphore,
}

/// A release that is warm.
pub(super) struct Prepared {
    pub release: Arc<Release>,
    pub component: Component,
}

/// The content that was judged, and the judgement.
pub(super) struct Judged {
    pub name: ServiceName,
    pub fingerprint: Option<Fingerprint>,
    pub outcome: Result<Prepared>,
}

/// The files as they were read.
struct Source {
    component: Vec<u8>,
    manifest: Option<String>,
    fingerprint: Fingerprint,
}

/// Makes a release. `compiled` is what runs now: if only the manifest changed, its code is used.
pub(super) async fn prepare(
    workshop: Arc<Workshop>,
    service: Arc<Service>,
    compiled: Option<(Arc<str>, Component)>,
) -> Judged {
    let name = service.name.clone();
    let files = Files::of(&workshop.config.services, &name);
    // the permit also bounds how many files are in memory at once
    let permit = workshop.compiles.acquire().await;
    let source = {
        let files = files.clone();
        let most = workshop.config.deploy.max_component_size;
        blocking(move || read(&files, most)).await
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
    let component = compile(&workshop, &files, source, compiled).await;
    drop(permit);
    let outcome = match component {
        Ok((component, manifest, digest)) => {
            warm(&workshop, &service, &files, component, manifest, digest).await
        }
        Err(error) => Err(error),
    };
    Judged {
        name,
        fingerprint,
        outcome,
    }
}

fn read(files: &Files, most: usize) -> Result<Source> {
    let shown = files.component.display();
    let size = std::fs::metadata(&files.component)
        .with_context(|| format!("{shown} can't be read"))?
        .len();
    if size > most as u64 {
        bail!("{shown} has {size} bytes; deploy.max_component_size allows {most}");
    }
    let component =
        std::fs::read(&files.component).with_context(|| format!("{shown} can't be read"))?;
    let manifest = match std::fs::read(&files.manifest) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error)
                .with_context(|| format!("{} can't be read", files.manifest.display()));
        }
    };
    let fingerprint = Fingerprint {
        component: sha256(&component),
        manifest: manifest.as_deref().map(sha256),
    };
    let manifest = manifest
        .map(String::from_utf8)
        .transpose()
        .with_context(|| format!("{} is not UTF-8 text", files.manifest.display()))?;
    Ok(Source {
        component,
        manifest,
        fingerprint,
    })
}

async fn compile(
    workshop: &Arc<Workshop>,
    files: &Files,
    source: Source,
    compiled: Option<(Arc<str>, Component)>,
) -> Result<(Component, Option<String>, Arc<str>)> {
    let digest = Arc::clone(&source.fingerprint.component);
    let component = match compiled {
        Some((known, component)) if known == digest => component,
        _ => {
            let sandbox = Arc::clone(&workshop.sandbox);
            blocking(move || Ok(sandbox.compile(&source.component)?))
                .await
                .with_context(|| format!("{} is not taken", files.component.display()))?
        }
    };
    Ok((component, source.manifest, digest))
}

async fn warm(
    workshop: &Arc<Workshop>,
    service: &Arc<Service>,
    files: &Files,
    component: Component,
    manifest: Option<String>,
    digest: Arc<str>,
) -> Result<Prepared> {
    let manifest = match manifest {
        Some(text) => Manifest::parse(&service.name, &files.manifest, &text, &workshop.config)?,
        None => Manifest::default_for(&service.name, &workshop.config),
    };
    let info = Arc::new(ReleaseInfo {
        service: service.name.clone(),
        digest,
        made: SystemTime::now(),
    });
    let launcher = Launcher::new(
        Arc::clone(&workshop.sandbox),
        component.clone(),
        &service.name,
        &manifest,
        &shown(&files.manifest),
        &workshop.config.log,
        Arc::clone(&workshop.keyvalue),
    );
    let pool = Pool::new(PoolLimits::of(&manifest));
    let (supervisor, warmed) = Supervisor::start(Crew {
        pool: Arc::clone(&pool),
        launcher: Arc::new(launcher),
        count: manifest.instances.count,
        restart: manifest.restart.clone(),
        release: Arc::clone(&info),
        ledger: Arc::clone(&workshop.ledger),
        metrics: service.metrics.clone(),
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
    Ok(Prepared {
        release: Arc::new(Release {
            info,
            manifest,
            pool,
            supervisor,
        }),
        component,
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
