//! A guest, and the component that is ready to become one.
//!
//! What a guest is asked for is found in its raw instance: the handler of `wasi:http`, if it has one,
//! and the functions that other services call.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};
use wasmtime_wasi_http::handler::Proxy;
use wasmtime_wasi_http::{p2, p3};

use super::component::{Contract, Generation};
use super::engine::Concurrency;
use super::state::State;
use super::typed::Target;
use super::typed::invoke::Invocation;

/// A component, linked.
pub(super) struct Pre {
    instance: InstancePre<State>,
    handler: Option<Handler>,
    /// The engine that it was compiled for.
    pub(super) concurrency: Concurrency,
    /// What it wants of other services, and offers them.
    pub(super) contract: Arc<Contract>,
}

/// Where a component's handler is among its exports.
enum Handler {
    Two(p2::bindings::ProxyIndices),
    Three(p3::bindings::ServiceIndices),
}

/// See the module.
pub(super) struct Guest {
    /// The raw instance.
    pub(super) instance: Instance,
    /// What answers requests.
    pub(super) handler: Option<Proxy>,
    contract: Arc<Contract>,
}

impl Pre {
    /// # Errors
    ///
    /// The component doesn't export the handler of that generation.
    pub(super) fn new(
        instance: InstancePre<State>,
        generation: Option<Generation>,
        concurrency: Concurrency,
        contract: Arc<Contract>,
    ) -> wasmtime::Result<Self> {
        let handler = match generation {
            None => None,
            Some(Generation::Two) => {
                Some(Handler::Two(p2::bindings::ProxyIndices::new(&instance)?))
            }
            Some(Generation::Three) => Some(Handler::Three(p3::bindings::ServiceIndices::new(
                &instance,
            )?)),
        };
        Ok(Self {
            instance,
            handler,
            concurrency,
            contract,
        })
    }

    pub(super) fn engine(&self) -> &wasmtime::Engine {
        self.instance.engine()
    }

    /// Makes a guest in `store`.
    ///
    /// # Errors
    ///
    /// Why it doesn't start.
    pub(super) async fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Guest> {
        let instance = self.instance.instantiate_async(&mut *store).await?;
        let handler = match &self.handler {
            None => None,
            Some(Handler::Two(two)) => Some(Proxy::P2(two.load(&mut *store, &instance)?)),
            Some(Handler::Three(three)) => Some(Proxy::P3(three.load(&mut *store, &instance)?)),
        };
        Ok(Guest {
            instance,
            handler,
            contract: Arc::clone(&self.contract),
        })
    }
}

impl Guest {
    /// The exported function that a call means.
    ///
    /// # Errors
    ///
    /// There is none, in words for the caller.
    pub(super) fn target(&self, invocation: &Invocation) -> Result<Target, String> {
        let Invocation {
            interface,
            function,
            ..
        } = invocation;
        let found = self.contract.exports.find(interface, function);
        found.ok_or_else(|| format!("it doesn't export the function `{function}` of {interface}"))
    }
}
