//! One round after the other: read the workspace, build it, deploy what came out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::build::{Built, build};
use super::deploy::{Changes, deploy};
use super::say;
use super::toolchain::Tool;
use super::watch::Watcher;
use super::workspace::Workspace;
use crate::config::ServiceName;

/// What goes from one round to the next.
pub(super) struct Session {
    guests: PathBuf,
    services: PathBuf,
    tool: Option<Tool>,
    /// Source files outside the workspace that the last builds used.
    outside: BTreeSet<PathBuf>,
    /// The packages that were said to be left out.
    left_out: Vec<String>,
}

impl Session {
    /// A session that builds `guests` into `services`.
    pub(super) fn new(guests: PathBuf, services: PathBuf) -> Self {
        Self {
            guests,
            services,
            tool: None,
            outside: BTreeSet::new(),
            left_out: Vec::new(),
        }
    }

    /// The first round. A build that fails is no error: the next change may mend it.
    ///
    /// # Errors
    ///
    /// A toolchain that can't build components.
    pub(super) async fn start(
        &mut self,
        workspace: Workspace,
        watcher: &mut Watcher,
    ) -> Result<()> {
        let tool = Tool::find(&workspace.root).await?;
        tool.ensure_target(&workspace.root).await?;
        self.tool = Some(tool);
        if let Err(error) = self.round(workspace, watcher).await {
            say(format_args!("{error:#}; the next change is waited for"));
        }
        Ok(())
    }

    /// A round at every change, for ever.
    pub(super) async fn follow(&mut self, watcher: &mut Watcher) {
        loop {
            let path = watcher.changed().await;
            say(format_args!("{} changed", shown(&path)));
            let round = async {
                let workspace = Workspace::load(&self.guests).await?;
                self.round(workspace, watcher).await
            };
            if let Err(error) = round.await {
                say(format_args!("{error:#}; what is served stays as it is"));
            }
        }
    }

    async fn round(&mut self, workspace: Workspace, watcher: &mut Watcher) -> Result<()> {
        let tool = self.tool.context("the toolchain was not looked for")?;
        // from before the build, so that no change during it is missed
        watcher.follow(workspace.places(&self.outside), &workspace.target);
        if self.left_out != workspace.left_out {
            self.left_out.clone_from(&workspace.left_out);
            say(format_args!("no services: {}", self.left_out.join(", ")));
        }
        let started = Instant::now();
        say(format_args!(
            "building {} with {tool}",
            names(workspace.guests.iter().map(|guest| &guest.name))
        ));
        let Built {
            components,
            sources,
        } = build(tool, &workspace).await?;
        self.outside = sources;
        watcher.follow(workspace.places(&self.outside), &workspace.target);
        let services = self.services.clone();
        let changes = tokio::task::spawn_blocking(move || deploy(&services, &components))
            .await
            .context("deploying failed")??;
        say(format_args!(
            "built in {:.1} s: {}",
            started.elapsed().as_secs_f64(),
            outcome(&changes)
        ));
        Ok(())
    }
}

fn outcome(changes: &Changes) -> String {
    let part = |what: &str, services: &[ServiceName]| {
        (!services.is_empty()).then(|| format!("{what} {}", names(services)))
    };
    let parts: Vec<_> = [
        part("deployed", &changes.deployed),
        part("removed", &changes.removed),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() {
        "nothing is new".to_owned()
    } else {
        parts.join("; ")
    }
}

fn names<'a>(services: impl IntoIterator<Item = &'a ServiceName>) -> String {
    let names: Vec<_> = services.into_iter().map(ServiceName::as_str).collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

/// A path as it looks from the working directory.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .unwrap_or(path)
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_is_told_in_words() {
        let list = |names: &[&str]| {
            names
                .iter()
                .map(|name| ServiceName::parse(name).unwrap())
                .collect()
        };
        let changes = |deployed, removed| Changes {
            deployed: list(deployed),
            removed: list(removed),
        };
        assert_eq!(outcome(&changes(&[], &[])), "nothing is new");
        assert_eq!(outcome(&changes(&["a", "b"], &[])), "deployed a, b");
        assert_eq!(outcome(&changes(&["a"], &["b"])), "deployed a; removed b");
    }
}
