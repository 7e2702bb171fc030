//! The releases that are kept, as the controller and the workshop use them: what is written is written
//! in the order in which it was decided, beside what goes on. New releases are written beside that, many
//! at a time.
//!
//! A data directory that can't be written to costs the history and nothing else: it is told once, and
//! releases are numbered from the start of the process.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use super::fingerprint::{Files, Fingerprint};
use super::releases::{Accepted, Pin, Record, Releases, Source, State};
use super::source::blocking;
use crate::config::{Config, ServiceName};

/// See the module.
#[derive(Clone)]
pub struct Archive {
    releases: Option<Arc<Releases>>,
    jobs: mpsc::UnboundedSender<Job>,
    unnumbered: Arc<AtomicU64>,
}

/// Something to be written down.
type Job = Box<dyn FnOnce(&Releases) -> Result<()> + Send>;

/// What was decided about a service before.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    /// What it runs in place of its files.
    pub(super) pin: Option<Pin>,
    /// The operator holds its deploys.
    pub(super) frozen: bool,
    /// What ran last.
    pub(super) live: Option<Record>,
}

/// A release that is kept, with all that it is made of.
pub(super) struct Kept {
    pub(super) fingerprint: Fingerprint,
    /// What to call it in messages.
    pub(super) files: Files,
    pub(super) component: Vec<u8>,
    pub(super) manifest: Option<String>,
}

impl Archive {
    /// Opens what is kept in the data directory. Reads files.
    pub fn open(config: &Config) -> Self {
        let keep = config.deploy.keep_releases;
        let releases = Releases::open(&config.data, keep)
            .inspect_err(
                |error| error!(%error, "releases are not kept, so nothing can be rolled back"),
            )
            .ok()
            .map(Arc::new);
        let (jobs, mut inbox) = mpsc::unbounded_channel::<Job>();
        if let Some(releases) = releases.clone() {
            tokio::spawn(async move {
                while let Some(job) = inbox.recv().await {
                    let releases = Arc::clone(&releases);
                    if let Err(error) = blocking(move || job(&releases)).await {
                        warn!(
                            error = format!("{error:#}"),
                            "what was decided could not be written down"
                        );
                    }
                }
            });
        }
        Self {
            releases,
            jobs,
            unnumbered: Arc::default(),
        }
    }

    /// What was decided about a service.
    pub(super) fn book(&self, name: &ServiceName) -> Book {
        let Some(releases) = &self.releases else {
            return Book::default();
        };
        let mut records = releases.list(name).into_iter();
        Book {
            pin: releases.pinned(name),
            frozen: releases.frozen(name),
            live: records.find(|record| record.state == State::Live),
        }
    }

    /// Keeps a release that is about to be tried or held, and gives it its number.
    pub(super) async fn accept(
        &self,
        name: &ServiceName,
        files: &Files,
        (content, manifest): (&Fingerprint, Option<String>),
        state: State,
    ) -> u64 {
        let kept = match self.releases.clone() {
            Some(releases) => {
                let (name, component) = (name.clone(), files.component.clone());
                let content = content.clone();
                let keep = move || {
                    let release = Accepted {
                        content: &content,
                        component: Source::File(&component),
                        manifest: manifest.as_deref(),
                        state,
                        at: SystemTime::now(),
                    };
                    Ok(releases.accept(&name, release)?)
                };
                blocking(keep).await
            }
            None => return self.number(),
        };
        kept.unwrap_or_else(|error| {
            warn!(service = %name, error = format!("{error:#}"), "a release is not kept: it can't be rolled back to");
            self.number()
        })
    }

    /// For a release that is not kept. None that is kept has such a number.
    fn number(&self) -> u64 {
        const UNKEPT: u64 = 1_000_000_000;
        UNKEPT + self.unnumbered.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits until all that was decided so far is written down.
    pub async fn settle(&self) {
        let _ = self.written(|_| Ok(())).await;
    }

    /// Notes what became of a release.
    pub(super) fn mark(
        &self,
        name: &ServiceName,
        revision: u64,
        state: State,
        note: Option<String>,
    ) {
        let name = name.clone();
        self.later(move |releases| Ok(releases.mark(&name, revision, state, note)?));
    }

    /// Forgets releases of services that are gone for long; `present` are all that have files.
    pub(super) fn sweep(&self, present: BTreeSet<ServiceName>) {
        self.later(move |releases| {
            releases.sweep(&present, SystemTime::now())?;
            Ok(())
        });
    }

    /// Notes that a service runs something else than its files.
    pub(super) fn pin(&self, name: &ServiceName, pin: Pin) {
        let name = name.clone();
        self.now(move |releases| Ok(releases.pin(&name, pin)?));
    }

    /// Notes that a service runs its files again.
    pub(super) fn unpin(&self, name: &ServiceName) {
        let name = name.clone();
        self.later(move |releases| Ok(releases.unpin(&name)?));
    }

    /// Notes whether the operator holds a service's deploys.
    pub(super) fn freeze(&self, name: &ServiceName, frozen: bool) {
        let name = name.clone();
        self.now(move |releases| Ok(releases.freeze(&name, frozen)?));
    }

    /// Has something written down before anybody is told of it, and after all that was decided before.
    /// Waits for the disk.
    fn now(&self, job: impl FnOnce(&Releases) -> Result<()> + Send + 'static) {
        let written = self.written(job);
        let _ = tokio::task::block_in_place(|| written.blocking_recv());
    }

    /// The same, for who waits: that it is over is told by the end of the channel.
    fn written(
        &self,
        job: impl FnOnce(&Releases) -> Result<()> + Send + 'static,
    ) -> oneshot::Receiver<()> {
        let (done, wait) = oneshot::channel();
        self.later(move |releases| {
            let written = job(releases);
            drop(done);
            written
        });
        wait
    }

    fn later(&self, job: impl FnOnce(&Releases) -> Result<()> + Send + 'static) {
        // without releases nobody listens
        let _ = self.jobs.send(Box::new(job));
    }

    /// The releases of a service that are kept, newest first.
    ///
    /// # Errors
    ///
    /// None are kept here.
    pub fn list(&self, name: &ServiceName) -> Result<Vec<Record>> {
        Ok(self.releases()?.list(name))
    }

    /// The release that an operator names, or the one before `running`.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(super) fn choose(
        &self,
        name: &ServiceName,
        wanted: Option<&str>,
        running: Option<u64>,
    ) -> Result<Record> {
        let releases = self.releases()?;
        if let Some(wanted) = wanted {
            return Ok(releases.find(name, wanted)?);
        }
        let before = running.and_then(|running| releases.previous(name, running));
        before.with_context(|| format!("{name} has no release before this one that is kept; wharf releases {name} lists them"))
    }

    /// A release with all that it is made of. Reads files.
    ///
    /// # Errors
    ///
    /// It is not kept, or damaged.
    pub(super) fn load(&self, name: &ServiceName, revision: u64) -> Result<Kept> {
        let kept = self.releases()?.load(name, revision)?;
        let called = |extension| PathBuf::from(format!("{name}.{extension} of release {revision}"));
        Ok(Kept {
            fingerprint: kept.record.content,
            files: Files {
                component: called("wasm"),
                manifest: called("toml"),
            },
            component: kept.component,
            manifest: kept.manifest,
        })
    }

    fn releases(&self) -> Result<&Releases> {
        match &self.releases {
            Some(releases) => Ok(releases),
            None => bail!(
                "this server keeps no releases: its data directory can't be used; its log says why"
            ),
        }
    }
}
