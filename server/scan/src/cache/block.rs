//! Encoded data bytes of file versions, in memory: exactly the ranges that were fetched, found again in part or whole.
//!
//! Not aligned blocks: a scan asks for column chunks and pages, the next scan of the same columns for the same ones,
//! so exact ranges cost no byte beyond what is needed, and a small file's chunk is not rounded up. A range that is
//! known in part is answered in part; only what is missing is fetched.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use foyer_common::event::{Event, EventListener};
use foyer_memory::{Cache, CacheBuilder, EvictionConfig, S3FifoConfig};

use super::disk::DiskFolder;
use super::tally::{CacheStatus, Tally};
use crate::file_version::FileVersion;
use crate::location::Location;

/// Longer ranges are kept in pieces of this length, so that one entry never pushes out much.
const MAX_BLOCK_BYTES: u64 = 4 << 20;
/// What an entry takes besides its bytes: key, links, its place among the extents.
const ENTRY_BYTES: usize = 320;
/// Part of the cache that one query may take from others.
const SHARE_DIVISOR: u64 = 4;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct BlockKey {
    file: FileVersion,
    start: u64,
    end: u64,
}

/// Which ranges of which files are held. May name a range that has just gone, never holds one back that is there for
/// long: each entry takes its extent with it.
#[derive(Debug, Default)]
struct Extents(Mutex<HashMap<FileVersion, BTreeMap<u64, u64>>>);

impl Extents {
    fn with<T>(&self, f: impl FnOnce(&mut HashMap<FileVersion, BTreeMap<u64, u64>>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn insert(&self, key: &BlockKey) {
        self.with(|files| {
            files
                .entry(key.file.clone())
                .or_default()
                .insert(key.start, key.end);
        });
    }

    fn remove(&self, key: &BlockKey) {
        self.with(|files| {
            let Some(ranges) = files.get_mut(&key.file) else {
                return;
            };
            if ranges.get(&key.start) == Some(&key.end) {
                ranges.remove(&key.start);
            }
            if ranges.is_empty() {
                files.remove(&key.file);
            }
        });
    }

    /// The held ranges that overlap `range`, in order.
    fn overlapping(&self, file: &FileVersion, range: &Range<u64>) -> Vec<Range<u64>> {
        self.with(|files| {
            let Some(ranges) = files.get(file).filter(|_| !range.is_empty()) else {
                return Vec::new();
            };
            let before = ranges.range(..range.start).next_back();
            before
                .into_iter()
                .chain(ranges.range(range.start..range.end))
                .filter(|(_, end)| **end > range.start)
                .map(|(start, end)| *start..*end)
                .collect()
        })
    }
}

struct Leaving {
    extents: Arc<Extents>,
    tally: Arc<Tally>,
}

impl EventListener for Leaving {
    type Key = BlockKey;
    type Value = Bytes;

    fn on_leave(&self, reason: Event, key: &BlockKey, _value: &Bytes) {
        // A replaced entry has a successor under the same key.
        if reason != Event::Replace {
            self.extents.remove(key);
        }
        if reason == Event::Evict {
            self.tally.evicted();
        }
    }
}

/// Part of a range that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where in the file.
    pub range: Range<u64>,
    /// Its bytes, where they are known.
    pub bytes: Option<Bytes>,
}

/// The cache itself, one for the process.
pub(crate) struct BlockCache {
    blocks: Cache<BlockKey, Bytes>,
    extents: Arc<Extents>,
    capacity: u64,
    max_block_bytes: u64,
    disk: Option<DiskFolder>,
    tally: Arc<Tally>,
}

impl fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockCache")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl BlockCache {
    /// An empty cache of `capacity` bytes of memory, before what `disk` holds.
    ///
    /// S3-FIFO drops what was read once before anything that was read again, so a scan passes through a tenth of the
    /// cache. One shard: a limit that is split would refuse or drop what still fits.
    pub(crate) fn new(capacity: u64, disk: Option<DiskFolder>, tally: Arc<Tally>) -> Self {
        let extents = Arc::new(Extents::default());
        let leaving = Leaving {
            extents: Arc::clone(&extents),
            tally: Arc::clone(&tally),
        };
        let blocks = CacheBuilder::new(to_usize(capacity).max(1))
            .with_name("block")
            .with_shards(1)
            .with_eviction_config(EvictionConfig::from(S3FifoConfig::default()))
            .with_weighter(|_: &BlockKey, bytes: &Bytes| bytes.len() + ENTRY_BYTES)
            .with_event_listener(Arc::new(leaving))
            .build();
        Self {
            blocks,
            extents,
            capacity,
            max_block_bytes: MAX_BLOCK_BYTES.min(capacity / 16).max(1),
            disk,
            tally,
        }
    }

