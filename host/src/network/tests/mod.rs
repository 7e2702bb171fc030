//! The network as a whole, against peers that are played in memory or really listen.

mod balance;
mod fields;
mod names;
mod reuse;
mod support;
mod timeouts;
mod tls;
