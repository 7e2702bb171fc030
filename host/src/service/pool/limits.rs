//! What a manifest says about a pool.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use crate::config::Manifest;

/// The limits a pool works under.
#[derive(Clone, Debug)]
pub struct PoolLimits {
    /// Jobs that may wait.
    pub queue: usize,
    /// How long a job may wait.
    pub queue_wait: Duration,
    /// Requests after which an instance is retired.
    pub max_requests: Option<NonZeroU64>,
    /// Bytes of memory after which an instance is retired.
    pub max_memory_before_retire: usize,
    /// Instances that there should be.
    pub instances: usize,
    /// Requests that one instance may hold at the most.
    pub concurrency: NonZeroUsize,
    /// How long a request may take.
    pub timeout: Duration,
}

impl PoolLimits {
    /// The limits that a manifest sets, for instances that can hold so many requests.
    pub fn of(manifest: &Manifest, concurrency: NonZeroUsize) -> Self {
        let high_water = manifest.limits.memory / 4 * 3;
        Self {
            queue: manifest.limits.queue,
            queue_wait: manifest.limits.queue_wait,
            max_requests: manifest.instances.max_requests,
            max_memory_before_retire: manifest
                .instances
                .max_memory_before_retire
                .unwrap_or(high_water),
            instances: manifest.instances.count.get(),
            concurrency,
            timeout: manifest.limits.timeout,
        }
    }
}
