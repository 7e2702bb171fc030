//! Which packages of a cargo workspace are guests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{CrateType, Metadata, Package, PackageId, Target, TargetKind};

use super::cargo::{command, output};
use super::watch::Places;
use crate::config::ServiceName;

/// A workspace as cargo sees it now.
#[derive(Debug)]
pub(super) struct Workspace {
    /// Where its `Cargo.toml` is.
    pub root: PathBuf,
    /// Where cargo puts what it builds.
    pub target: PathBuf,
    /// The packages that become services, by name.
    pub guests: Vec<Guest>,
    /// The other packages, each with the reason.
    pub left_out: Vec<String>,
    /// The directories of all packages, and of those outside that they depend on by path.
    packages: BTreeSet<PathBuf>,
}

/// A package that becomes a service.
#[derive(Debug)]
pub(super) struct Guest {
    pub name: ServiceName,
    pub package: PackageId,
    /// How cargo's `--package` is told of it.
    pub specification: String,
    /// The name of the one target in it that becomes the component.
    pub target: String,
    /// The service's manifest, if it is there.
    pub manifest: PathBuf,
}

impl Workspace {
    /// Asks cargo. `directory` is a workspace, or a package in one, of which only the packages in
    /// that directory are taken.
    ///
    /// # Errors
    ///
    /// A directory that isn't cargo's, or that cargo refuses.
    pub(super) async fn load(directory: &Path) -> Result<Self> {
        let shown = directory.display();
        let manifest = directory.join("Cargo.toml");
        if !manifest.is_file() {
            bail!(
                "there is no cargo workspace in {shown}: {} is missing; `wharf dev DIR` takes another directory",
                manifest.display()
            );
        }
        let directory = directory
            .canonicalize()
            .with_context(|| format!("{shown} can't be read"))?;
        let mut ask = command("cargo", &directory);
        ask.args(["metadata", "--format-version", "1", "--no-deps"]);
        let output = output(ask).await?;
        if !output.status.success() {
            bail!("cargo can't read the workspace in {shown}; it says why above");
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout)
            .context("what `cargo metadata` says can't be understood")?;
        Ok(Self::of(&metadata, &directory))
    }

    fn of(metadata: &Metadata, chosen: &Path) -> Self {
        let root = metadata.workspace_root.clone().into_std_path_buf();
        let mut workspace = Self {
            target: metadata.target_directory.clone().into_std_path_buf(),
            guests: Vec::new(),
            left_out: Vec::new(),
            packages: BTreeSet::new(),
            root,
        };
        for package in metadata.workspace_packages() {
            let directory = directory(package);
            workspace.packages.insert(directory.to_owned());
            let by_path = package
                .dependencies
                .iter()
                .filter_map(|dependency| dependency.path.clone());
            workspace
                .packages
                .extend(by_path.map(cargo_metadata::camino::Utf8PathBuf::into_std_path_buf));
            if chosen != workspace.root && !directory.starts_with(chosen) {
                continue;
            }
            match guest(package) {
                Ok(guest) => workspace.guests.push(guest),
                Err(reason) => workspace
                    .left_out
                    .push(format!("{} ({reason})", package.name)),
            }
        }
        workspace.guests.sort_by(|a, b| a.name.cmp(&b.name));
        workspace
    }

    /// Says what a guest is if there is none.
    ///
    /// # Errors
    ///
    /// No guests.
    pub(super) fn require_guests(&self) -> Result<()> {
        if self.guests.is_empty() {
            bail!(
                "no package in {} becomes a service: {}; a guest's Cargo.toml has `crate-type = [\"cdylib\"]` under [lib]",
                self.root.display(),
                if self.left_out.is_empty() {
                    "there is none".to_owned()
                } else {
                    self.left_out.join(", ")
                }
            );
        }
        Ok(())
    }

    /// Where a change can change what is built: all packages, what decides about the workspace as a
    /// whole, and files outside that a build was seen to use.
    pub(super) fn places(&self, used: &BTreeSet<PathBuf>) -> Places {
        let mut places = Places::default();
        places.files_in(&self.root);
        for package in &self.packages {
            places.package(package, &self.target);
        }
        let outside = |file: &&PathBuf| {
            !file.starts_with(&self.target)
                && !self
                    .packages
                    .iter()
                    .any(|package| file.starts_with(package))
        };
        for directory in used.iter().filter(outside).filter_map(|file| file.parent()) {
            places.files_in(directory);
        }
        places
    }
}

fn directory(package: &Package) -> &Path {
    package
        .manifest_path
        .parent()
        .map_or(Path::new("/"), |parent| parent.as_std_path())
}

/// The package as a guest, or why it is none.
fn guest(package: &Package) -> Result<Guest, String> {
    let target = component(package)?;
    let name = ServiceName::parse(&package.name).map_err(|error| error.to_string())?;
    Ok(Guest {
        manifest: directory(package).join(format!("{name}.toml")),
        package: package.id.clone(),
        specification: format!("{}@{}", package.name, package.version),
        target: target.name.clone(),
        name,
    })
}

