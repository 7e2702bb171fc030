//! What the services around user accounts share: what a good name and password are, how users,
//! sessions and failed logins are kept, and how an answer is put into HTTP.
//!
//! Nothing here but the module `wasi` knows that it runs in a component. State is reached through
//! [`store::Store`], time is an argument in Unix seconds, and a request's body is any
//! [`http_body::Body`]; so all of it is tested on the machine that builds it.
//!
//! One bucket holds everything, under these keys:
//!
//! | key | value (JSON) |
//! |---|---|
//! | `user/NAME`, NAME folded | [`users::User`] |
//! | `session/DIGEST`, the SHA-256 of a token | [`sessions::Session`] |
//! | `failures/PAGE` | the failed logins of the names that fall on that page, see [`throttle`] |

pub mod credentials;
pub mod exchange;
#[cfg(any(test, feature = "memory"))]
pub mod memory;
pub mod name;
pub mod password;
pub mod problem;
pub mod sessions;
pub mod settings;
pub mod store;
pub mod throttle;
pub mod users;
#[cfg(target_family = "wasm")]
pub mod wasi;
