//! Components, each compiled once.
//!
//! A thousand services may well be the same file under a thousand names: they share one component,
//! its code in memory included, for as long as one of them uses it. What isn't in memory may be in
//! the [`Cache`]; what isn't there either is compiled and put there.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use tracing::debug;

use super::cache::Cache;
use super::component::{Code, Component, ComponentError, Facts, Generation};
use super::engine::{Concurrency, Sandbox};
use super::guest::Pre;

/// See the module.
pub struct Library {
    sandbox: Arc<Sandbox>,
    cache: Option<Cache>,
    places: Mutex<HashMap<Arc<str>, Arc<Place>>>,
}

/// Where one component stands. It is locked while the component is made, so that whoever wants the
/// same one waits for it rather than make another.
type Place = Mutex<Option<Lent>>;

/// A component that others use.
struct Lent {
    pre: Weak<Pre>,
    generation: Option<Generation>,
    facts: Arc<Facts>,
}

impl Library {
    /// A library of components for this sandbox. `cache` is the directory where compiled code is
    /// kept, and how many bytes of it.
    pub fn new(sandbox: Arc<Sandbox>, cache: Option<(PathBuf, u64)>) -> Self {
        let cache = cache.map(|(path, most)| Cache::new(path, most, sandbox.plain_engine()));
        Self {
            sandbox,
            cache,
            places: Mutex::default(),
        }
    }

    /// The component with this SHA-256, if it needn't be compiled. Reads files, and waits if it is
    /// just being compiled: not for an async thread.
    pub fn find(&self, digest: &Arc<str>) -> Option<Component> {
        self.lend(digest, || self.load(digest).and_then(Result::ok).ok_or(()))
            .ok()
    }

    /// The component that these bytes are, whose SHA-256 is `digest`; compiled if it has to be, which
    /// takes seconds of CPU: not for an async thread.
    ///
    /// # Errors
    ///
    /// Why this host can't run it, in words for its author.
    pub fn compile(&self, digest: &Arc<str>, bytes: &[u8]) -> Result<Component, ComponentError> {
        self.lend(digest, || match self.load(digest) {
            Some(loaded) => loaded,
            None => self.make(digest, bytes),
        })
    }

    /// What stands at its place, or what `make` puts there.
    fn lend<E>(
        &self,
        digest: &Arc<str>,
        make: impl FnOnce() -> Result<Component, E>,
    ) -> Result<Component, E> {
        let place = Arc::clone(self.places.lock().entry(Arc::clone(digest)).or_default());
        let mut place = place.lock();
        if let Some(component) = place.as_ref().and_then(Lent::get) {
            return Ok(component);
        }
        self.sweep();
        let component = make()?;
        *place = Some(Lent::of(&component));
        Ok(component)
    }

    /// Forgets the places of components that nobody uses any more, nor is about to.
    fn sweep(&self) {
        self.places.lock().retain(|_, place| {
            Arc::strong_count(place) > 1 || place.lock().as_ref().and_then(Lent::get).is_some()
        });
    }

    /// From the cache. A component that was compiled before may import what this host no longer has.
    fn load(&self, digest: &str) -> Option<Result<Component, ComponentError>> {
        let cache = self.cache.as_ref()?;
        let code = [Concurrency::Off, Concurrency::On]
            .into_iter()
            .find_map(|concurrency| {
                let engine = || Some(&self.sandbox.runtime(concurrency).ok()?.engine);
                let code = cache.load(&key(digest, concurrency), engine)?;
                Some(Code { code, concurrency })
            })?;
        debug!(digest, "the compiled code was loaded");
        Some(self.sandbox.link(&code))
    }

    fn make(&self, digest: &str, bytes: &[u8]) -> Result<Component, ComponentError> {
        let start = Instant::now();
        let code = self.sandbox.build(bytes)?;
        let component = self.sandbox.link(&code)?;
        debug!(
            digest,
            seconds = start.elapsed().as_secs_f64(),
            "a component was compiled"
        );
        if let Some(cache) = &self.cache {
            cache.store(&key(digest, code.concurrency), &code.code);
        }
        Ok(component)
    }
}

/// What names a component's code in the cache, beside the settings that both engines share.
fn key(digest: &str, concurrency: Concurrency) -> String {
    match concurrency {
        Concurrency::Off => digest.to_owned(),
        Concurrency::On => format!("{digest}-async"),
    }
}

impl Lent {
    fn of(component: &Component) -> Self {
        Self {
            pre: Arc::downgrade(&component.pre),
            generation: component.generation,
            facts: Arc::clone(&component.facts),
        }
    }

    fn get(&self) -> Option<Component> {
        Some(Component {
            pre: self.pre.upgrade()?,
            generation: self.generation,
            facts: Arc::clone(&self.facts),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::cache::tests::service;
    use super::*;
    use crate::config::Sandbox as Limits;

    fn library(cache: Option<PathBuf>) -> Library {
        let limits = Limits {
            max_instances: 1.try_into().unwrap(),
            ..Limits::default()
        };
        let cache = cache.map(|path| (path, 1 << 30));
        Library::new(Sandbox::new(&limits).unwrap(), cache)
    }

    fn digest() -> Arc<str> {
        "00".into()
    }

    #[test]
    fn copies_share_one_component_while_it_is_used() {
        let library = library(None);
        let wasm = service("a");
        assert!(library.find(&digest()).is_none());
        let one = library.compile(&digest(), &wasm).unwrap();
        // not even looked at
        let two = library.compile(&digest(), b"").unwrap();
        assert!(Arc::ptr_eq(&one.pre, &two.pre));
        assert!(Arc::ptr_eq(&one.pre, &library.find(&digest()).unwrap().pre));

        drop((one, two));
        assert!(library.find(&digest()).is_none());
        library.sweep();
        assert!(library.places.lock().is_empty());
    }

    #[test]
    fn those_who_want_the_same_at_once_get_the_same() {
        let library = library(None);
        let wasm = service("a");
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| library.compile(&digest(), &wasm).unwrap()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(made.iter().all(|one| Arc::ptr_eq(&one.pre, &made[0].pre)));
    }

    #[test]
    fn the_next_process_finds_what_this_one_compiled() {
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("compiled");
        let wasm = service("a");
        let before = library(Some(cache.clone()))
            .compile(&digest(), &wasm)
            .unwrap();
        let after = library(Some(cache)).find(&digest()).unwrap();
        assert_eq!(after.generation, before.generation);
        assert_eq!(after.facts, before.facts);
    }

    #[test]
    fn a_component_that_is_refused_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("compiled");
        let library = library(Some(cache.clone()));
        let no_service = b"\0asm\x0d\0\x01\0";
        assert!(library.compile(&digest(), no_service).is_err());
        assert_eq!(std::fs::read_dir(cache).unwrap().count(), 0);
    }
}