    /// `range` of `file` in pieces, known and unknown ones, in order and without gaps.
    pub(crate) fn look_up(&self, file: &FileVersion, range: &Range<u64>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut at = range.start;
        for held in self.extents.overlapping(file, range) {
            let (start, end) = (held.start.max(at), held.end.min(range.end));
            if start >= end {
                continue;
            }
            let key = BlockKey {
                file: file.clone(),
                start: held.start,
                end: held.end,
            };
            let Some(entry) = self.blocks.get(&key) else {
                continue;
            };
            if at < start {
                pieces.push(unknown(at..start));
            }
            let bytes = entry
                .value()
                .slice(to_usize(start - held.start)..to_usize(end - held.start));
            pieces.push(Piece {
                range: start..end,
                bytes: Some(bytes),
            });
            at = end;
        }
        if at < range.end {
            pieces.push(unknown(at..range.end));
        }
        pieces
    }

    fn insert(&self, key: BlockKey, bytes: Bytes) {
        self.extents.insert(&key);
        self.blocks.insert(key, bytes);
    }

    /// Drops every block of files under `location`.
    pub(crate) fn forget(&self, location: &Location) {
        let keys: Vec<BlockKey> = self.extents.with(|files| {
            let files = files.iter().filter(|(file, _)| file.is_under(location));
            let key = |(file, ranges): (&FileVersion, &BTreeMap<u64, u64>)| {
                let file = file.clone();
                let keys = ranges.iter().map(move |(start, end)| BlockKey {
                    file: file.clone(),
                    start: *start,
                    end: *end,
                });
                keys.collect::<Vec<_>>()
            };
            files.flat_map(key).collect()
        });
        for key in keys {
            self.blocks.remove(&key);
        }
    }

    /// Sizes and counts.
    pub(crate) fn status(&self) -> CacheStatus {
        let entries = self.blocks.entries() as u64;
        CacheStatus {
            disk_bytes: self.disk.as_ref().map_or(0, DiskFolder::bytes),
            ..self
                .tally
                .status(entries, self.blocks.usage() as u64, self.capacity)
        }
    }
}

/// A length in memory; what does not fit there is refused where it is allocated.
fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn unknown(range: Range<u64>) -> Piece {
    Piece { range, bytes: None }
}

/// The cache as one query uses it: what it puts in beyond the free space is bounded.
#[derive(Debug, Clone)]
pub(crate) struct QueryBlocks {
    cache: Arc<BlockCache>,
    taken: Arc<AtomicU64>,
    taken_on_disk: Arc<AtomicU64>,
}

impl QueryBlocks {
    /// A query that has put nothing in yet.
    pub(crate) fn new(cache: Arc<BlockCache>) -> Self {
        Self {
            cache,
            taken: Arc::default(),
            taken_on_disk: Arc::default(),
        }
    }

    /// See [`BlockCache::look_up`].
    pub(crate) fn look_up(&self, file: &FileVersion, range: &Range<u64>) -> Vec<Piece> {
        self.cache.look_up(file, range)
    }

