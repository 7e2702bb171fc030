//! Says when to look again.
//!
//! Any event counts, renames too; what it says is ignored, for the next scan sees what there is.
//! Where events can't be had, or are lost, a slow tick looks anyway.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tracing::warn;

/// How long a change can go unseen where the system tells of none.
const TICK: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Watcher {
    directory: PathBuf,
    changed: Arc<Notify>,
    events: Option<RecommendedWatcher>,
    /// The directory that is being watched: one of the same name may have taken its place.
    watched: Option<(u64, u64)>,
}

impl Watcher {
    /// Watches a directory from now on.
    pub(super) fn new(directory: &Path) -> Self {
        let changed = Arc::new(Notify::new());
        let sink = Arc::clone(&changed);
        let events = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let only_read = matches!(
                event,
                Ok(notify::Event {
                    kind: EventKind::Access(_),
                    ..
                })
            );
            if !only_read {
                sink.notify_one();
            }
        });
        let events = events
            .inspect_err(|error| warn!(%error, "the system tells of no changes; the directory is looked at every 2 s"))
            .ok();
        let mut watcher = Self {
            directory: directory.to_owned(),
            changed,
            events,
            watched: None,
        };
        watcher.follow();
        watcher
    }

    /// Waits until there may be something new.
    pub(super) async fn changed(&mut self) {
        if tokio::time::timeout(TICK, self.changed.notified())
            .await
            .is_err()
        {
            self.follow();
        }
    }

    /// Watches the directory that has the name now.
    fn follow(&mut self) {
        let identity = std::fs::metadata(&self.directory)
            .ok()
            .map(|data| (data.dev(), data.ino()));
        if identity == self.watched {
            return;
        }
        self.watched = identity;
        let Some(events) = &mut self.events else {
            return;
        };
        let _ = events.unwatch(&self.directory);
        if identity.is_some()
            && let Err(error) = events.watch(&self.directory, RecursiveMode::NonRecursive)
        {
            warn!(%error, directory = %self.directory.display(), "the directory can't be watched; it is looked at every 2 s");
        }
    }
}
