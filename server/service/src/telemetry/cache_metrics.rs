//! The metrics of caches and of what scans fetch ahead: part of `metrics.rs`, whose promise on names holds here too.

use owlake_scan::AheadStatus;
use owlake_scan::cache::CacheStatus;

use super::registry::{Counter, Family, Gauge};

/// Fed by look-ups, and now and then by what caches say of themselves.
#[derive(Debug)]
pub(super) struct CacheMetrics {
    requests: Family<Counter>,
    bytes: Family<Gauge>,
    max_bytes: Family<Gauge>,
    disk_bytes: Family<Gauge>,
    evictions: Family<Counter>,
    ahead_held_bytes: Family<Gauge>,
    ahead_fetched_bytes: Family<Counter>,
    ahead_used_bytes: Family<Counter>,
}

impl CacheMetrics {
    /// At zero.
    pub(super) fn new() -> Self {
        let cache: &[&str] = &["cache"];
        Self {
            requests: Family::new(
                "owlake_cache_requests_total",
                "Look-ups in caches by result: hit, miss.",
                &["cache", "result"],
            ),
            bytes: Family::new("owlake_cache_bytes", "Memory that caches hold.", cache),
            max_bytes: Family::new(
                "owlake_cache_max_bytes",
                "Most memory that caches may hold.",
                cache,
            ),
            disk_bytes: Family::new(
                "owlake_cache_disk_bytes",
                "Disk space that the files of caches take.",
                cache,
            ),
            evictions: Family::new(
                "owlake_cache_evictions_total",
                "Entries that caches dropped for want of space or because their time was over.",
                cache,
            ),
            ahead_held_bytes: Family::new(
                "owlake_read_ahead_held_bytes",
                "Bytes held or under way that no scan has asked for yet.",
                &[],
            ),
            ahead_fetched_bytes: Family::new(
                "owlake_read_ahead_fetched_bytes_total",
                "Bytes requested from stores before a scan asked for them.",
                &[],
            ),
            ahead_used_bytes: Family::new(
                "owlake_read_ahead_used_bytes_total",
                "Bytes of those that scans asked for later.",
                &[],
            ),
        }
    }

    /// Counts a look-up.
    pub(super) fn looked_up(&self, cache: &str, hit: bool) {
        self.requests
            .with(&[cache, if hit { "hit" } else { "miss" }])
            .add(1);
    }

    /// Takes over what a cache holds and did.
    pub(super) fn update(&self, cache: &CacheStatus) {
        let name = [cache.name];
        self.bytes.with(&name).set(cache.bytes);
        self.max_bytes.with(&name).set(cache.max_bytes);
        self.disk_bytes.with(&name).set(cache.disk_bytes);
        self.evictions.with(&name).raise_to(cache.evictions);
    }

    /// Takes over what scans fetched ahead.
    pub(super) fn update_ahead(&self, ahead: &AheadStatus) {
        self.ahead_held_bytes.with(&[]).set(ahead.held_bytes);
        self.ahead_fetched_bytes.with(&[]).raise_to(ahead.fetched_bytes);
        self.ahead_used_bytes.with(&[]).raise_to(ahead.used_bytes);
    }

    pub(super) fn write(&self, out: &mut String) {
        self.requests.write(out);
        self.bytes.write(out);
        self.max_bytes.write(out);
        self.disk_bytes.write(out);
        self.evictions.write(out);
        self.ahead_held_bytes.write(out);
        self.ahead_fetched_bytes.write(out);
        self.ahead_used_bytes.write(out);
    }
}
