//! Memory of one query: its own cap in front of the pool that all queries share, and its peak.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// A `MemoryPool` for one query.
#[derive(Debug)]
pub struct QueryMemoryPool {
    shared: Arc<dyn MemoryPool>,
    limit_bytes: usize,
    reserved: AtomicUsize,
    peak: AtomicUsize,
}

impl QueryMemoryPool {
    /// A pool of at most `limit_bytes` that takes from `shared`.
    pub fn new(shared: Arc<dyn MemoryPool>, limit_bytes: usize) -> Self {
        Self {
            shared,
            limit_bytes,
            reserved: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        }
    }

    /// Highest reservation so far.
    pub fn peak_bytes(&self) -> u64 {
        self.peak.load(Ordering::Relaxed) as u64
    }

    fn grown(&self, additional: usize) {
        let now = self.reserved.fetch_add(additional, Ordering::Relaxed) + additional;
        self.peak.fetch_max(now, Ordering::Relaxed);
    }
}

impl fmt::Display for QueryMemoryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "query(limit: {}, reserved: {})",
            self.limit_bytes,
            self.reserved.load(Ordering::Relaxed)
        )
    }
}

impl MemoryPool for QueryMemoryPool {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.shared.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.shared.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.shared.grow(reservation, additional);
        self.grown(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.shared.shrink(reservation, shrink);
        self.reserved.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let now = self.reserved.load(Ordering::Relaxed);
        if now.saturating_add(additional) > self.limit_bytes {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "the query needs {additional} more bytes of memory for {}, it holds {now} of {}",
                reservation.consumer().name(),
                self.limit_bytes
            )));
        }
        self.shared.try_grow(reservation, additional)?;
        self.grown(additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.reserved.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit_bytes)
    }
}
