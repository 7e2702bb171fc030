//! Which service a request is for.
//!
//! Each service names [`Pattern`]s; all of them together make one immutable [`Table`]. A deploy
//! builds a new table and swaps it in, so that a request sees one or the other.
//!
//! # Precedence
//!
//! Of all patterns that match a request, the one that says most wins:
//!
//! 1. by host: an exact host, then a wildcard with the longest suffix, then no host;
//! 2. among those, an exact path (`= /health`) before a prefix;
//! 3. then the path with more segments;
//! 4. then, at the first segment where they differ, a literal before `*`.
//!
//! Two different patterns can't be equal in all of these and match the same request. The same
//! pattern named twice is a [`Conflict`].

mod host;
mod pattern;
mod table;

pub use host::{HostPattern, InvalidHost};
pub use pattern::{InvalidPattern, Pattern};
pub use table::{Conflict, Table};

#[cfg(test)]
mod tests;
