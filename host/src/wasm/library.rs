//! Components, each compiled once.
//!
//! A thousand services may well be the same file under a thousand names: they share one component,
//! its code in memory included, for as long as one of them uses it. What isn't in memory may be in
//! the [`Cache`]; what isn't there either is compiled, by the [`Compiler`], and put there.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use tracing::debug;

use super::cache::{Cache, deserialize};
use super::compiler::{Canceled, Compiler};
use super::component::{Code, Component, ComponentError, Facts, Generation};
use super::engine::{Concurrency, Sandbox};
use super::guest::Pre;

/// See the module.
pub struct Library {
    sandbox: Arc<Sandbox>,
    cache: Option<Cache>,
    compiler: Compiler,
    places: Mutex<HashMap<Arc<str>, Arc<Place>>>,
}

/// Where one component stands.
#[derive(Default)]
struct Place {
    /// Locked while the component is made, so that whoever wants the same one waits for it rather than
    /// make another.
    lent: Mutex<Option<Lent>>,
    /// It is being made by compiling it, which may take a minute.
    compiling: AtomicBool,
}

/// A component that others use.
struct Lent {
    pre: Weak<Pre>,
    generation: Option<Generation>,
    facts: Arc<Facts>,
}

impl Library {
    /// A library of components for this sandbox. `cache` is the directory where compiled code is
    /// kept, and how many bytes of it.
    pub fn new(sandbox: Arc<Sandbox>, cache: Option<(PathBuf, u64)>, compiler: Compiler) -> Self {
        let cache = cache.map(|(path, most)| Cache::new(path, most, sandbox.plain_engine()));
        Self {
            sandbox,
            cache,
            compiler,
            places: Mutex::default(),
        }
    }

    /// The component with this SHA-256, if it needn't be compiled, nor is just being compiled. Reads
    /// files: not for an async thread.
    pub fn find(&self, digest: &Arc<str>) -> Option<Component> {
        let place = self.place(digest);
        if place.compiling.load(Ordering::Relaxed) {
            return None;
        }
        self.lend(&place, || self.load(digest).and_then(Result::ok).ok_or(()))
            .ok()
    }

    /// The component that these bytes are, whose SHA-256 is `digest`; compiled if it has to be, which
    /// takes seconds, unless that is canceled: not for an async thread.
    ///
    /// # Errors
    ///
    /// Why this host can't run it, in words for its author.
    pub fn compile(
        &self,
        digest: &Arc<str>,
        bytes: &[u8],
        canceled: &Canceled,
    ) -> Result<Component, ComponentError> {
        let place = self.place(digest);
        self.lend(&place, || {
            if let Some(loaded) = self.load(digest) {
                return loaded;
            }
            place.compiling.store(true, Ordering::Relaxed);
            let made = self.make(digest, bytes, canceled);
            place.compiling.store(false, Ordering::Relaxed);
            made
        })
    }

    fn place(&self, digest: &Arc<str>) -> Arc<Place> {
        Arc::clone(self.places.lock().entry(Arc::clone(digest)).or_default())
    }

    /// What stands at a place, or what `make` puts there.
    fn lend<E>(
        &self,
        place: &Place,
        make: impl FnOnce() -> Result<Component, E>,
    ) -> Result<Component, E> {
        let mut lent = place.lent.lock();
        if let Some(component) = lent.as_ref().and_then(Lent::get) {
            return Ok(component);
        }
        self.sweep();
        let component = make()?;
        *lent = Some(Lent::of(&component));
        Ok(component)
    }

    /// Forgets the places of components that nobody uses any more, nor is about to.
    fn sweep(&self) {
        self.places.lock().retain(|_, place| {
            Arc::strong_count(place) > 1 || place.lent.lock().as_ref().and_then(Lent::get).is_some()
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

    fn make(
        &self,
        digest: &Arc<str>,
        bytes: &[u8],
        canceled: &Canceled,
    ) -> Result<Component, ComponentError> {
        let start = Instant::now();
        let compiled = self.compiler.compile(digest, bytes, canceled)?;
        let concurrency = compiled.concurrency;
        let engine = &self.sandbox.runtime(concurrency)?.engine;
        let code = deserialize(engine, &compiled.code)
            .map_err(|error| ComponentError::Invalid(format!("{error:#}")))?;
        let component = self.sandbox.link(&Code { code, concurrency })?;
        debug!(
            %digest,
            seconds = start.elapsed().as_secs_f64(),
            "a component was compiled"
        );
        if let Some(cache) = &self.cache {
            cache.store(&key(digest, concurrency), &compiled.code);
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
    use super::super::compiler::cancellation;
    use super::*;
    use crate::config::Sandbox as Limits;

    fn compile(library: &Library, bytes: &[u8]) -> Result<Component, ComponentError> {
        let (_guard, canceled) = cancellation().unwrap();
        library.compile(&digest(), bytes, &canceled)
    }

    fn library(cache: Option<PathBuf>) -> Library {
        let limits = Limits {
            max_instances: 1.try_into().unwrap(),
            ..Limits::default()
        };
        let cache = cache.map(|path| (path, 1 << 30));
        Library::new(
            Sandbox::new(&limits).unwrap(),
            cache,
            Compiler::in_process(),
        )
    }

    fn digest() -> Arc<str> {
        "00".into()
    }

    #[test]
    fn copies_share_one_component_while_it_is_used() {
        let library = library(None);
        let wasm = service("a");
        assert!(library.find(&digest()).is_none());
        let one = compile(&library, &wasm).unwrap();
        // not even looked at
        let two = compile(&library, b"").unwrap();
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
                .map(|_| scope.spawn(|| compile(&library, &wasm).unwrap()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(made.iter().all(|one| Arc::ptr_eq(&one.pre, &made[0].pre)));
    }

    #[test]
    fn nobody_who_only_looks_waits_for_a_compiler() {
        let library = library(None);
        let place = library.place(&digest());
        place.compiling.store(true, Ordering::Relaxed);
        let _making = place.lent.lock();
        assert!(library.find(&digest()).is_none());
    }

    #[test]
    fn the_next_process_finds_what_this_one_compiled() {
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("compiled");
        let wasm = service("a");
        let before = compile(&library(Some(cache.clone())), &wasm).unwrap();
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
        assert!(compile(&library, no_service).is_err());
        assert_eq!(std::fs::read_dir(cache).unwrap().count(), 0);
    }
}
