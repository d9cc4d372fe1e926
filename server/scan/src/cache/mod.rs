//! The process-wide caches of scans: parsed footers, index blobs, listings, data blocks. Keys carry the file version.
//!
//! Loads of footers, blobs and listings are single-flight. A load runs with the rights, meter and cancellation of the
//! query that happens to run it; when that query goes away another waiter loads for itself.

mod block;
mod disk;
mod invalidation;
mod read;
mod tally;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use moka::future::Cache;
use parquet::file::metadata::ParquetMetaData;

use block::BlockCache;
pub(crate) use block::QueryBlocks;
use disk::DiskFolder;
pub(crate) use invalidation::{Epoch, Invalidations};
pub(crate) use read::read_data;
pub use tally::{CacheObserver, CacheStatus, Tally};

use crate::config::ScanConfig;
use crate::error::ScanError;
use crate::file_version::FileVersion;
use crate::listing::{ListedPrefix, ListingKey};
use crate::location::Location;

/// A parsed footer.
#[derive(Debug)]
pub struct Footer {
    /// Schema, row groups, statistics; never with the page index, which is read on demand.
    pub metadata: Arc<ParquetMetaData>,
    /// Length of the footer as stored, magic and length word included.
    pub stored_bytes: u64,
    /// Leaf columns whose data is encrypted, ascending.
    pub encrypted: Vec<usize>,
}

/// A cache of moka with its counts.
pub(crate) struct Counted<K, V> {
    pub cache: Cache<K, V>,
    pub tally: Arc<Tally>,
}

impl<K, V> fmt::Debug for Counted<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tally.fmt(f)
    }
}

/// All caches of the scan room.
#[derive(Debug)]
pub struct ScanCaches {
    footers: Counted<FileVersion, Arc<Footer>>,
    blobs: Counted<(FileVersion, Range<u64>), Bytes>,
    pub(crate) listings: Counted<ListingKey, Arc<ListedPrefix>>,
    pub(crate) invalidations: Invalidations,
    block_tally: Arc<Tally>,
    blocks: Option<Arc<BlockCache>>,
    footer_disk: Option<DiskFolder>,
    observer: Option<Arc<dyn CacheObserver>>,
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl<K, V> Counted<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn new(
        tally: Arc<Tally>,
        max_bytes: u64,
        weigher: impl Fn(&K, &V) -> u32 + Send + Sync + 'static,
        ttl: Option<std::time::Duration>,
    ) -> Self {
        let dropped = Arc::clone(&tally);
        let mut builder = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(weigher)
            .eviction_listener(move |_key, _value, cause| dropped.removed(cause));
        if let Some(ttl) = ttl {
            builder = builder.time_to_live(ttl);
        }
        let cache = builder.build();
        Self { cache, tally }
    }

    async fn status(&self) -> CacheStatus {
        self.tally.status_of(&self.cache).await
    }
}

impl ScanCaches {
    /// Caches of the configured sizes; empty but for what an earlier process left in their directories.
    ///
    /// Blocking.
    ///
    /// # Errors
    /// A directory that cannot be used, or is used by another process.
    pub fn open(config: &ScanConfig, observer: Option<Arc<dyn CacheObserver>>) -> Result<Self, ScanError> {
        let mut caches = Self::new(config, observer);
        if let Some(path) = &config.footer_disk_dir {
            let tally = Arc::clone(&caches.footers.tally);
            caches.footer_disk = Some(DiskFolder::open(path, config.footer_disk_bytes, tally)?);
        }
        if let Some(path) = &config.block_disk_dir {
            let tally = Arc::clone(&caches.block_tally);
            let disk = DiskFolder::open(path, config.block_disk_bytes, tally)?;
            let tally = Arc::clone(&caches.block_tally);
            caches.blocks = Some(Arc::new(BlockCache::new(
                config.block_memory_bytes,
                Some(disk),
                tally,
            )));
        }
        Ok(caches)
    }

    /// Empty caches of the configured sizes, in memory alone.
    pub fn new(config: &ScanConfig, observer: Option<Arc<dyn CacheObserver>>) -> Self {
        let tally = |name| Tally::new(name, observer.clone());
        let block_tally = tally("block");
        let blocks = (config.block_memory_bytes > 0).then(|| {
            let tally = Arc::clone(&block_tally);
            Arc::new(BlockCache::new(config.block_memory_bytes, None, tally))
        });
        Self {
            footer_disk: None,
            observer: observer.clone(),
            block_tally,
            blocks,
            footers: Counted::new(
                tally("footer"),
                config.footer_memory_bytes,
                |_, f: &Arc<Footer>| weight(f.metadata.memory_size().saturating_add(256)),
                None,
            ),
            blobs: Counted::new(
                tally("index"),
                config.footer_memory_bytes / 4,
                |_, b: &Bytes| weight(b.len().saturating_add(256)),
                None,
            ),
            listings: Counted::new(
                tally("listing"),
                config.listing_memory_bytes,
                |key: &ListingKey, l: &Arc<ListedPrefix>| weight(key.weight() + l.weight()),
                Some(config.listing_ttl),
            ),
            invalidations: Invalidations::default(),
        }
    }

