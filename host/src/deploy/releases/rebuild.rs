//! Makes an index of what is left where the one there was is damaged.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::super::fingerprint::{Fingerprint, sha256_from};
use super::folder::Folder;
use super::index::Index;
use super::record::{Record, State, component_file, is_digest, manifest_file};

/// What can be said of a directory's releases, given what could still be read of their index.
///
/// Records are believed if their files are there. If there are none, components that are what their
/// names say become records, in the order in which they were written; but only where no release had
/// a manifest, for a component must not run with another one's.
pub(super) fn rebuild(folder: &Folder, salvaged: Index) -> Index {
    let mut index = salvaged;
    index.records.retain(|record| is_there(folder, record));
    index.repair();
    let names = folder.names().unwrap_or_default();
    let digest_of = |name: &str, ending: &str| -> Option<Arc<str>> {
        let digest = name.strip_suffix(ending)?;
        is_digest(digest).then(|| digest.into())
    };
    let had_manifests = names.iter().any(|name| digest_of(name, ".toml").is_some());
    if !index.records.is_empty() || had_manifests {
        return index;
    }
    let components = names.iter().filter_map(|name| digest_of(name, ".wasm"));
    let mut found: Vec<_> = components
        .filter_map(|digest| recognise(folder, digest))
        .collect();
    found.sort_by(|a, b| {
        (a.accepted_at, &a.content.component).cmp(&(b.accepted_at, &b.content.component))
    });
    for record in found {
        let content = record.content.clone();
        let revision = index.accept(&content, record.size_bytes, State::Kept, record.accepted_at);
        let note = "it was found without an index".to_owned();
        index.mark(revision, State::Kept, Some(note));
    }
    index
}

/// Whether a release's files are there. What is in them is checked when they are read.
pub(super) fn is_there(folder: &Folder, record: &Record) -> bool {
    let component = component_file(&record.content.component);
    let manifest = record.content.manifest.as_ref().map(manifest_file);
    folder.size(&component) == Some(record.size_bytes)
        && manifest.is_none_or(|manifest| folder.size(&manifest).is_some())
}

/// A record of a component's file, if it is what its name says.
fn recognise(folder: &Folder, digest: Arc<str>) -> Option<Record> {
    let file = component_file(&digest);
    let actual = sha256_from(folder.opened(&file).ok()?).ok()?;
    (actual == digest).then_some(())?;
    Some(Record {
        revision: 0,
        content: Fingerprint {
            component: digest,
            manifest: None,
        },
        size_bytes: folder.size(&file)?,
        accepted_at: folder.written(&file).unwrap_or(UNIX_EPOCH),
        state: State::Kept,
        note: None,
        before: None,
    })
}
