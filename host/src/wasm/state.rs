//! What one instance's store holds beside the guest.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::active::Active;
use super::journal::Journal;
use super::limits::MemoryLimit;
use super::outbound::Outbound;
use super::refusals::Refusals;
use super::stdio::GuestLog;
use super::typed::{self, Links, Outgoing};
use crate::calls::Calls;
use crate::config::{Grants, Log};
use crate::keyvalue::Store as KeyValueStore;
use crate::network::Network;
use crate::service::exit::InstanceId;
use crate::service::lease::Vitals;
use crate::service::meter::Meter;
use crate::telemetry::logbook::{Pages, Source};
use crate::telemetry::otlp::Tracer;

/// Handles that a guest may hold at once: streams, headers, bodies, buckets.
const MAX_HANDLES: usize = 10_000;

/// Bytes of random that a guest may ask for in one call.
const MAX_RANDOM: u64 = 1 << 20;

/// What guests can reach through the host, if their manifests grant it.
#[derive(Clone)]
pub struct Reach {
    /// Where buckets are.
    pub keyvalue: Arc<dyn KeyValueStore>,
    /// The way to other services.
    pub calls: Arc<Calls>,
    /// The way out of the host.
    pub network: Network,
    /// Where it is told what they reach.
    pub tracer: Tracer,
}

/// What an instance is made from, the same for all instances of a release.
pub(super) struct Blueprint {
    /// The service, for logs.
    pub service: Arc<str>,
    /// The first digits of the release's digest.
    pub release: Arc<str>,
    /// What its guests write.
    pub pages: Pages,
    /// The manifest that a refused call names.
    pub manifest_file: Arc<str>,
    /// What the guest may do.
    pub grants: Arc<Grants>,
    /// What it may be let to.
    pub reach: Reach,
    /// The services that have what it imports.
    pub links: Links,
    /// The way out of the host, with connections of the release's own.
    pub network: Network,
    /// Bytes of memory.
    pub memory: usize,
    /// How much the guest may log.
    pub log: Log,
}

/// See the module.
pub(super) struct State {
    pub(super) blueprint: Arc<Blueprint>,
    pub(super) table: ResourceTable,
    pub(super) active: Active,
    pub(super) memory: MemoryLimit,
    pub(super) refusals: Refusals,
    pub(super) meter: Arc<Meter>,
    pub(super) journal: Arc<Journal>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
    calls: Arc<dyn typed::Calls>,
}

impl State {
    pub(super) fn new(
        blueprint: &Arc<Blueprint>,
        instance: InstanceId,
        vitals: Arc<Vitals>,
        active: Active,
        meter: Arc<Meter>,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let journal = Journal::new(blueprint, instance, active.clone());
        let log = |source| GuestLog::new(&journal, source);
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(log(Source::Stdout)).stderr(log(Source::Stderr));
        wasi.max_random_size(MAX_RANDOM);
        wasi.allow_tcp(false).allow_udp(false);
        for (name, value) in &blueprint.grants.env {
            wasi.env(name, value.expose());
        }
        Self {
            table,
            memory: MemoryLimit::new(blueprint.memory, vitals),
            refusals: Refusals::default(),
            meter,
            journal,
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            outbound: Outbound::new(Arc::clone(blueprint), active.clone()),
            calls: Arc::new(Outgoing::new(Arc::clone(blueprint), active.clone())),
            blueprint: Arc::clone(blueprint),
            active,
        }
    }
}

impl typed::Caller for State {
    fn calls(&self) -> &Arc<dyn typed::Calls> {
        &self.calls
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.outbound,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
