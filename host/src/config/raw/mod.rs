//! What the operator wrote: raw structs, in which every key may be missing and none may be
//! unknown, and the checks that turn them into the types of [`config`](super).

mod decode;
mod grants;
mod manifest;
mod rollout;
mod section;
mod server;
mod units;

pub(super) use manifest::manifest;
pub(super) use server::server;
pub(crate) use units::{show_duration, show_size};

/// One page of a WebAssembly memory, the least that an instance can be given.
const WASM_PAGE: u64 = 64 << 10;
/// All that a 32-bit memory can hold.
const WASM_MAX: u64 = 4 << 30;