    /// Whether all of `range` is held now, in memory or on disk.
    pub(crate) fn holds(&self, file: &FileVersion, range: &Range<u64>) -> bool {
        let mut at = range.start;
        for held in self.cache.extents.overlapping(file, range) {
            if held.start > at {
                break;
            }
            at = at.max(held.end);
        }
        let on_disk = || {
            let disk = self.cache.disk.as_ref();
            disk.is_some_and(|disk| disk.holds(&file.to_key(range.clone())))
        };
        at >= range.end || on_disk()
    }

    /// Counts a look-up, after memory and disk were asked.
    pub(crate) fn looked_up(&self, hit: bool) {
        self.cache.tally.looked_up(hit);
    }

    /// Exactly `range` of `file` from disk, kept in memory from here on.
    pub(crate) async fn read_disk(&self, file: &FileVersion, range: &Range<u64>) -> Option<Bytes> {
        let bytes = self.cache.disk.as_ref()?.get(&file.to_key(range.clone())).await?;
        let whole = bytes.len() as u64 == range.end - range.start;
        whole.then(|| self.keep(file, range.start, &bytes))
    }

    /// Keeps exactly `range` of `file` on disk. The share rule is that of memory.
    pub(crate) async fn to_disk(&self, file: &FileVersion, range: &Range<u64>, bytes: &Bytes) {
        let Some(disk) = &self.cache.disk else {
            return;
        };
        let length = bytes.len() as u64;
        let is_free = disk.bytes() + length <= disk.max_bytes();
        let share = disk.max_bytes() / SHARE_DIVISOR;
        if is_free || self.taken_on_disk.fetch_add(length, Ordering::Relaxed) + length <= share {
            disk.put(&file.to_key(range.clone()), bytes).await;
        }
    }

    /// Keeps a copy of `bytes`, which start at `start`, where the query may still have space. What the query goes on
    /// with: the copy, so that the body that `bytes` were cut from can go.
    pub(crate) fn keep(&self, file: &FileVersion, start: u64, bytes: &Bytes) -> Bytes {
        let cache = &self.cache;
        let length = bytes.len() as u64;
        if length == 0 {
            return bytes.clone();
        }
        // One buffer an entry: a slice would keep the whole alive for as long as any part of it is held.
        for (index, piece) in bytes.chunks(to_usize(cache.max_block_bytes)).enumerate() {
            let start = start + index as u64 * cache.max_block_bytes;
            let end = start + piece.len() as u64;
            if !self.may_take(piece.len() as u64) {
                break;
            }
            let own = Bytes::copy_from_slice(piece);
            let whole = piece.len() == bytes.len();
            let key = BlockKey {
                file: file.clone(),
                start,
                end,
            };
            cache.insert(key, own.clone());
            if whole {
                return own;
            }
        }
        bytes.clone()
    }

