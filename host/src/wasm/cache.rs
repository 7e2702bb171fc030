//! Compiled code, kept from one start to the next.
//!
//! Compiling takes seconds, loading what was compiled takes milliseconds. The code of each component
//! is a file in a [directory of ours](private) in the data directory. Its name says what it was made
//! from, the component's SHA-256, and for what: wasmtime's version and settings. Code that was made
//! for other settings is another entry, and is removed in time like all that is no longer used.
//!
//! Compiled code is run without a further check, so it must be our own. Nobody else can write to the
//! directory, or it isn't used; and each entry begins with a checksum over its name and its code, so
//! that one that was cut off, damaged or mixed up is compiled again rather than run. Nothing here
//! ever fails a deploy: without the cache it only takes longer.

mod private;

use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tracing::{debug, warn};
use wasmtime::Engine;
use wasmtime::component::Component;

use self::private::{Listed, Private, Refusal};

/// What an entry begins with. Another layout gets another number.
const MAGIC: &[u8; 16] = b"wharf compiled 1";

/// The magic and the checksum.
const HEADER: usize = MAGIC.len() + 32;

/// What the names of entries end with.
const ENDING: &str = ".cwasm";

/// What the names of entries that are being written end with.
const PART: &str = ".part";

/// Compiled code on disk.
pub(super) struct Cache {
    directory: PathBuf,
    /// Names wasmtime's version and settings.
    settings: String,
    /// The most bytes that all entries may have together.
    most: u64,
    /// One entry is written at a time. What is unfinished meanwhile was left by a process before.
    writing: Mutex<()>,
    /// That the directory can't be used was said, and needn't be for each component.
    warned: AtomicBool,
}

impl Cache {
    /// The entries in `directory` that are for this engine, and whatever else is there, in no more
    /// than so many bytes.
    pub(super) fn new(directory: PathBuf, most: u64, engine: &Engine) -> Self {
        let cache = Self {
            directory,
            settings: settings(engine),
            most,
            writing: Mutex::new(()),
            warned: AtomicBool::new(false),
        };
        // an operator sees at the start what is wrong with it
        cache.open();
        cache
    }

