//! Memory of one query: its own cap in front of the pool that all queries share, and its peak.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

use crate::resident::{Pressure, SMALL_QUERY_BYTES};

/// A `MemoryPool` for one query.
#[derive(Debug)]
pub struct QueryMemoryPool {
    shared: Arc<dyn MemoryPool>,
    limit_bytes: usize,
    reserved: AtomicUsize,
    peak: AtomicUsize,
    pressure: Arc<Pressure>,
    ended: AtomicBool,
}

impl QueryMemoryPool {
    /// A pool of at most `limit_bytes` that takes from `shared`.
    pub fn new(shared: Arc<dyn MemoryPool>, limit_bytes: usize) -> Self {
        Self {
            shared,
            limit_bytes,
            reserved: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            pressure: Arc::default(),
            ended: AtomicBool::new(false),
        }
    }

    /// A pool that gives no more while the whole process holds too much.
    #[must_use]
    pub(crate) fn under(mut self, pressure: Arc<Pressure>) -> Self {
        self.pressure = pressure;
        self
    }

    /// From now on nothing is granted: the query is being ended because the process holds too much.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::end`] was called.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// What the whole process holds.
    pub(crate) fn pressure(&self) -> &Pressure {
        &self.pressure
    }

    /// What the query holds now.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.reserved.load(Ordering::Relaxed)
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

/// What an operator cannot spill (the built side of a join, an aggregate of all rows) it joins into one batch at the
/// end, and does not reserve that copy: so it counts twice from the start.
fn counted(reservation: &MemoryReservation, bytes: usize) -> usize {
    if reservation.consumer().can_spill() {
        bytes
    } else {
        bytes.saturating_mul(2)
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
        let additional = counted(reservation, additional);
        self.shared.grow(reservation, additional);
        self.grown(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let shrink = counted(reservation, shrink);
        self.shared.shrink(reservation, shrink);
        self.reserved.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let additional = counted(reservation, additional);
        let now = self.reserved.load(Ordering::Relaxed);
        if now.saturating_add(additional) > self.limit_bytes {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "the query needs {additional} more bytes of memory for {}, it holds {now} of {} (limits.memory)",
                reservation.consumer().name(),
                self.limit_bytes
            )));
        }
        let too_high = self.pressure.is_high() && now.saturating_add(additional) > SMALL_QUERY_BYTES;
        if too_high || self.is_ended() {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "the query needs {additional} more bytes of memory for {}, it holds {now}; {}",
                reservation.consumer().name(),
                self.pressure
            )));
        }
        self.shared.try_grow(reservation, additional).map_err(|_| {
            DataFusionError::ResourcesExhausted(format!(
                "the query needs {additional} more bytes of memory for {}, it holds {now}, all queries together \
                 {} (limits.memory)",
                reservation.consumer().name(),
                self.shared.reserved()
            ))
        })?;
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