/// The one target that becomes a component: a library that is linked as one, or else a program
/// that is made for it. Other programs are for the machine that they are built on.
fn component(package: &Package) -> Result<&Target, &'static str> {
    if let Some(library) = package
        .targets
        .iter()
        .find(|target| target.crate_types.contains(&CrateType::CDyLib))
    {
        return Ok(library);
    }
    let programs: Vec<_> = package
        .targets
        .iter()
        .filter(|target| target.kind.contains(&TargetKind::Bin))
        .collect();
    let for_wasi = package.metadata.get("component").is_some()
        || package
            .dependencies
            .iter()
            .any(|dependency| dependency.name == "wstd");
    match programs[..] {
        [] => Err("a library"),
        _ if !for_wasi => Err("a program, not a component"),
        [program] => Ok(program),
        _ => programs
            .into_iter()
            .find(|program| program.name == *package.name)
            .ok_or("several programs, and none is named as the package is"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn package(name: &str, targets: &Value, dependencies: &Value) -> Value {
        json!({
            "name": name, "version": "0.1.0", "id": format!("path+file:///w/{name}#0.1.0"), "source": null,
            "dependencies": dependencies, "targets": targets, "features": {},
            "manifest_path": format!("/w/{name}/Cargo.toml"), "edition": "2024", "metadata": null
        })
    }

    fn target(name: &str, kind: &str) -> Value {
        json!({ "name": name, "kind": [kind], "crate_types": [kind], "src_path": "/w/x.rs", "edition": "2024" })
    }

    fn dependency(name: &str, path: Option<&str>) -> Value {
        json!({
            "name": name, "source": null, "req": "*", "kind": null, "optional": false, "uses_default_features": true,
            "features": [], "target": null, "rename": null, "registry": null, "path": path
        })
    }

    fn workspace(packages: &[Value], chosen: &str) -> Workspace {
        let ids: Vec<_> = packages
            .iter()
            .map(|package| package["id"].clone())
            .collect();
        let metadata = json!({
            "packages": packages, "workspace_members": ids, "workspace_root": "/w", "target_directory": "/w/target",
            "version": 1, "resolve": null, "metadata": null
        });
        Workspace::of(
            &serde_json::from_value(metadata).unwrap(),
            Path::new(chosen),
        )
    }

    fn names(workspace: &Workspace) -> Vec<&str> {
        workspace
            .guests
            .iter()
            .map(|guest| guest.name.as_str())
            .collect()
    }

    #[test]
    fn libraries_that_are_linked_are_guests_and_the_others_are_named_with_the_reason() {
        let workspace = workspace(
            &[
                package("login", &json!([target("login", "cdylib")]), &json!([])),
                package("core", &json!([target("core", "lib")]), &json!([])),
                package("tool", &json!([target("tool", "bin")]), &json!([])),
                package(
                    "bad_name",
                    &json!([target("bad_name", "cdylib")]),
                    &json!([]),
                ),
                package(
                    "async",
                    &json!([target("async", "bin")]),
                    &json!([dependency("wstd", None)]),
                ),
            ],
            "/w",
        );
        assert_eq!(names(&workspace), ["async", "login"]);
        assert_eq!(workspace.left_out[0], "core (a library)");
        assert_eq!(workspace.left_out[1], "tool (a program, not a component)");
        assert!(
            workspace.left_out[2].contains("1 to 63 of a-z"),
            "{:?}",
            workspace.left_out
        );
        assert_eq!(
            workspace.guests[1].manifest,
            Path::new("/w/login/login.toml")
        );
        assert_eq!(workspace.guests[1].specification, "login@0.1.0");
    }

    #[test]
    fn of_a_package_only_that_package_is_taken() {
        let packages = ["login", "register"]
            .map(|name| package(name, &json!([target(name, "cdylib")]), &json!([])));
        assert_eq!(names(&workspace(&packages, "/w")), ["login", "register"]);
        assert_eq!(names(&workspace(&packages, "/w/login")), ["login"]);
    }

    #[test]
    fn a_workspace_without_guests_says_what_a_guest_is() {
        let error = workspace(
            &[package("core", &json!([target("core", "lib")]), &json!([]))],
            "/w",
        )
        .require_guests();
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("core (a library)") && error.contains("cdylib"),
            "{error}"
        );
    }

    #[test]
    fn files_that_a_build_used_are_watched_wherever_they_are() {
        let dependencies = json!([dependency("shared", Some("/elsewhere/shared"))]);
        let workspace = workspace(
            &[package(
                "login",
                &json!([target("login", "cdylib")]),
                &dependencies,
            )],
            "/w",
        );
        let used = [
            "/wit/world.wit",
            "/w/login/src/lib.rs",
            "/w/target/out/generated.rs",
        ]
        .map(PathBuf::from);
        let places = workspace.places(&used.into());
        let watched: Vec<_> = places.directories().collect();
        for directory in ["/w", "/w/login", "/elsewhere/shared", "/wit"] {
            assert!(
                watched.contains(&Path::new(directory)),
                "{directory} is missing in {watched:?}"
            );
        }
        assert!(
            !watched
                .iter()
                .any(|directory| directory.starts_with("/w/target")),
            "{watched:?}"
        );
    }
}
