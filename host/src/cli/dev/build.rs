//! Sources to components.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{Artifact, Message};

use super::cargo::output;
use super::toolchain::Tool;
use super::workspace::{Guest, Workspace};
use crate::config::ServiceName;

/// What a build has made.
pub(super) struct Built {
    /// One component for each guest.
    pub components: Vec<Component>,
    /// The source files that were used, as far as cargo names them.
    pub sources: BTreeSet<PathBuf>,
}

/// The files of one service, where they were built or written.
pub(super) struct Component {
    pub name: ServiceName,
    pub wasm: PathBuf,
    /// The manifest, if it is there.
    pub manifest: PathBuf,
}

/// Builds all guests of a workspace. What cargo says on the way goes to standard error; if the
/// future is dropped, the build ends.
///
/// # Errors
///
/// A build that failed, for reasons that cargo has given.
pub(super) async fn build(tool: Tool, workspace: &Workspace) -> Result<Built> {
    if workspace.guests.is_empty() {
        return Ok(Built {
            components: Vec::new(),
            sources: BTreeSet::new(),
        });
    }
    let mut cargo = tool.build(&workspace.root);
    // where cargo puts its files is for it to say: a target directory can be set in many places
    cargo.args(["--release", "--message-format", "json-render-diagnostics"]);
    for guest in &workspace.guests {
        cargo.args(["--package", &guest.specification]);
    }
    let output = output(cargo).await?;
    if !output.status.success() {
        bail!("the build failed");
    }
    let artifacts = artifacts(&output.stdout)?;
    let mut components = Vec::new();
    let mut sources = BTreeSet::new();
    for guest in &workspace.guests {
        let wasm = component(guest, &artifacts)
            .with_context(|| format!("{tool} has built no component for {}", guest.name))?;
        // without it, changes outside the workspace go unnoticed, and no more
        let dependencies = fs::read_to_string(wasm.with_extension("d")).unwrap_or_default();
        sources.extend(prerequisites(&dependencies));
        components.push(Component {
            name: guest.name.clone(),
            wasm: wasm.to_owned(),
            manifest: guest.manifest.clone(),
        });
    }
    Ok(Built {
        components,
        sources,
    })
}

/// The artifacts among cargo's messages.
fn artifacts(messages: &[u8]) -> Result<Vec<Artifact>> {
    let mut artifacts = Vec::new();
    for message in Message::parse_stream(messages) {
        if let Message::CompilerArtifact(artifact) =
            message.context("what cargo says can't be understood")?
        {
            artifacts.push(artifact);
        }
    }
    Ok(artifacts)
}

/// The WebAssembly file that was made of a guest's target.
fn component<'a>(guest: &Guest, artifacts: &'a [Artifact]) -> Option<&'a Path> {
    let is_of_guest = |artifact: &&Artifact| {
        artifact.package_id == guest.package && artifact.target.name == guest.target
    };
    let files = artifacts
        .iter()
        .filter(is_of_guest)
        .flat_map(|artifact| &artifact.filenames);
    files.map(|file| file.as_std_path()).find(|file| {
        file.extension()
            .is_some_and(|extension| extension == "wasm")
    })
}

/// The files behind the colon in cargo's dependency files, which are rules for `make`: spaces in
/// names are escaped.
fn prerequisites(rule: &str) -> Vec<PathBuf> {
    let Some((_, files)) = rule.lines().next().unwrap_or_default().split_once(": ") else {
        return Vec::new();
    };
    let mut found = vec![String::new()];
    let mut characters = files.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, found.last_mut()) {
            ('\\', Some(file)) if characters.next_if_eq(&' ').is_some() => file.push(' '),
            (' ', _) => found.push(String::new()),
            (other, Some(file)) => file.push(other),
            (_, None) => {}
        }
    }
    found
        .into_iter()
        .filter(|file| !file.is_empty())
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(package: &str, target: &str, files: &[&str]) -> String {
        json!({
            "reason": "compiler-artifact", "package_id": package, "manifest_path": "/w/Cargo.toml",
            "target": { "name": target, "kind": ["cdylib"], "crate_types": ["cdylib"], "src_path": "/w/lib.rs" },
            "profile": { "opt_level": "3", "debug_assertions": false, "overflow_checks": false, "test": false },
            "features": [], "filenames": files, "executable": null, "fresh": true
        })
        .to_string()
    }

    #[test]
    fn a_component_is_where_cargo_says() {
        let messages = [
            "not JSON".to_owned(),
            message("dep#1", "login", &["/t/liblogin.rlib"]),
            message("login#1", "build-script-build", &["/t/build"]),
            message(
                "login#1",
                "login",
                &["/t/liblogin.rlib", "/elsewhere/login.wasm"],
            ),
            json!({ "reason": "build-finished", "success": true }).to_string(),
        ];
        let artifacts = artifacts(messages.join("\n").as_bytes()).unwrap();
        let mut guest = Guest {
            name: ServiceName::parse("login").unwrap(),
            package: cargo_metadata::PackageId {
                repr: "login#1".to_owned(),
            },
            specification: "login@1".to_owned(),
            target: "login".to_owned(),
            manifest: PathBuf::new(),
        };
        assert_eq!(
            component(&guest, &artifacts),
            Some(Path::new("/elsewhere/login.wasm"))
        );
        guest.target = "other".to_owned();
        assert_eq!(component(&guest, &artifacts), None);
    }

    #[test]
    fn names_in_a_rule_may_have_spaces() {
        let rule = "/t/login.wasm: /w/src/lib.rs /with\\ space/a.wit /back\\slash.rs\n\nother: x\n";
        let expected = ["/w/src/lib.rs", "/with space/a.wit", "/back\\slash.rs"].map(PathBuf::from);
        assert_eq!(prerequisites(rule), expected);
        assert!(prerequisites("").is_empty());
        assert!(prerequisites("/t/login.wasm:").is_empty());
    }
}
