//! Components and manifests into the services directory.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::build::Component;
use crate::config::ServiceName;

/// Lists the services that were put into a directory, so that no others are ever removed.
const RECORD: &str = ".wharf-dev";

/// What a deployment has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Changes {
    pub deployed: Vec<ServiceName>,
    pub removed: Vec<ServiceName>,
}

/// Makes the directory hold these services in place of those that were put there before. Files that
/// are the same already aren't touched. Blocks on the file system.
///
/// # Errors
///
/// Files that can't be read or written; what was done before stays done.
pub(super) fn deploy(directory: &Path, components: &[Component]) -> Result<Changes> {
    fs::create_dir_all(directory)
        .with_context(|| format!("{} can't be made", directory.display()))?;
    let before = recorded(directory);
    let now: BTreeSet<_> = components
        .iter()
        .map(|component| component.name.clone())
        .collect();
    // first, for should this fail half way, more is recorded than is there and nothing stays behind
    record(directory, before.union(&now))?;
    let mut deployed = Vec::new();
    for component in components {
        let name = &component.name;
        // the manifest first: the host takes both once both are quiet
        let manifest = match fs::read(&component.manifest) {
            Ok(bytes) => put(directory, &format!("{name}.toml"), &bytes)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                remove(directory, &format!("{name}.toml"))?
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{} can't be read", component.manifest.display()));
            }
        };
        let bytes = fs::read(&component.wasm)
            .with_context(|| format!("{} can't be read", component.wasm.display()))?;
        let wasm = put(directory, &format!("{name}.wasm"), &bytes)?;
        if manifest || wasm {
            deployed.push(name.clone());
        }
    }
    let mut removed = Vec::new();
    for name in before.difference(&now) {
        // both, whatever the first comes to
        let (wasm, manifest) = (
            remove(directory, &format!("{name}.wasm"))?,
            remove(directory, &format!("{name}.toml"))?,
        );
        if wasm || manifest {
            removed.push(name.clone());
        }
    }
    record(directory, &now)?;
    Ok(Changes { deployed, removed })
}

fn recorded(directory: &Path) -> BTreeSet<ServiceName> {
    let text = fs::read_to_string(directory.join(RECORD)).unwrap_or_default();
    text.lines()
        .filter_map(|line| ServiceName::parse(line).ok())
        .collect()
}

fn record<'a>(directory: &Path, names: impl IntoIterator<Item = &'a ServiceName>) -> Result<()> {
    let text: String = names
        .into_iter()
        .flat_map(|name| [name.as_str(), "\n"])
        .collect();
    put(directory, RECORD, text.as_bytes())?;
    Ok(())
}

/// Writes a file in one step, under a name that the host ignores at first. `false` if it is there
/// already, with these bytes.
fn put(directory: &Path, name: &str, bytes: &[u8]) -> Result<bool> {
    let file = directory.join(name);
    if fs::read(&file).is_ok_and(|there| there == bytes) {
        return Ok(false);
    }
    let unfinished = directory.join(format!(".{name}.part"));
    fs::write(&unfinished, bytes)
        .and_then(|()| fs::rename(&unfinished, &file))
        .with_context(|| format!("{} can't be written", file.display()))?;
    Ok(true)
}

/// Removes a file. `false` if there is none.
fn remove(directory: &Path, name: &str) -> Result<bool> {
    let file = directory.join(name);
    match fs::remove_file(&file) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("{} can't be removed", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    struct Fixture {
        sources: TempDir,
        root: TempDir,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                sources: tempfile::tempdir().unwrap(),
                root: tempfile::tempdir().unwrap(),
            }
        }

        fn services(&self) -> PathBuf {
            self.root.path().join("services")
        }

        fn component(&self, name: &str, wasm: &str, manifest: Option<&str>) -> Component {
            let file = |extension: &str| self.sources.path().join(format!("{name}.{extension}"));
            fs::write(file("wasm"), wasm).unwrap();
            match manifest {
                Some(text) => fs::write(file("toml"), text).unwrap(),
                None => drop(fs::remove_file(file("toml"))),
            }
            Component {
                name: ServiceName::parse(name).unwrap(),
                wasm: file("wasm"),
                manifest: file("toml"),
            }
        }

        fn files(&self) -> Vec<String> {
            let entries = fs::read_dir(self.services()).unwrap();
            let mut names: Vec<_> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    fn names(services: &[ServiceName]) -> Vec<&str> {
        services.iter().map(ServiceName::as_str).collect()
    }

    #[test]
    fn only_what_differs_is_written() {
        let fixture = Fixture::new();
        let services = fixture.services();
        let both = [
            fixture.component("a", "1", Some("x")),
            fixture.component("b", "1", None),
        ];
        assert_eq!(
            names(&deploy(&services, &both).unwrap().deployed),
            ["a", "b"]
        );
        assert_eq!(fixture.files(), [RECORD, "a.toml", "a.wasm", "b.wasm"]);
        assert!(deploy(&services, &both).unwrap().deployed.is_empty());

        fixture.component("b", "2", None);
        assert_eq!(names(&deploy(&services, &both).unwrap().deployed), ["b"]);
        assert_eq!(fs::read_to_string(services.join("b.wasm")).unwrap(), "2");

        fixture.component("a", "1", None);
        assert_eq!(names(&deploy(&services, &both).unwrap().deployed), ["a"]);
        assert!(
            !services.join("a.toml").exists(),
            "a manifest that is gone goes"
        );
    }

    #[test]
    fn services_whose_package_is_gone_go_and_those_of_others_stay() {
        let fixture = Fixture::new();
        let services = fixture.services();
        let both = [
            fixture.component("a", "1", Some("x")),
            fixture.component("b", "1", None),
        ];
        deploy(&services, &both).unwrap();
        fs::write(services.join("mine.wasm"), "mine").unwrap();
        let changes = deploy(&services, &both[1..]).unwrap();
        assert_eq!(names(&changes.removed), ["a"]);
        assert_eq!(fixture.files(), [RECORD, "b.wasm", "mine.wasm"]);
        assert!(deploy(&services, &both[1..]).unwrap().removed.is_empty());
    }
}
