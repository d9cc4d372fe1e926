//! Ranged, pinned, coalesced reads of one file version: the one place where data bytes are fetched.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, ObjectStore};
use tokio::sync::Semaphore;

use crate::error::ScanError;
use crate::file_version::FileVersion;

/// Process-wide bound on object bytes that are being received.
#[derive(Debug)]
pub struct InFlight {
    semaphore: Semaphore,
    permits: u32,
}

/// Bytes one permit stands for.
const PERMIT_BYTES: u64 = 64 << 10;
/// Requests one read may have in flight.
const PARALLEL_RANGES: usize = 8;

impl InFlight {
    /// A bound of `bytes`.
    pub fn new(bytes: u64) -> Self {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES).max(1)).unwrap_or(u32::MAX);
        Self {
            semaphore: Semaphore::new(permits as usize),
            permits,
        }
    }

    async fn enter(&self, bytes: u64) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let wanted = u32::try_from(bytes.div_ceil(PERMIT_BYTES))
            .unwrap_or(u32::MAX)
            .clamp(1, self.permits);
        // The semaphore is never closed.
        self.semaphore.acquire_many(wanted).await.ok()
    }
}

/// One version of one file in one query's store.
#[derive(Debug, Clone)]
pub(crate) struct RangeSource {
    store: Arc<dyn ObjectStore>,
    path: ObjectPath,
    version: FileVersion,
    table: Arc<str>,
    in_flight: Arc<InFlight>,
    coalesce_gap_bytes: u64,
}

impl RangeSource {
    /// No I/O happens here. `table` names the table in errors.
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        path: ObjectPath,
        version: FileVersion,
        table: Arc<str>,
        in_flight: Arc<InFlight>,
        coalesce_gap_bytes: u64,
    ) -> Self {
        Self {
            store,
            path,
            version,
            table,
            in_flight,
            coalesce_gap_bytes,
        }
    }

    /// The version every byte comes from.
    pub(crate) fn version(&self) -> &FileVersion {
        &self.version
    }

    /// The table name for errors.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// One range. A file that is no longer the pinned version is [`ScanError::FileChanged`].
    pub(crate) async fn get(&self, range: Range<u64>) -> Result<Bytes, ScanError> {
        let length = range.end - range.start;
        let _permit = self.in_flight.enter(length).await;
        let options = self.version.pin(GetOptions::new().with_range(Some(range)));
        let result = self
            .store
            .get_opts(&self.path, options)
            .await
            .map_err(|e| self.error(e))?;
        if result.meta.size != self.version.size_bytes() {
            return Err(self.changed());
        }
        let bytes = result.bytes().await.map_err(|e| self.error(e))?;
        if bytes.len() as u64 != length {
            return Err(self.changed());
        }
        Ok(bytes)
    }

    /// Many ranges, near ones with one request, requests in parallel; answers in the order asked.
    pub(crate) async fn get_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ScanError> {
        let requests = coalesce(ranges, self.coalesce_gap_bytes);
        let fetched: Vec<Bytes> = futures::stream::iter(requests.iter().cloned())
            .map(|range| self.get(range))
            .buffered(PARALLEL_RANGES)
            .try_collect()
            .await?;
        Ok(ranges
            .iter()
            .map(|range| cut(&requests, &fetched, range))
            .collect())
    }

    fn changed(&self) -> ScanError {
        ScanError::FileChanged {
            table: self.table.to_string(),
            file: self.version.key().to_owned(),
        }
    }

    fn error(&self, source: object_store::Error) -> ScanError {
        match source {
            object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. } => self.changed(),
            source => ScanError::Store {
                action: "read",
                location: self.version.to_string(),
                source,
            },
        }
    }
}

/// Sorted requests that cover all ranges, joining those with a gap of at most `gap` bytes.
fn coalesce(ranges: &[Range<u64>], gap: u64) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.iter().filter(|r| r.start < r.end).cloned().collect();
    sorted.sort_unstable_by_key(|r| r.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap) => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

fn cut(requests: &[Range<u64>], fetched: &[Bytes], range: &Range<u64>) -> Bytes {
    if range.start >= range.end {
        return Bytes::new();
    }
    let index = requests.partition_point(|r| r.end < range.end);
    let start = usize::try_from(range.start - requests[index].start).unwrap_or(usize::MAX);
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let slice = fetched[index].slice(start..start + length);
    // A small slice must not keep a large body alive.
    if fetched[index].len() > 4 * length + (1 << 20) {
        BytesMut::from(slice.as_ref()).freeze()
    } else {
        slice
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn coalesced_reads_give_the_bytes_asked_for(
            ranges in proptest::collection::vec((0u64..900, 0u64..100), 0..30),
            gap in 0u64..50,
        ) {
            let file: Vec<u8> = (0..1000u32).map(|i| (i % 251) as u8).collect();
            let ranges: Vec<_> = ranges.into_iter().map(|(s, l)| s..s + l).collect();
            let requests = coalesce(&ranges, gap);
            let fetched: Vec<Bytes> = requests
                .iter()
                .map(|r| Bytes::copy_from_slice(&file[usize::try_from(r.start).unwrap()..usize::try_from(r.end).unwrap()]))
                .collect();
            for pair in requests.windows(2) {
                prop_assert!(pair[1].start > pair[0].end + gap);
            }
            for r in &ranges {
                let want = &file[usize::try_from(r.start).unwrap()..usize::try_from(r.end).unwrap()];
                let got = cut(&requests, &fetched, r);
                prop_assert_eq!(got.as_ref(), want);
            }
        }
    }
}
