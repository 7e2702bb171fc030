//! What a release is made of: read from the services directory, or from the releases that are kept.

use std::io::{self, Read as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result, bail};
use tokio::sync::Semaphore;

use super::archive::Archive;
use super::fingerprint::{Files, Fingerprint, Stamp, open_manifest, sha256};
use super::scan::Sighting;
use crate::config::{Config, ServiceName};
use crate::wasm::{Canceled, Component, Library, cancellation};

/// Why nothing is compiled.
const NO_COMPILER: &str = "a component can't be compiled";

/// Where the makings of releases come from.
pub(super) struct Sources {
    /// The services directory, and the largest component that is taken.
    directory: PathBuf,
    most: usize,
    /// What was compiled.
    library: Library,
    /// Bounds compilation, and with it how many components are in memory at once.
    compiles: Semaphore,
    /// Bounds the loading of compiled code.
    loads: Semaphore,
}

/// What one reading gave.
pub(super) struct Source {
    pub(super) fingerprint: Fingerprint,
    /// What it was read from, for messages.
    pub(super) files: Files,
    pub(super) manifest: Result<Option<String>>,
    pub(super) component: Result<Component>,
}

/// A manifest as it was read, if there is one.
struct Text {
    digest: Option<Arc<str>>,
    text: Result<Option<String>>,
}

impl Sources {
    /// Those that the configuration tells of.
    pub(super) fn new(config: &Config, library: Library) -> Self {
        // loading is checking a sum and copying: more at once than there are processors gains nothing
        let processors = available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            directory: config.services.clone(),
            most: config.deploy.max_component_size,
            library,
            compiles: Semaphore::new(config.deploy.parallel_compiles.get()),
            loads: Semaphore::new(processors),
        }
    }

    /// The files of a service.
    pub(super) fn files(&self, name: &ServiceName) -> Files {
        Files::of(&self.directory, name)
    }

    /// What the files are that were seen.
    ///
    /// # Errors
    ///
    /// The component is larger than any that is taken.
    pub(super) fn check_size(&self, name: &ServiceName, seen: &Sighting) -> Result<()> {
        check_size(&self.files(name).component, seen.stamp.size, self.most)
    }

    /// Takes what was compiled before, here or by a process before this one. The component itself
    /// isn't even read: it was when it was seen, and hasn't changed since.
    pub(super) async fn recall(self: &Arc<Self>, files: Files, seen: Sighting) -> Option<Source> {
        let _permit = self.loads.acquire().await;
        let sources = Arc::clone(self);
        let work = move || {
            if seen.stamp != Stamp::of(&files.component)? {
                return Ok(None);
            }
            let digest = seen.fingerprint.component;
            let Some(component) = sources.library.find(&digest) else {
                return Ok(None);
            };
            let manifest = read_manifest(&files)?;
            Ok(Some(Source {
                fingerprint: Fingerprint {
                    component: digest,
                    manifest: manifest.digest,
                },
                files,
                manifest: manifest.text,
                component: Ok(component),
            }))
        };
        // whatever went wrong is met again, and told, on the long way
        blocking(work).await.ok().flatten()
    }

    /// Reads the files as they are now, and compiles: not to the end if this is dropped.
    ///
    /// # Errors
    ///
    /// They can't be read.
    pub(super) async fn read(self: &Arc<Self>, files: Files) -> Result<Source> {
        let _permit = self.compiles.acquire().await;
        let sources = Arc::clone(self);
        let (_guard, canceled) = cancellation().context(NO_COMPILER)?;
        blocking(move || {
            let bytes = read_component(&files.component, sources.most)?;
            let manifest = read_manifest(&files)?;
            let digest = sha256(&bytes);
            let component = sources.compile(&files, &digest, &bytes, &canceled);
            Ok(Source {
                fingerprint: Fingerprint {
                    component: digest,
                    manifest: manifest.digest,
                },
                files,
                manifest: manifest.text,
                component,
            })
        })
        .await
    }

    /// Takes a release that is kept, compiled again if need be.
    ///
    /// # Errors
    ///
    /// It is not kept any more, or damaged.
    pub(super) async fn kept(
        self: &Arc<Self>,
        archive: &Archive,
        name: &ServiceName,
        revision: u64,
    ) -> Result<Source> {
        let _permit = self.compiles.acquire().await;
        let (sources, archive, name) = (Arc::clone(self), archive.clone(), name.clone());
        let (_guard, canceled) = cancellation().context(NO_COMPILER)?;
        blocking(move || {
            let kept = archive.load(&name, revision)?;
            let digest = Arc::clone(&kept.fingerprint.component);
            Ok(Source {
                component: sources.compile(&kept.files, &digest, &kept.component, &canceled),
                fingerprint: kept.fingerprint,
                files: kept.files,
                manifest: Ok(kept.manifest),
            })
        })
        .await
    }

    fn compile(
        &self,
        files: &Files,
        digest: &Arc<str>,
        bytes: &[u8],
        canceled: &Canceled,
    ) -> Result<Component> {
        let shown = files.component.display();
        let compiled = self.library.compile(digest, bytes, canceled);
        compiled.with_context(|| format!("{shown} is not taken"))
    }
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
    let read = || -> io::Result<Option<Vec<u8>>> {
        let Some(mut file) = open_manifest(&files.manifest)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    match read() {
        Ok(Some(bytes)) => {
            let print = sha256(&bytes);
            let text = String::from_utf8(bytes)
                .map(Some)
                .with_context(|| format!("{shown} is not UTF-8 text"));
            Ok(Text {
                digest: Some(print),
                text,
            })
        }
        Ok(None) => Ok(Text {
            digest: None,
            text: Ok(None),
        }),
        Err(error) => Err(error).with_context(|| format!("{shown} can't be read")),
    }
}

/// Does work that waits for files, or takes long.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("a background task failed")?
}
