//! What the operator sees: metrics and logs.

pub mod logging;
pub mod metrics;
pub mod shards;
