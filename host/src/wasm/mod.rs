//! Everything that names wasmtime, and nothing else does.
//!
//! [`Sandbox`] is made once: the engine with its limits, and one linker with all that a guest may
//! import. [`Sandbox::compile`] turns bytes from the services directory into a [`Component`], after
//! checking that this host can run it; the [`Library`] sees to it that this happens once for each, also
//! over restarts, and in a process of its own, by a [`Compiler`]. A component and a manifest make a [`Launcher`], which runs instances for the
//! supervisor: each is one `Store`, owned by one task.

mod active;
mod cache;
mod compiler;
mod component;
mod config;
mod engine;
mod guest;
mod instance;
mod journal;
mod keyvalue;
mod library;
mod limits;
mod logging;
mod outbound;
mod proxy2;
mod proxy3;
mod refusals;
mod response;
mod state;
mod stdio;
mod streams;
pub mod typed;
mod watch;

/// The version of wasmtime that runs guests.
pub const VERSION: &str = "48.0.8";

pub(crate) use compiler::work as compile_for_another;
pub use compiler::{Bounds, CancelGuard, Canceled, Compiler, cancellation};
pub use component::{Component, ComponentError, Contract, Facts, Generation};
pub use engine::Sandbox;
pub use instance::Launcher;
pub use library::Library;
pub use state::Reach;
