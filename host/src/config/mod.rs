//! What the operator wrote, turned into what the program may rely on.
//!
//! Two files are read: `wharf.toml`, for the server as a whole ([`Config`]), and beside each
//! `NAME.wasm` its manifest `NAME.toml` ([`Manifest`]). Both are decoded in two steps. First the
//! text becomes private raw structs, in which every key may be missing and none may be unknown.
//! Then the raw values are checked, against their ranges and against each other, and become
//! types that can't be wrong: nothing behind this module checks a setting again.
//!
//! A refusal is a [`ConfigError`]: file, key, what is wrong and what is allowed.

mod error;
mod grants;
mod http_grant;
mod manifest;
mod name;
mod raw;
mod rollout;
mod server;
mod shown;

use std::num::{NonZeroU32, NonZeroUsize};

pub use error::ConfigError;
pub use grants::{Grants, Setting};
pub use http_grant::{HttpGrant, InvalidHttpGrant, Scheme};
pub use manifest::{Failover, Instances, Isolation, Limits, Manifest, Replay, Restart};
pub use name::{InvalidName, ServiceName};
pub(crate) use raw::{show_duration, show_size};
pub use rollout::{Key, Rollout, Share};
pub use server::{
    AccessLog, AccessOutput, Config, DEFAULT_FILE, Deploy, Drain, Http, Log, LogFormat, Overrides,
    Sandbox,
};

/// `number`, or 1 if it is 0: for defaults, which are constants.
const fn at_least_one(number: usize) -> NonZeroUsize {
    match NonZeroUsize::new(number) {
        Some(number) => number,
        None => NonZeroUsize::MIN,
    }
}

/// The same for 32 bits.
const fn at_least_one_u32(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}
