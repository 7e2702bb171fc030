//! The engines that components are compiled for and run in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tracing::warn;
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::state::State;
use super::{config, keyvalue, logging, streams};
use crate::config::Sandbox as Limits;

/// How often a running guest is looked at. A guest past its deadline ends at most this late, plus
/// the time it waits for its turn on a worker thread.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// Bytes of an unused memory or table that stay with the process.
const KEEP_RESIDENT: usize = 2 << 20;

/// The engines that components run in: one for each generation of `wasi:http`.
pub struct Sandbox {
    plain: Runtime,
    /// Made when the first component needs it.
    concurrent: OnceLock<Runtime>,
    limits: Limits,
}

/// An engine, and the linker with everything that a guest may import.
pub(super) struct Runtime {
    pub(super) engine: Engine,
    pub(super) linker: Linker<State>,
    _ticker: Ticker,
}

/// Whether the guests of an engine can be called while another call is going on in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Concurrency {
    /// `wasi:http` 0.3, and the component model's async.
    On,
    /// `wasi:http` 0.2: a call is a plain call, without the bookkeeping of tasks that costs each of
    /// a guest's own calls to the host as well.
    Off,
}

impl Sandbox {
    /// Sets the engine up.
    ///
    /// # Errors
    ///
    /// An operating system that can't give what the limits ask for.
    pub fn new(limits: &Limits) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            plain: Runtime::new(limits, Concurrency::Off)?,
            concurrent: OnceLock::new(),
            limits: limits.clone(),
        }))
    }

    /// The engine that is always there.
    pub(super) fn plain_engine(&self) -> &Engine {
        &self.plain.engine
    }

    /// The engine for guests of a kind.
    ///
    /// # Errors
    ///
    /// An operating system that can't give what the limits ask for.
    pub(super) fn runtime(&self, concurrency: Concurrency) -> Result<&Runtime> {
        if concurrency == Concurrency::Off {
            return Ok(&self.plain);
        }
        if let Some(runtime) = self.concurrent.get() {
            return Ok(runtime);
        }
        // two that come here at once make one too many, which is dropped
        let made = Runtime::new(&self.limits, Concurrency::On)?;
        Ok(self.concurrent.get_or_init(|| made))
    }
}

impl Runtime {
    fn new(limits: &Limits, concurrency: Concurrency) -> Result<Self> {
        let engine = match Engine::new(&engine_config(Some(limits), concurrency)) {
            Ok(engine) => engine,
            Err(error) => {
                warn!(%error, "no address space for a pool of sandboxes; each is made on its own, which is slower");
                Engine::new(&engine_config(None, concurrency))
                    .map_err(anyhow::Error::from)
                    .context("the WebAssembly engine could not be made")?
            }
        };
        let linker = linker(&engine, concurrency)?;
        let ticker = Ticker::start(engine.clone())?;
        Ok(Self {
            engine,
            linker,
            _ticker: ticker,
        })
    }
}

/// An engine that only compiles, and needs no room for instances. What it compiles, the engine of that
/// kind in a [`Sandbox`] can run.
///
/// # Errors
///
/// A processor that nothing can be compiled for.
pub(super) fn compiling_engine(concurrency: Concurrency) -> Result<Engine> {
    Engine::new(&engine_config(None, concurrency))
        .map_err(anyhow::Error::from)
        .context("the WebAssembly engine could not be made")
}

fn engine_config(pool: Option<&Limits>, concurrency: Concurrency) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    match concurrency {
        Concurrency::On => config.wasm_component_model_async(true),
        Concurrency::Off => config.concurrency_support(false),
    };
    // a component is untrusted input: no feature beyond what guests' compilers emit today
    config.wasm_memory64(false);
    if let Some(limits) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(limits)));
    }
    config
}

/// Stacks beyond one for each instance: an instance of the 0.3 generation may use one for each of its
/// requests. Each stack costs two of the mappings of which Linux allows a process 65 530, and the time
/// to make them at the start.
const SPARE_STACKS: u32 = 1000;

/// Room for `max_instances` components, each with the few core instances that a component made of
/// one program and its adapters has.
fn pooling(limits: &Limits) -> PoolingAllocationConfig {
    let instances = limits.max_instances.get();
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances);
    pool.total_core_instances(instances.saturating_mul(8));
    pool.max_core_instances_per_component(64);
    pool.total_memories(instances.saturating_mul(2));
    pool.max_memories_per_component(8);
    pool.max_memory_size(limits.max_memory);
    pool.total_tables(instances.saturating_mul(4));
    pool.max_tables_per_component(32);
    pool.total_stacks(instances.saturating_add(SPARE_STACKS));
    pool.total_gc_heaps(instances);
    // what a guest touched is cleared and kept rather than given back: the next one in its place
    // then takes no page faults
    pool.linear_memory_keep_resident(KEEP_RESIDENT);
    pool.table_keep_resident(KEEP_RESIDENT);
    pool.pagemap_scan(Enabled::Auto);
    pool
}

/// Both generations of `wasi:http`, the whole of WASI 0.2 and 0.3 around them (files and sockets
/// are there to be linked, and refuse), key-value in both drafts, and settings.
fn linker(engine: &Engine, concurrency: Concurrency) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    streams::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    if concurrency == Concurrency::On {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    }
    keyvalue::add_to_linker(&mut linker)?;
    config::add_to_linker(&mut linker)?;
    logging::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Moves the engine's epoch. A thread of the operating system's, because a spinning guest can hold
/// the very worker that drives tokio's timers.
struct Ticker {
    stop: Arc<AtomicBool>,
}

impl Ticker {
    fn start(engine: Engine) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        std::thread::Builder::new()
            .name("epoch".into())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                    engine.increment_epoch();
                }
            })
            .context("the epoch thread could not be started")?;
        Ok(Self { stop })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