    /// The code with this key, if it is there and sound. `engine` is what it was compiled for, asked
    /// for only then.
    pub(super) fn load<'a>(
        &self,
        key: &str,
        engine: impl FnOnce() -> Option<&'a Engine>,
    ) -> Option<Component> {
        let directory = self.open()?;
        let name = self.name(key);
        let spoilt = match directory.read(&name, self.most) {
            Ok(entry) => match code(&name, &entry) {
                Some(code) => match deserialize(engine()?, code) {
                    Ok(component) => return Some(component),
                    Err(error) => format!("{error:#}"),
                },
                None => "it is damaged".to_owned(),
            },
            Err(Refusal::Io(error)) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(refusal) => refusal.to_string(),
        };
        let file = self.directory.join(&name);
        warn!(file = %file.display(), reason = spoilt, "compiled code can't be used; the component is compiled again");
        if let Err(error) = directory.remove(&name) {
            warn!(file = %file.display(), %error, "the entry can't be removed");
        }
        None
    }

    /// Keeps code under a key: the SHA-256 of what it was compiled from, and for which engine.
    pub(super) fn store(&self, key: &str, code: &[u8]) {
        let Some(directory) = self.open() else {
            return;
        };
        let name = self.name(key);
        if let Err(error) = self.write(&directory, &name, code) {
            let file = self.directory.join(&name);
            warn!(file = %file.display(), %error, "compiled code can't be kept; the next start compiles it again");
        }
    }

    fn write(&self, directory: &Private, name: &str, code: &[u8]) -> io::Result<()> {
        let size = (HEADER + code.len()) as u64;
        if size > self.most {
            debug!(name, size, "this code alone is more than may be kept");
            return Ok(());
        }
        let _one_at_a_time = self.writing.lock();
        self.make_room(directory, name, size)?;
        let part = format!("{name}{PART}");
        directory.write(&part, &[MAGIC, &checksum(name, code), code])?;
        directory.rename(&part, name)
    }

    /// Removes the entries that were not used for longest, until there is room for `size` bytes in
    /// place of the entry `name`.
    fn make_room(&self, directory: &Private, name: &str, size: u64) -> io::Result<()> {
        let (parts, mut entries): (Vec<_>, Vec<_>) = directory
            .list()?
            .into_iter()
            .filter(|entry| entry.name.ends_with(PART) || entry.name.ends_with(ENDING))
            .filter(|entry| entry.name != name)
            .partition(|entry| entry.name.ends_with(PART));
        for part in parts {
            directory.remove(&part.name)?;
        }
        entries.sort_unstable_by_key(|entry| entry.used);
        let mut total = size + entries.iter().map(|entry| entry.size).sum::<u64>();
        for Listed { name, size, .. } in entries {
            if total <= self.most {
                break;
            }
            debug!(
                name,
                "compiled code was not used for longest and makes room"
            );
            directory.remove(&name)?;
            total -= size;
        }
        Ok(())
    }

    /// Opens the directory, each time: an operator may remove it, to be rid of what is in it.
    fn open(&self) -> Option<Private> {
        match Private::open(&self.directory) {
            Ok(directory) => {
                self.warned.store(false, Ordering::Relaxed);
                Some(directory)
            }
            Err(refusal) => {
                if !self.warned.swap(true, Ordering::Relaxed) {
                    warn!(directory = %self.directory.display(), reason = %refusal,
                        "compiled code is not kept, so each start compiles; remove the directory, and a sound one is made");
                }
                None
            }
        }
    }

    fn name(&self, key: &str) -> String {
        format!("{key}-{}{ENDING}", self.settings)
    }
}

/// The code in an entry of that name, if the entry is whole.
fn code<'a>(name: &str, entry: &'a [u8]) -> Option<&'a [u8]> {
    let (header, code) = entry.split_at_checked(HEADER)?;
    let (magic, sum) = header.split_at(MAGIC.len());
    (magic == MAGIC && sum == checksum(name, code)).then_some(code)
}

/// Over the name as well: an entry that was copied over another one is no other component's code.
fn checksum(name: &str, code: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(name)
        .chain_update([0])
        .chain_update(code)
        .finalize()
        .into()
}

/// Makes code runnable: an entry's, or what this host has just compiled.
///
/// # Errors
///
/// Code for another engine, or for more than this one has room for.
pub(super) fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes must be what `Engine::precompile_component` gave, unchanged. Either they come
    // from a file that only this user can write, in a directory of which the same is true (both were
    // checked on the open files, and the bytes were read from them before they were looked at); and they
    // carry a SHA-256 that `write` put there together with what was compiled. Or they come from the
    // compiler: this program, which nobody else has started, in a process that has ended, by way of a
    // file that nobody else has ever had open (`compiler::process`). That they are for this engine is
    // checked once more by wasmtime.
    #[expect(
        unsafe_code,
        reason = "compiled code has to be trusted, and this is our own"
    )]
    unsafe {
        Component::deserialize(engine, code)
    }
}

/// A word for all that decides whether an engine can run what another one compiled: wasmtime's
/// version, the processor's features, and the settings.
fn settings(engine: &Engine) -> String {
    let mut hasher = Sha256Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let mut word = String::with_capacity(32);
    for byte in hasher.0.finalize().iter().take(16) {
        // writing to a string can't fail
        let _ = write!(word, "{byte:02x}");
    }
    word
}

/// Hashes as SHA-256 does: the same in every process, and without collisions.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let sum = self.0.clone().finalize();
        sum.first_chunk().copied().map_or(0, u64::from_le_bytes)
    }
}

#[cfg(test)]
pub(super) mod tests;
