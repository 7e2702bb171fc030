//! What the services around user accounts share: what a good name is, how a store is written that
//! others write to, and how an answer is put into HTTP.
//!
//! Nothing here but the module `wasi` knows that it runs in a component. State is reached through
//! [`store::Store`], and a request's body is any [`http_body::Body`]; so all of it is tested on the
//! machine that builds it.

pub mod credentials;
pub mod exchange;
#[cfg(any(test, feature = "memory"))]
pub mod memory;
pub mod name;
pub mod problem;
pub mod store;
#[cfg(target_family = "wasm")]
pub mod wasi;
