//! What one server has compiled, the next loads: in a run of the tests each component is compiled once
//! and not for each test anew, which would take most of their time.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::build::root;

/// Empty when the run begins: what another build has compiled is not what is to be tested.
static KEPT: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = root().join("target/e2e-compiled");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("the target directory can be written to");
    directory
});

/// Copies get names of their own until they are whole.
static COPIES: AtomicU64 = AtomicU64::new(0);

/// Gives the server with this data directory what was compiled of the component with this digest.
pub(crate) fn give(data: &Path, digest: &str) -> io::Result<()> {
    let directory = data.join("compiled");
    let of_it = |name: &str| name.starts_with(digest);
    for (name, file) in entries(&KEPT)?.filter(|(name, _)| of_it(name)) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        copy(&file, &directory, &name)?;
    }
    Ok(())
}

/// Keeps what the server with this data directory has compiled.
pub(crate) fn keep(data: &Path) -> io::Result<()> {
    for (name, file) in entries(&data.join("compiled"))? {
        copy(&file, &KEPT, &name)?;
    }
    Ok(())
}

/// The whole entries of a directory, by their names.
fn entries(directory: &Path) -> io::Result<impl Iterator<Item = (String, PathBuf)>> {
    let found = fs::read_dir(directory)?.flatten();
    let whole =
        found.filter(|entry| Path::new(&entry.file_name()).extension() == Some("cwasm".as_ref()));
    Ok(whole.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))))
}

/// Copies a file, if it isn't there. Nobody sees half of it.
fn copy(file: &Path, to: &Path, name: &str) -> io::Result<()> {
    let whole = to.join(name);
    if whole.exists() {
        return Ok(());
    }
    let number = COPIES.fetch_add(1, Ordering::Relaxed);
    let part = to.join(format!("{number}.copy"));
    fs::copy(file, &part)?;
    fs::rename(part, whole)
}