    /// Counts for a cache that lives elsewhere, told to the same observer.
    pub fn tally(&self, cache: &'static str) -> Arc<Tally> {
        Tally::new(cache, self.observer.clone())
    }

    /// The footer of `file`, loaded by `load` unless cached. True when a cache (or another query's load) answered;
    /// `load` says whether it did so without the store.
    pub(crate) async fn footer(
        &self,
        file: &FileVersion,
        load: impl Future<Output = Result<(Footer, bool), ScanError>>,
    ) -> Result<(Arc<Footer>, bool), Arc<ScanError>> {
        let mut loaded = false;
        let footer = self
            .footers
            .cache
            .try_get_with_by_ref(file, async {
                loaded = true;
                let (footer, from_disk) = load.await?;
                loaded = !from_disk;
                Ok(Arc::new(footer))
            })
            .await?;
        self.footers.tally.looked_up(!loaded);
        Ok((footer, !loaded))
    }

    /// Bytes of a page index or bloom filter, loaded by `load` unless cached.
    pub(crate) async fn blob(
        &self,
        file: &FileVersion,
        range: Range<u64>,
        load: impl Future<Output = Result<Bytes, ScanError>>,
    ) -> Result<(Bytes, bool), Arc<ScanError>> {
        let mut loaded = false;
        let bytes = self
            .blobs
            .cache
            .try_get_with((file.clone(), range), async {
                loaded = true;
                load.await
            })
            .await?;
        self.blobs.tally.looked_up(!loaded);
        Ok((bytes, !loaded))
    }

    /// Whether a page index or bloom filter is held now.
    pub(crate) fn has_blob(&self, file: &FileVersion, range: &Range<u64>) -> bool {
        self.blobs.cache.contains_key(&(file.clone(), range.clone()))
    }

    /// The footer of `file` as it is stored, from disk.
    pub(crate) async fn stored_footer(&self, file: &FileVersion) -> Option<Bytes> {
        let disk = self.footer_disk.as_ref().filter(|_| file.is_strong())?;
        disk.get(&file.to_key(0..0)).await
    }

    /// Keeps a footer as it is stored on disk, if there is any.
    pub(crate) async fn keep_stored_footer(&self, file: &FileVersion, encoded: &[u8]) {
        if let Some(disk) = self.footer_disk.as_ref().filter(|_| file.is_strong()) {
            disk.put(&file.to_key(0..0), encoded).await;
        }
    }

    /// The data blocks for one query; `None` where they are not cached.
    pub(crate) fn blocks_for_query(&self) -> Option<QueryBlocks> {
        self.blocks.clone().map(QueryBlocks::new)
    }

    /// The next query lists `location` anew.
    pub(crate) async fn forget_listing(&self, location: Location) {
        self.listings.cache.invalidate(&ListingKey::new(location)).await;
    }

    /// No listing of `location`, of anything below it, or of what holds it is believed any more; also none under way.
    pub fn invalidate_listings(&self, location: &Location) {
        self.invalidations.mark(location);
    }

    /// Forgets footers, indexes and data of all files under `location`, whatever their version.
    pub async fn forget_files(&self, location: &Location) {
        let footers = self.footers.cache.iter();
        for file in footers.map(|(file, _)| file).filter(|f| f.is_under(location)) {
            self.footers.cache.invalidate(&*file).await;
        }
        let blobs = self.blobs.cache.iter();
        for blob in blobs.map(|(blob, _)| blob).filter(|b| b.0.is_under(location)) {
            self.blobs.cache.invalidate(&*blob).await;
        }
        if let Some(blocks) = &self.blocks {
            blocks.forget(location);
        }
    }

    /// Every cache as it is now.
    pub async fn status(&self) -> Vec<CacheStatus> {
        let footers = CacheStatus {
            disk_bytes: self.footer_disk.as_ref().map_or(0, DiskFolder::bytes),
            ..self.footers.status().await
        };
        let mut all = vec![footers, self.blobs.status().await, self.listings.status().await];
        all.push(match &self.blocks {
            Some(blocks) => blocks.status(),
            None => self.block_tally.status(0, 0, 0),
        });
        all
    }
}
