//! Ranged, pinned, coalesced reads of one file version: the one place where data bytes are fetched.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, ObjectStore};
use tokio::sync::Semaphore;

use crate::ahead::{Ahead, AheadStatus, Coming, Room, Taken, joined, relative, slice};
use crate::config::ReadShape;
use crate::context::ScanContext;
use crate::error::ScanError;
use crate::file_version::FileVersion;

/// Process-wide bound on object bytes that are being received, and on those held ahead of their use.
#[derive(Debug)]
pub struct InFlight {
    semaphore: Semaphore,
    permits: u32,
    /// A bound of its own: a read that somebody waits for never waits for bytes that nobody asked for yet.
    ahead: Arc<Room>,
}

/// Bytes one permit stands for.
const PERMIT_BYTES: u64 = 64 << 10;
/// Requests one read may have in flight.
const PARALLEL_RANGES: usize = 16;

impl InFlight {
    /// A bound of `bytes`, and one as large for bytes held ahead.
    pub fn new(bytes: u64) -> Self {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES).max(1)).unwrap_or(u32::MAX);
        Self {
            semaphore: Semaphore::new(permits as usize),
            permits,
            ahead: Arc::new(Room::new(bytes, None)),
        }
    }

    /// Room for `bytes` that one query holds ahead, within the process's.
    pub(crate) fn room_for_query(&self, bytes: u64) -> Room {
        Room::new(bytes, Some(Arc::clone(&self.ahead)))
    }

    /// What was fetched ahead.
    pub fn ahead_status(&self) -> AheadStatus {
        self.ahead.status()
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
    shape: ReadShape,
    ahead: Arc<Ahead>,
}

impl RangeSource {
    /// No I/O happens here. `table` names the table in errors.
    pub(crate) fn new(
        context: &ScanContext,
        store: Arc<dyn ObjectStore>,
        path: ObjectPath,
        version: FileVersion,
        table: Arc<str>,
    ) -> Self {
        Self {
            store,
            path,
            table,
            in_flight: Arc::clone(&context.in_flight),
            shape: context.config.read_shape(version.store()),
            ahead: Arc::default(),
            version,
        }
    }

    /// How this file's store is read.
    pub(crate) fn shape(&self) -> &ReadShape {
        &self.shape
    }

    /// What is held of this file before it is asked for.
    pub(crate) fn ahead(&self) -> &Ahead {
        &self.ahead
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
        let _permit = self.in_flight.enter(range.end - range.start).await;
        self.request(range).await
    }

