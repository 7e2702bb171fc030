//! What the operator wrote, turned into what the program may rely on.
//!
//! Two files are read: `wharf.toml`, for the server as a whole ([`Config`]), and beside each
//! `NAME.wasm` its manifest `NAME.toml` ([`Manifest`]). Both are decoded in two steps. First the
//! text becomes private raw structs, in which every key may be missing and none may be unknown.
//! Then the raw values are checked, against their ranges and against each other, and become
//! types that can't be wrong: nothing behind this module checks a setting again.
//!
//! A refusal is a [`ConfigError`]: file, key, what is wrong and what is allowed.

mod decode;
mod error;
mod grants;
mod manifest;
mod name;
mod section;
mod server;
mod units;

pub use error::ConfigError;
pub use grants::{Grants, HttpGrant, InvalidHttpGrant, Scheme, Setting};
pub use manifest::{Failover, Instances, Limits, Manifest, Replay, Restart};
pub use name::{InvalidName, ServiceName};
pub use server::{Config, DEFAULT_FILE, Deploy, Drain, Http, Log, LogFormat, Overrides, Sandbox};