    /// Free space is anybody's; of what others hold, one query may push out a part only, however often it reads.
    fn may_take(&self, length: u64) -> bool {
        let needed = length + ENTRY_BYTES as u64;
        if self.cache.blocks.usage() as u64 + needed <= self.cache.capacity {
            return true;
        }
        let share = self.cache.capacity / SHARE_DIVISOR;
        let taken = self.taken.fetch_add(needed, Ordering::Relaxed);
        taken + needed <= share
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectMeta;
    use proptest::prelude::*;

    use super::*;
    use crate::location::StoreId;

    fn file(name: &str) -> FileVersion {
        let meta = ObjectMeta {
            location: name.into(),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: 1 << 30,
            e_tag: Some("\"1\"".to_owned()),
            version: None,
        };
        let bucket = "lake".to_owned();
        FileVersion::new(StoreId::S3 { bucket }, &meta)
    }

    fn cache(capacity: u64) -> Arc<BlockCache> {
        Arc::new(BlockCache::new(capacity, None, Tally::new("block", None)))
    }

    /// Reads a range through the cache as a query would; how many of its bytes were known.
    fn read(query: &QueryBlocks, file: &FileVersion, range: Range<u64>) -> u64 {
        let mut known = 0;
        for piece in query.look_up(file, &range) {
            match piece.bytes {
                Some(bytes) => known += bytes.len() as u64,
                None => {
                    let length = to_usize(piece.range.end - piece.range.start);
                    let bytes = Bytes::from(vec![0; length]);
                    query.keep(file, piece.range.start, &bytes);
                }
            }
        }
        known
    }

    proptest! {
        #[test]
        fn what_is_known_is_what_was_stored(
            ranges in proptest::collection::vec((0u64..900, 1u64..100), 1..40),
        ) {
            let content: Vec<u8> = (0..1000u32).map(|i| (i % 251) as u8).collect();
            let cut = |r: &Range<u64>| &content[to_usize(r.start)..to_usize(r.end)];
            // Small enough to drop some of what is put in, and to keep long ranges in pieces.
            let query = QueryBlocks::new(cache(4000));
            for (start, length) in ranges {
                let range = start..start + length;
                let pieces = query.look_up(&file("a"), &range);
                let mut at = start;
                for piece in pieces {
                    prop_assert_eq!(piece.range.start, at);
                    at = piece.range.end;
                    let expected = cut(&piece.range);
                    match piece.bytes {
                        Some(bytes) => prop_assert_eq!(bytes.as_ref(), expected),
                        None => {
                            let bytes = Bytes::copy_from_slice(expected);
                            let kept = query.keep(&file("a"), piece.range.start, &bytes);
                            prop_assert_eq!(kept.as_ref(), expected);
                        }
                    }
                }
                prop_assert_eq!(at, range.end);
                prop_assert!(query.cache.blocks.usage() <= 4000);
            }
        }
    }

    #[test]
    fn a_part_of_a_kept_range_is_known_and_a_longer_one_in_part() {
        let query = QueryBlocks::new(cache(1 << 20));
        let a = file("a");
        assert_eq!(read(&query, &a, 100..200), 0);
        assert_eq!(read(&query, &a, 120..150), 30);
        assert_eq!(read(&query, &a, 50..250), 100);
        assert_eq!(read(&query, &a, 0..300), 200);
        assert_eq!(read(&query, &a, 0..300), 300);
        assert_eq!(read(&query, &file("b"), 0..300), 0);
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_hot_table_stays_when_ten_times_the_cache_is_scanned() {
        let cache = cache(16 * MIB);
        let hot = |query: &QueryBlocks| -> u64 {
            (0..4)
                .map(|i| read(query, &file("hot"), i * MIB / 2..(i + 1) * MIB / 2))
                .sum()
        };
        for _ in 0..3 {
            hot(&QueryBlocks::new(Arc::clone(&cache)));
        }
        // One query that reads ten times the cache, twice each; then ten that read it once.
        let one = QueryBlocks::new(Arc::clone(&cache));
        for i in 0..320 {
            let range = i * MIB / 2..(i + 1) * MIB / 2;
            read(&one, &file("big"), range.clone());
            read(&one, &file("big"), range);
        }
        assert_eq!(hot(&QueryBlocks::new(Arc::clone(&cache))), 2 * MIB);
        for q in 0..10 {
            let query = QueryBlocks::new(Arc::clone(&cache));
            for i in 0..32 {
                read(&query, &file(&format!("big{q}")), i * MIB / 2..(i + 1) * MIB / 2);
            }
        }
        assert_eq!(hot(&QueryBlocks::new(Arc::clone(&cache))), 2 * MIB);
        let status = cache.status();
        assert!(status.bytes <= 16 * MIB && status.evictions > 0, "{status:?}");
    }

    #[test]
    fn extents_go_with_their_entries() {
        let cache = cache(MIB);
        for i in 0..100 {
            let query = QueryBlocks::new(Arc::clone(&cache));
            read(&query, &file(&format!("f{i}")), 0..60_000);
        }
        let held: usize = cache.extents.with(|f| f.values().map(BTreeMap::len).sum());
        assert_eq!(held as u64, cache.status().entries);
    }
}
