//! The exporting side: a component's functions that other services may call.
//!
//! Where a function is among the exports is looked up once for each component; a call then finds it by
//! number. Of an instance it takes the raw `component::Instance`, which is also what the bindings of
//! `wasi:http` are made from, so that a guest may have both, or nothing but functions.

use std::cmp::Reverse;

use wasmtime::component::{Accessor, Component, ComponentExportIndex, Func, Instance, Val};
use wasmtime::{AsContextMut, Result, format_err};

use super::fit::{Mismatch, satisfies};
use super::signature::{self, Function, Interface, Refusal};
use super::version::{numbers, split, track};

/// What a component offers to other services, the latest versions first.
#[derive(Debug, Default)]
pub struct Exports(Vec<Offer>);

#[derive(Debug)]
struct Offer {
    interface: Interface,
    /// What the names of compatible versions begin with.
    track: Option<Box<str>>,
    /// One for each of the interface's functions.
    targets: Vec<Target>,
}

/// One exported function of a component, to be called in its instances.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    index: ComponentExportIndex,
    results: usize,
}

impl Exports {
    /// What `component` offers.
    ///
    /// # Errors
    ///
    /// An interface that can't be called from another sandbox.
    pub fn of(component: &Component) -> Result<Self, Refusal> {
        let mut interfaces = signature::exports(component)?;
        interfaces.sort_by_cached_key(|interface| Reverse(numbers(&interface.name)));
        let offer = |interface: Interface| {
            let instance = component.get_export_index(None, &*interface.name);
            let target = |function: &Function| {
                let index = component.get_export_index(instance.as_ref(), &*function.name);
                index.map(|index| Target {
                    index,
                    results: function.result.iter().count(),
                })
            };
            Offer {
                // what was read from the exports is there
                targets: interface.functions.iter().filter_map(target).collect(),
                track: track(&interface.name).map(Into::into),
                interface,
            }
        };
        Ok(Self(interfaces.into_iter().map(offer).collect()))
    }

    /// The interfaces.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.0.iter().map(|offer| &offer.interface)
    }

    /// A function, by the names under which a caller imports it.
    pub fn find(&self, interface: &str, function: &str) -> Option<Target> {
        let offer = self.offer(interface)?;
        let position = offer.interface.position(function)?;
        offer.targets.get(position).copied()
    }

    /// Whether this serves a component that imports `wanted`: `None` if there is no such interface here
    /// in any version.
    pub fn serves(&self, wanted: &Interface) -> Option<Result<(), Mismatch>> {
        let offer = self.offer(&wanted.name).or_else(|| {
            let (base, _) = split(&wanted.name);
            let same = |offer: &&Offer| split(&offer.interface.name).0 == base;
            self.0.iter().find(same)
        })?;
        Some(satisfies(&offer.interface, wanted))
    }

    /// The very version that is asked for, or the latest that is compatible.
    fn offer(&self, interface: &str) -> Option<&Offer> {
        let exact = |offer: &&Offer| &*offer.interface.name == interface;
        self.0.iter().find(exact).or_else(|| {
            let track = track(interface)?;
            self.0
                .iter()
                .find(|offer| offer.track.as_deref() == Some(track))
        })
    }
}

impl Target {
    fn func(self, store: impl AsContextMut, instance: &Instance) -> Result<Func> {
        instance
            .get_func(store, self.index)
            .ok_or_else(|| format_err!("the function is not one of this component"))
    }

    fn results(self) -> Vec<Val> {
        vec![Val::Bool(false); self.results]
    }
}

/// Calls a function in a guest that runs nothing else meanwhile.
///
/// What the function asks to be done after its return is done, too. The parameters are checked against
/// the function's types.
///
/// # Errors
///
/// What ended the guest. Its store is of no use any more.
pub async fn call<T: Send>(
    mut store: impl AsContextMut<Data = T>,
    instance: &Instance,
    target: Target,
    params: &[Val],
) -> Result<Vec<Val>> {
    let func = target.func(&mut store, instance)?;
    let mut results = target.results();
    func.call_async(store, params, &mut results).await?;
    Ok(results)
}

/// Calls a function in a guest that may run other calls meanwhile, from within `run_concurrent`.
///
/// # Errors
///
/// What ended the guest. Its store is of no use any more.
pub async fn call_concurrent<T: Send + 'static>(
    accessor: &Accessor<T>,
    instance: &Instance,
    target: Target,
    params: &[Val],
) -> Result<Vec<Val>> {
    let func = accessor.with(|store| target.func(store, instance))?;
    let mut results = target.results();
    func.call_concurrent(accessor, params, &mut results).await?;
    Ok(results)
}
