//! The importing side: functions that a guest imports and another service has.
//!
//! Which of wasmtime's ways to define a host function is right depends on the function's type alone, for
//! the linker takes no other. A plain `func` is defined with `func_new_async`: the guest stands still
//! until the answer is there, and with it its whole store, also on the engine with concurrency. An
//! `async func`, which only that engine has, is defined with `func_new_concurrent`: other calls of
//! the guest go on meanwhile, and if it lowers the function with `async` itself, so does this one.

use std::sync::Arc;

use futures::future::BoxFuture;
use wasmtime::component::{Accessor, Linker, Val};
use wasmtime::{AsContext, Result};

use super::signature::{Function, Interface};

/// Brings calls to the services that have the functions.
pub trait Calls: Send + Sync {
    /// Calls `function` of `interface`, both named as the caller imports them, and gives its result: as
    /// many values as the function has results. The call begins at once; what is left to wait for is
    /// the future.
    ///
    /// # Errors
    ///
    /// Whatever ends the call without a result, also that the other guest trapped. It ends the caller,
    /// whose import has no way to fail.
    fn call(
        &self,
        interface: &Arc<str>,
        function: &Arc<str>,
        params: Vec<Val>,
    ) -> BoxFuture<'static, Result<Vec<Val>>>;
}

/// What a guest's store holds that may call other services.
pub trait Caller {
    /// The way to the other services.
    fn calls(&self) -> &Arc<dyn Calls>;
}

/// A call of another service came to no result. It ends the guest that called.
///
/// It holds what the other side said as a text, and not as its source: a trap, a passed deadline or a
/// memory limit of the other guest must not be taken for one of the caller.
#[derive(Debug, thiserror::Error)]
#[error("the call of `{function}` of {interface} failed: {reason}")]
pub struct CallFailed {
    /// The interface, as the caller imports it.
    pub interface: Arc<str>,
    /// The function.
    pub function: Arc<str>,
    /// Why.
    pub reason: String,
    /// Whether that was [`Unavailable`].
    pub unavailable: bool,
}

/// A call that reached nobody: the service is not there, or takes no more at this moment.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Where one imported function is to be found.
struct Import {
    interface: Arc<str>,
    function: Arc<str>,
}

impl Import {
    fn call(&self, calls: &dyn Calls, params: &[Val]) -> BoxFuture<'static, Result<Vec<Val>>> {
        // cloned, for the parameters stay with the caller's store, and the other may outlive it
        calls.call(&self.interface, &self.function, params.to_vec())
    }

    /// Puts the answer where the guest is to find it.
    fn give(&self, answer: Result<Vec<Val>>, results: &mut [Val]) -> Result<()> {
        let mut unavailable = false;
        let reason = match answer {
            Ok(values) if values.len() == results.len() => {
                for (place, value) in results.iter_mut().zip(values) {
                    *place = value;
                }
                return Ok(());
            }
            Ok(_) => "it gave another number of results".to_owned(),
            Err(error) => {
                unavailable = error.is::<Unavailable>();
                match error.downcast_ref::<wasmtime::Trap>() {
                    Some(trap) => trap.to_string(),
                    None => error.root_cause().to_string(),
                }
            }
        };
        Err(CallFailed {
            interface: Arc::clone(&self.interface),
            function: Arc::clone(&self.function),
            reason,
            unavailable,
        }
        .into())
    }
}

/// Defines all functions of these interfaces in a linker, which is then for the component that imports
/// them.
///
/// # Errors
///
/// A function that the linker has already, or an `async func` on an engine without concurrency.
pub fn define<T: Caller + Send + 'static>(
    linker: &mut Linker<T>,
    imports: &[Interface],
) -> Result<()> {
    for interface in imports {
        let mut instance = linker.instance(&interface.name)?;
        for function in &interface.functions {
            let import = Arc::new(Import {
                interface: Arc::clone(&interface.name),
                function: Arc::clone(&function.name),
            });
            let Function { name, is_async, .. } = function;
            if *is_async {
                instance.func_new_concurrent(
                    name,
                    move |accessor: &Accessor<T>, _, params, results| {
                        let import = Arc::clone(&import);
                        Box::pin(async move {
                            let calls = accessor.with(|mut store| Arc::clone(store.get().calls()));
                            let answer = import.call(&*calls, params).await;
                            import.give(answer, results)
                        })
                    },
                )?;
            } else {
                instance.func_new_async(name, move |store, _, params, results| {
                    let answer = import.call(&**store.as_context().data().calls(), params);
                    let import = Arc::clone(&import);
                    Box::new(async move { import.give(answer.await, results) })
                })?;
            }
        }
    }
    Ok(())
}
