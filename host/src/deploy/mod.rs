//! From files in the services directory to releases that serve.
//!
//! The [`watcher`] only ever says "look again". A look scans the directory ([`scan`]), compares what
//! it finds with what runs ([`diff`], pure) and carries the steps out ([`controller`]): read,
//! validate, compile and warm beside what is served, see that services which call one another's functions
//! fit ([`agreement`], pure), then publish in one step and drain the old. A
//! file that fails on the way changes nothing that is served, and its service says why.

mod agreement;
pub mod archive;
pub(crate) mod capability;
pub mod controller;
mod diff;
mod fingerprint;
pub mod operator;
mod prepare;
pub mod releases;
mod scan;
mod source;
pub mod upload;
mod watcher;

pub use controller::Controller;
pub(crate) use fingerprint::{hex, sha256};
pub use prepare::Workshop;
