//! Typed calls between services.
//!
//! A component that imports an interface which no host has, `wharf:accounts/users@0.1.0`, is linked at
//! run time to a service that exports it. Each keeps its own sandbox: a call leaves one store as a list
//! of component-model values and enters another, maybe of another engine. What an interface is, told
//! without an engine, is in [`signature`] and [`types`]; whether what one offers is what another wants, in
//! [`fit`] and [`version`]; the importing side is [`link`], the exporting one [`provider`].
//!
//! ```text
//!   importer's guest ── lowered import ──► link ── Calls ──► a balanced instance
//!                                                                  │
//!   importer's guest ◄── values, or a trap ◄── reply ◄── provider::call ──► provider's guest
//! ```

mod difference;
pub mod fit;
pub(super) mod invoke;
pub mod link;
mod outgoing;
pub mod provider;
pub mod signature;
#[cfg(test)]
mod tests;
pub mod types;
pub mod version;

pub use fit::{Mismatch, satisfies};
pub use link::{CallFailed, Caller, Calls, Unavailable};
pub(super) use outgoing::Outgoing;
pub use outgoing::{Bindings, Links};
pub use provider::{Exports, Target};
pub use signature::{Function, Interface, Refusal};
pub use types::Type;
