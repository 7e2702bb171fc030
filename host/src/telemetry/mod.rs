//! What the operator sees: metrics, logs, and what happened.

pub mod access;
pub mod events;
mod feed;
pub mod history;
pub mod logbook;
pub mod logging;
pub mod metrics;
pub mod otlp;
pub mod record;
pub mod sampler;
pub mod shards;
