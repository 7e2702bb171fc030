//! How much memory one instance may take.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wasmtime::ResourceLimiter;

use crate::service::lease::Vitals;

/// The guest asked for more than its limit. Ends the instance.
#[derive(Debug, thiserror::Error)]
#[error("the guest asked for {wanted} bytes of memory; limits.memory is {limit}")]
pub(super) struct MemoryExceeded {
    wanted: usize,
    limit: usize,
}

/// Counts the linear memories and tables of one instance together against its limit, and tells the
/// pool how much is in use.
pub(super) struct MemoryLimit {
    limit: usize,
    vitals: Arc<Vitals>,
}

/// Bytes of host memory that one table element takes.
const ELEMENT: usize = size_of::<usize>();

impl MemoryLimit {
    /// The limit of a guest that has nothing yet.
    pub(super) fn new(limit: usize, vitals: Arc<Vitals>) -> Self {
        vitals.memory.store(0, Ordering::Relaxed);
        Self { limit, vitals }
    }

    fn grow(&self, by: usize) -> Result<bool, MemoryExceeded> {
        let wanted = self
            .vitals
            .memory
            .load(Ordering::Relaxed)
            .saturating_add(by);
        if wanted > self.limit {
            return Err(MemoryExceeded {
                wanted,
                limit: self.limit,
            });
        }
        self.vitals.memory.store(wanted, Ordering::Relaxed);
        Ok(true)
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current))?)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(ELEMENT))?)
    }

    fn instances(&self) -> usize {
        128
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_one_limit() {
        let vitals = Arc::new(Vitals::default());
        let mut limit = MemoryLimit::new(1000, Arc::clone(&vitals));
        assert!(limit.memory_growing(0, 600, None).unwrap());
        assert!(limit.table_growing(0, 50, None).unwrap());
        assert_eq!(vitals.memory.load(Ordering::Relaxed), 1000);
        let error = limit.memory_growing(600, 601, None).unwrap_err();
        assert!(error.is::<MemoryExceeded>());
        assert_eq!(vitals.memory.load(Ordering::Relaxed), 1000);
    }
}
