//! What a cache did so far and what it holds now, in numbers that operators see.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;
use moka::notification::RemovalCause;

/// Told about each look-up: cache name, and whether it was answered.
pub trait CacheObserver: Send + Sync + fmt::Debug {
    /// `cache` is a name of [`ScanCaches::status`](super::ScanCaches::status), or `result` for the engine's kept results.
    fn on_lookup(&self, cache: &'static str, hit: bool);
}

/// One cache as it is now: a row of `system.caches`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheStatus {
    /// Its name, the label of its metrics.
    pub name: &'static str,
    /// Entries held in memory.
    pub entries: u64,
    /// Bytes they take, keys and bookkeeping included.
    pub bytes: u64,
    /// Most bytes it may hold in memory; 0 where it is switched off.
    pub max_bytes: u64,
    /// How long an entry may be used; `None` where its key tells one version of a file from the next.
    pub ttl: Option<Duration>,
    /// Look-ups that it answered since the start.
    pub hits: u64,
    /// Look-ups that it did not answer since the start.
    pub misses: u64,
    /// Entries that it dropped for want of space or because their time was over.
    pub evictions: u64,
    /// Bytes its files take on disk.
    pub disk_bytes: u64,
}

/// Counts of one cache; shared with whatever drops its entries.
#[derive(Debug)]
pub struct Tally {
    name: &'static str,
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
    observer: Option<Arc<dyn CacheObserver>>,
}

impl Tally {
    pub(crate) fn new(name: &'static str, observer: Option<Arc<dyn CacheObserver>>) -> Arc<Self> {
        Arc::new(Self {
            name,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            observer,
        })
    }

    /// Counts a look-up.
    pub fn looked_up(&self, hit: bool) {
        let count = if hit { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            observer.on_lookup(self.name, hit);
        }
    }

    pub(crate) fn evicted(&self) {
        self.evictions.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an entry that left a cache of moka, unless somebody asked for that.
    pub fn removed(&self, cause: RemovalCause) {
        if matches!(cause, RemovalCause::Size | RemovalCause::Expired) {
            self.evicted();
        }
    }

    /// The status of a cache of moka.
    pub async fn status_of<K, V>(&self, cache: &Cache<K, V>) -> CacheStatus
    where
        K: std::hash::Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        cache.run_pending_tasks().await;
        let policy = cache.policy();
        CacheStatus {
            ttl: policy.time_to_live(),
            ..self.status(
                cache.entry_count(),
                cache.weighted_size(),
                policy.max_capacity().unwrap_or(u64::MAX),
            )
        }
    }

    /// A status with these counts and sizes; no lifetime, nothing on disk.
    pub(crate) fn status(&self, entries: u64, bytes: u64, max_bytes: u64) -> CacheStatus {
        CacheStatus {
            name: self.name,
            entries,
            bytes,
            max_bytes,
            ttl: None,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
            disk_bytes: 0,
        }
    }
}
