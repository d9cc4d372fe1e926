//! `system.caches`: what each cache of the process holds and did since the start.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::error::ArrowError;
use owlake_scan::cache::CacheStatus;

use super::columns::Columns;

pub(super) fn batch(caches: &[CacheStatus]) -> Result<RecordBatch, ArrowError> {
    let millis = |c: &CacheStatus| {
        c.ttl
            .map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
    };
    Columns::of(caches)
        .text("name", |c| Some(c.name))
        .count("entries", |c| Some(c.entries))
        .count("bytes", |c| Some(c.bytes))
        .count("max_bytes", |c| Some(c.max_bytes))
        .count("ttl_ms", millis)
        .count("hits", |c| Some(c.hits))
        .count("misses", |c| Some(c.misses))
        .count("evictions", |c| Some(c.evictions))
        .count("disk_bytes", |c| Some(c.disk_bytes))
        .finish()
}
