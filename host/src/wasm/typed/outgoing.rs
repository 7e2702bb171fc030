//! The way of a guest's typed calls to the services that have the functions.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use tracing::warn;
use wasmtime::Result;
use wasmtime::component::Val;

use super::invoke::{Call, Invocation};
use super::link::Calls;
use crate::config::ServiceName;
use crate::dispatch::Caller;
use crate::wasm::active::Active;
use crate::wasm::state::Blueprint;

/// Which service has each of the interfaces that a release imports.
pub type Bindings = BTreeMap<Arc<str>, ServiceName>;

/// A release's bindings, which are known when it goes live. Before that nothing is asked of it, and so
/// it calls nobody.
#[derive(Clone, Default)]
pub struct Links(Arc<OnceLock<Bindings>>);

impl Links {
    /// The release goes live. Bindings that were set before remain.
    pub fn set(&self, bindings: Bindings) {
        let _ = self.0.set(bindings);
    }

    fn get(&self, interface: &str) -> Option<&ServiceName> {
        self.0.get()?.get(interface)
    }
}

/// See the module.
pub(in crate::wasm) struct Outgoing {
    blueprint: Arc<Blueprint>,
    active: Active,
}

impl Outgoing {
    pub(in crate::wasm) fn new(blueprint: Arc<Blueprint>, active: Active) -> Self {
        Self { blueprint, active }
    }
}

impl Calls for Outgoing {
    fn call(
        &self,
        interface: &Arc<str>,
        function: &Arc<str>,
        params: Vec<Val>,
    ) -> BoxFuture<'static, Result<Vec<Val>>> {
        let blueprint = Arc::clone(&self.blueprint);
        let caller = self.active.caller(None);
        let invocation = Invocation {
            interface: Arc::clone(interface),
            function: Arc::clone(function),
            params: params.into(),
        };
        Box::pin(async move {
            let (interface, function) = (invocation.interface.clone(), invocation.function.clone());
            let outcome = bring(&blueprint, caller, invocation).await;
            outcome.map_err(|reason| {
                warn!(service = %blueprint.service, %interface, %function, reason, "a call of another service failed");
                wasmtime::Error::msg(reason)
            })
        })
    }
}

async fn bring(
    blueprint: &Blueprint,
    caller: Option<Caller>,
    invocation: Invocation,
) -> Result<Vec<Val>, String> {
    let caller = caller.ok_or("there is no request that the call is part of")?;
    let name = blueprint.links.get(&invocation.interface);
    let name = name.ok_or("the service that calls is not live yet")?;
    let calls = &blueprint.reach.calls;
    let (target, deadline) = calls
        .find(&caller, name)
        .map_err(|problem| problem.detail)?;
    let call = Call {
        invocation,
        caller,
        deadline,
    };
    let answer = target.call(&call).await;
    answer.map_err(|problem| format!("{name}: {}", problem.detail))
}
