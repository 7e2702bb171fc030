//! The way of a guest's typed calls to the services that have the functions.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use http::StatusCode;
use tracing::warn;
use wasmtime::Result;
use wasmtime::component::Val;

use super::invoke::{Call, Invocation};
use super::link::{Calls, Unavailable};
use crate::config::ServiceName;
use crate::dispatch::{Caller, Noted};
use crate::ingress::respond::Problem;
use crate::telemetry::otlp::Parent;
use crate::wasm::active::Active;
use crate::wasm::state::Blueprint;

/// Which service has each of the interfaces that a release imports.
pub type Bindings = BTreeMap<Arc<str>, ServiceName>;

/// A release's bindings, which are known when it goes live. Before that nothing is asked of it, and so
/// it calls nobody.
#[derive(Clone, Default)]
pub struct Links(Arc<OnceLock<Bindings>>);

impl Links {
    /// The release goes live, or is tried. Gives back those that hold: the first that were set.
    pub fn set(&self, bindings: Bindings) -> &Bindings {
        self.0.get_or_init(|| bindings)
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
            outcome.map_err(|Problem { status, detail, .. }| {
                warn!(service = %blueprint.service, %interface, %function, reason = detail, "a call of another service failed");
                match status {
                    StatusCode::SERVICE_UNAVAILABLE => Unavailable(detail).into(),
                    _ => wasmtime::Error::msg(detail),
                }
            })
        })
    }
}

async fn bring(
    blueprint: &Blueprint,
    caller: Option<Caller>,
    invocation: Invocation,
) -> Result<Vec<Val>, Problem> {
    let broken = |detail: &str| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail.to_owned());
    let caller = caller.ok_or_else(|| broken("there is no request that the call is part of"))?;
    let name = blueprint.links.get(&invocation.interface);
    let name = name.ok_or_else(|| broken("the service that calls is not live yet"))?;
    let (target, deadline) = blueprint.reach.calls.find(&caller, name)?;
    let (parent, tracer) = (Parent(&caller.trace), &blueprint.reach.tracer);
    let mut span = tracer.call(parent, &invocation.interface, &invocation.function);
    span.service(name, &target.release.info.digest);
    let call = Call {
        invocation,
        caller,
        deadline,
        noted: Noted {
            trace: span.trace().clone(),
            ..Noted::default()
        },
    };
    let answer = target.call(&call).await;
    answer.map_err(|mut problem| {
        span.fail("call", &problem.detail);
        problem.detail = format!("{name}: {}", problem.detail);
        problem
    })
}
