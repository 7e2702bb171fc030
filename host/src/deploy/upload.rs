//! Files that an operator sends, laid into the services directory as a careful person would: whole or
//! not at all.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use parking_lot::Mutex;

use super::fingerprint::{Files, Fingerprint, fingerprint, open_manifest};
use crate::config::ServiceName;

/// See the module.
pub struct Uploads {
    directory: PathBuf,
    /// Two files of one service belong together.
    writing: Mutex<()>,
}

impl Uploads {
    /// Into this services directory.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            writing: Mutex::new(()),
        }
    }

    /// Writes a component, and its manifest unless the present one is to stay. Gives back what tells
    /// the two from others.
    ///
    /// # Errors
    ///
    /// The directory can't be written to.
    pub(super) fn write(
        &self,
        name: &ServiceName,
        component: &[u8],
        manifest: Option<&str>,
    ) -> Result<Fingerprint> {
        let files = Files::of(&self.directory, name);
        let _turn = self.writing.lock();
        if manifest.is_none() {
            // it belongs to the component, so it is looked at before that is put anywhere
            open_manifest(&files.manifest).context("the manifest that is there can't be read")?;
        }
        // both are there before either counts: what is looked at has been quiet for a while
        let component = self.prepare(&files.component, component)?;
        let manifest = manifest.map(|text| self.prepare(&files.manifest, text.as_bytes()));
        if let Some(manifest) = manifest.transpose()? {
            manifest.put()?;
        }
        component.put()?;
        fingerprint(&files, u64::MAX).context("what was just written can't be read")
    }

    /// Writes beside the place where it is to be, under a name that is no service's.
    fn prepare<'a>(&self, to: &'a Path, content: &[u8]) -> Result<Prepared<'a>> {
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let prepared = Prepared {
            beside: self.directory.join(format!(".{name}.upload")),
            to,
        };
        let write = || {
            let mut file = File::create(&prepared.beside)?;
            file.write_all(content)?;
            file.sync_all()
        };
        if let Err(error) = write() {
            let directory = self.directory.display();
            return Err(error).with_context(|| {
                format!("the services directory {directory} can't be written to")
            });
        }
        Ok(prepared)
    }
}

/// A file beside the place where it is to be. Nothing is left of it if it isn't put there.
struct Prepared<'a> {
    beside: PathBuf,
    to: &'a Path,
}

impl Prepared<'_> {
    fn put(&self) -> Result<()> {
        let put = fs::rename(&self.beside, self.to);
        put.with_context(|| format!("{} can't be put in its place", self.to.display()))
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        // it has another name if it was put there
        let _ = fs::remove_file(&self.beside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_put_in_their_places_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let uploads = Uploads::new(directory.path());
        let name: ServiceName = "login".parse().unwrap();
        let first = uploads.write(&name, b"one", Some("[limits]")).unwrap();
        let second = uploads.write(&name, b"two", None).unwrap();
        assert_ne!(first.component, second.component);
        assert_eq!(first.manifest, second.manifest, "the manifest stays");
        assert_eq!(
            fs::read(directory.path().join("login.wasm")).unwrap(),
            b"two"
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_directory_that_is_gone_is_told() {
        let uploads = Uploads::new(Path::new("/nowhere/services"));
        let error = uploads
            .write(&"login".parse().unwrap(), b"one", None)
            .unwrap_err();
        assert!(
            format!("{error:#}")
                .contains("the services directory /nowhere/services can't be written to")
        );
    }
}