    /// [`get`](Self::get) within the bound of another: what is read ahead has room of its own.
    async fn request(&self, range: Range<u64>) -> Result<Bytes, ScanError> {
        let length = range.end - range.start;
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

    /// One range, from what is held of the file where that has it.
    pub(crate) async fn get_or_held(&self, range: Range<u64>) -> Result<Bytes, ScanError> {
        match self.ahead.take(&range, false) {
            Some(found) => found.bytes().await.map_err(|e| self.unshare(&e)),
            None => self.get(range).await,
        }
    }

    /// Many ranges, each asked for once: what is held or on its way is not fetched again; near ranges come with
    /// one request, long ones in parts, requests in parallel. Answers in the order asked.
    pub(crate) async fn get_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ScanError> {
        let mut coming: Vec<BoxFuture<'_, Result<(usize, Bytes), ScanError>>> = Vec::new();
        let mut missing = Vec::new();
        for (index, range) in ranges.iter().enumerate() {
            match self.ahead.take(range, true) {
                Some(found) => coming.push(
                    async move {
                        let bytes = found.bytes().await.map_err(|e| self.unshare(&e))?;
                        Ok((index, bytes))
                    }
                    .boxed(),
                ),
                None => missing.push(index),
            }
        }
        let asked: Vec<Range<u64>> = missing.iter().map(|i| ranges[*i].clone()).collect();
        let (held, fetched) = futures::try_join!(futures::future::try_join_all(coming), self.fetch(&asked))?;
        let mut answers = vec![Bytes::new(); ranges.len()];
        for (index, bytes) in held.into_iter().chain(missing.into_iter().zip(fetched)) {
            answers[index] = bytes;
        }
        Ok(answers)
    }

    async fn fetch(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ScanError> {
        let requests = self.requests(ranges);
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

    /// The requests that `ranges` are fetched with.
    pub(crate) fn requests(&self, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        parts(&coalesce(ranges, self.shape.gap_bytes), self.shape.part_bytes)
    }

    /// Starts to fetch `ranges`, which will be asked for once, and keeps what comes. Each request needs room
    /// (`take`) and is run by `spawn`; where there is no room, what is left is fetched when it is asked for.
    pub(crate) fn fetch_ahead(
        &self,
        ranges: &[Range<u64>],
        take: impl Fn(u64) -> Option<Taken>,
        spawn: impl Fn(BoxFuture<'static, Result<Bytes, ScanError>>) -> Coming,
    ) {
        let wanted: Vec<Range<u64>> = ranges.iter().filter(|r| !self.ahead.covers(r)).cloned().collect();
        for request in self.requests(&wanted) {
            let Some(room) = take(request.end - request.start) else {
                return;
            };
            let needed = wanted
                .iter()
                .map(|r| r.end.min(request.end).saturating_sub(r.start.max(request.start)))
                .sum();
            // Without what is held: a read that held itself would never end by being dropped.
            let source = Self {
                ahead: Arc::default(),
                ..self.clone()
            };
            let range = request.clone();
            let read = spawn(async move { source.request(range).await }.boxed());
            self.ahead.add(request, needed, read, room);
        }
    }

    /// Errors of a read made ahead may reach several who wait for it; each gets its own.
    fn unshare(&self, error: &Arc<ScanError>) -> ScanError {
        match error.as_ref() {
            ScanError::FileChanged { .. } => self.changed(),
            _ => ScanError::Store {
                action: "read",
                location: self.version.to_string(),
                source: crate::listing::copy_store_error(error),
            },
        }
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

/// `requests` with those longer than `part` cut into equal parts of at most `part` bytes.
fn parts(requests: &[Range<u64>], part: u64) -> Vec<Range<u64>> {
    let mut cut = Vec::with_capacity(requests.len());
    for request in requests {
        let length = request.end - request.start;
        let count = length.div_ceil(part.max(1)).max(1);
        let step = length.div_ceil(count);
        let mut at = request.start;
        while at < request.end {
            let end = at.saturating_add(step).min(request.end);
            cut.push(at..end);
            at = end;
        }
    }
    cut
}

/// The bytes of `range`, which `requests` (sorted, those of one range without a gap) cover.
fn cut(requests: &[Range<u64>], fetched: &[Bytes], range: &Range<u64>) -> Bytes {
    if range.start >= range.end {
        return Bytes::new();
    }
    let first = requests.partition_point(|r| r.end <= range.start);
    let pieces = requests[first..]
        .iter()
        .zip(&fetched[first..])
        .take_while(|(request, _)| request.start < range.end)
        .map(|(request, bytes)| {
            let piece = range.start.max(request.start)..range.end.min(request.end);
            slice(bytes, &relative(request, &piece))
        })
        .collect();
    joined(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ScanConfig;
    use crate::location::StoreId;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;
    use proptest::prelude::*;

    #[tokio::test]
    async fn reads_ahead_and_reads_that_somebody_waits_for_do_not_wait_for_each_other() {
        let store = Arc::new(InMemory::new());
        let path = ObjectPath::from("t/a");
        store.put(&path, "0123456789".into()).await.unwrap();
        let meta = store.head(&path).await.unwrap();
        let source = RangeSource {
            store,
            path,
            version: FileVersion::new(StoreId::File, &meta),
            table: Arc::from("d.t"),
            in_flight: Arc::new(InFlight::new(PERMIT_BYTES)),
            shape: ScanConfig::default().read_shape(&StoreId::File),
            ahead: Arc::default(),
        };
        let room = Room::new(1 << 20, None);
        let spawn = |read: BoxFuture<'static, Result<Bytes, ScanError>>| -> Coming {
            read.map(|read| read.map_err(Arc::new)).boxed().shared()
        };
        // All that may be received at once is on its way to somebody else.
        let others = source.in_flight.enter(PERMIT_BYTES).await;
        source.fetch_ahead(std::slice::from_ref(&(0..5)), |bytes| room.take(bytes), spawn);
        let ahead = source.get_or_held(0..5).now_or_never();
        assert_eq!(ahead.expect("not in line behind others").unwrap(), "01234");
        assert!(source.get(5..8).now_or_never().is_none());
        drop(others);
        assert_eq!(source.get(5..8).await.unwrap(), "567");
    }

    proptest! {
        #[test]
        fn coalesced_reads_give_the_bytes_asked_for(
            ranges in proptest::collection::vec((0u64..900, 0u64..100), 0..30),
            gap in 0u64..50,
            part in 1u64..200,
        ) {
            let file: Vec<u8> = (0..1000u32).map(|i| (i % 251) as u8).collect();
            let ranges: Vec<_> = ranges.into_iter().map(|(s, l)| s..s + l).collect();
            let joined = coalesce(&ranges, gap);
            let requests = parts(&joined, part);
            let fetched: Vec<Bytes> = requests
                .iter()
                .map(|r| Bytes::copy_from_slice(&file[usize::try_from(r.start).unwrap()..usize::try_from(r.end).unwrap()]))
                .collect();
            for pair in joined.windows(2) {
                prop_assert!(pair[1].start > pair[0].end + gap);
            }
            for request in &requests {
                prop_assert!(request.end - request.start <= part);
            }
            for r in &ranges {
                let want = &file[usize::try_from(r.start).unwrap()..usize::try_from(r.end).unwrap()];
                let got = cut(&requests, &fetched, r);
                prop_assert_eq!(got.as_ref(), want);
            }
        }
    }
}
