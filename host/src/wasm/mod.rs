//! Everything that names wasmtime, and nothing else does.
//!
//! [`Sandbox`] is made once: the engine with its limits, and one linker with all that a guest may
//! import. [`Sandbox::compile`] turns bytes from the services directory into a [`Component`], after
//! checking that this host can run it. A component and a manifest make a [`Launcher`], which runs
//! instances for the supervisor: each is one `Store`, owned by one task.

mod active;
mod component;
mod config;
mod engine;
mod instance;
mod keyvalue;
mod limits;
mod outbound;
mod proxy2;
mod proxy3;
mod refusals;
mod response;
mod state;
mod stdio;

pub use component::{Component, ComponentError, Facts, Generation};
pub use engine::Sandbox;
pub use instance::Launcher;
