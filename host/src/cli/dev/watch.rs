//! Says when the sources have changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::say;

/// Editors write several files in a row, and version control many: so long nothing must change
/// before it is built.
const QUIET: Duration = Duration::from_millis(200);

/// Something that never rests must not keep a build from starting.
const PATIENCE: Duration = Duration::from_secs(2);

/// Changes that are kept while nobody asks; one would do.
const KEPT: usize = 16;

/// Directories to watch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places(BTreeMap<PathBuf, RecursiveMode>);

impl Places {
    /// The files in a directory, without those further below.
    pub(super) fn files_in(&mut self, directory: &Path) {
        self.0
            .entry(directory.to_owned())
            .or_insert(RecursiveMode::NonRecursive);
    }

    /// Everything in a package's directory but what cargo builds, which changes all the time and
    /// is far more than the sources.
    pub(super) fn package(&mut self, directory: &Path, target: &Path) {
        self.files_in(directory);
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let below = entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir());
        for path in
            below.filter(|path| !is_ignored(path, target) && !path.join("CACHEDIR.TAG").exists())
        {
            self.0.insert(path, RecursiveMode::Recursive);
        }
    }

    /// All of them.
    #[cfg(test)]
    pub(super) fn directories(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }
}

/// See the module.
pub(super) struct Watcher {
    events: RecommendedWatcher,
    changes: mpsc::Receiver<PathBuf>,
    watched: Places,
    target: PathBuf,
}

impl Watcher {
    /// A watcher of nothing yet.
    ///
    /// # Errors
    ///
    /// A system that tells of no changes.
    pub(super) fn new() -> Result<Self> {
        let (sender, changes) = mpsc::channel(KEPT);
        let events = notify::recommended_watcher(move |event: notify::Result<Event>| {
            for path in event
                .into_iter()
                .filter(is_change)
                .flat_map(|event| event.paths)
            {
                // a full channel says that something has changed, too
                let _ = sender.try_send(path);
            }
        })
        .context("the system doesn't tell of changes to files, which `wharf dev` needs")?;
        Ok(Self {
            events,
            changes,
            watched: Places::default(),
            target: PathBuf::new(),
        })
    }

    /// Watches these places instead of those before; `target` is where cargo builds.
    pub(super) fn follow(&mut self, places: Places, target: &Path) {
        target.clone_into(&mut self.target);
        for (gone, _) in self
            .watched
            .0
            .iter()
            .filter(|(path, _)| !places.0.contains_key(*path))
        {
            // it may have been removed, which ends its watch as well
            let _ = self.events.unwatch(gone);
        }
        for (path, mode) in &places.0 {
            // again even if it was watched: another directory may have its name now
            if let Err(error) = self.events.watch(path, *mode)
                && path.exists()
            {
                say(format_args!(
                    "{} can't be watched, changes in it go unnoticed: {error}",
                    path.display()
                ));
            }
        }
        self.watched = places;
    }

    /// Waits for a change to something that may be a source, and then until nothing changes any
    /// more. A file that has changed, for a person to know why.
    pub(super) async fn changed(&mut self) -> PathBuf {
        let mut path = self.next().await;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until
            && let Ok(next) = timeout(QUIET, self.next()).await
        {
            // programs that replace a file write another first, which says nothing to anybody
            if !path.exists() {
                path = next;
            }
        }
        path
    }

    async fn next(&mut self) -> PathBuf {
        loop {
            match self.changes.recv().await {
                Some(path) if !is_ignored(&path, &self.target) => return path,
                Some(_) => {}
                // the sender lives in the watcher, and so for as long as this does
                None => std::future::pending().await,
            }
        }
    }
}

fn is_change(event: &Event) -> bool {
    !matches!(event.kind, EventKind::Access(_))
}

/// Whether a change to this path is none to a source: what cargo has built, and what editors and
/// version control keep for themselves.
fn is_ignored(path: &Path, target: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let of_editor = name.ends_with('~')
        || name.ends_with(".swp")
        || name.ends_with(".tmp")
        || name.starts_with('#');
    // what vim makes to see whether it can
    let probe = name == "4913";
    let hidden = name.starts_with('.') && name != ".cargo";
    path.starts_with(target) || of_editor || probe || hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_source_is_ignored() {
        let ignored = |path: &str| is_ignored(Path::new(path), Path::new("/w/target"));
        for path in [
            "/w/target",
            "/w/target/release/a.d",
            "/w/a/.git",
            "/w/a/src/.lib.rs.swp",
            "/w/a/src/lib.rs~",
            "/w/4913",
            "/w/#lib.rs#",
        ] {
            assert!(ignored(path), "{path}");
        }
        for path in [
            "/w/Cargo.toml",
            "/w/.hidden/src/lib.rs",
            "/w/a/src/target/mod.rs",
            "/w/.cargo",
            "/w/login/login.toml",
        ] {
            assert!(!ignored(path), "{path}");
        }
    }

    #[test]
    fn a_package_is_watched_without_what_cargo_builds() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for below in ["src/deep", "wit", "target/release", ".git", "other-target"] {
            fs::create_dir_all(root.join(below)).unwrap();
        }
        fs::write(root.join("other-target/CACHEDIR.TAG"), "").unwrap();
        let mut places = Places::default();
        places.package(root, &root.join("target"));
        let expected = [root.to_owned(), root.join("src"), root.join("wit")];
        assert_eq!(places.directories().collect::<Vec<_>>(), expected);
    }

    /// Waits until a change of this path is told.
    async fn told(watcher: &mut Watcher, path: &Path) {
        while watcher.changed().await != path {}
    }

    #[tokio::test]
    async fn changes_are_seen_in_directories_made_later_too() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let target = root.join("target");
        let places = || {
            let mut places = Places::default();
            places.package(&root, &target);
            places
        };
        fs::create_dir(root.join("src")).unwrap();
        let mut watcher = Watcher::new().unwrap();
        watcher.follow(places(), &target);
        fs::write(root.join("src/.lib.rs.swp"), "1").unwrap();
        fs::write(root.join("src/lib.rs"), "1").unwrap();
        told(&mut watcher, &root.join("src/lib.rs")).await;

        fs::create_dir(root.join("wit")).unwrap();
        told(&mut watcher, &root.join("wit")).await;
        watcher.follow(places(), &target);
        fs::write(root.join("wit/world.wit"), "1").unwrap();
        told(&mut watcher, &root.join("wit/world.wit")).await;
    }
}
