//! The process-wide caches of scans: parsed footers, index blobs, listings. Keys carry the file version.
//!
//! Loads are single-flight. A load runs with the rights, meter and cancellation of the query that
//! happens to run it; when that query goes away another waiter loads for itself.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use moka::future::Cache;
use parquet::file::metadata::ParquetMetaData;

use crate::config::ScanConfig;
use crate::error::ScanError;
use crate::file_version::FileVersion;
use crate::listing::ListingKey;
use crate::location::Location;

/// A parsed footer.
#[derive(Debug)]
pub struct Footer {
    /// Schema, row groups, statistics; never with the page index, which is read on demand.
    pub metadata: Arc<ParquetMetaData>,
    /// Length of the footer as stored, magic and length word included.
    pub stored_bytes: u64,
}

/// Told about each look-up: cache name, and whether it was answered.
pub trait CacheObserver: Send + Sync + fmt::Debug {
    /// `cache` is `footer`, `index` or `listing`; `result` for the engine's kept results.
    fn on_lookup(&self, cache: &'static str, hit: bool);
}

/// All caches of the scan room.
#[derive(Debug)]
pub struct ScanCaches {
    footers: Cache<FileVersion, Arc<Footer>>,
    blobs: Cache<(FileVersion, Range<u64>), Bytes>,
    pub(crate) listings: Cache<ListingKey, Arc<crate::listing::ListedPrefix>>,
    observer: Option<Arc<dyn CacheObserver>>,
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl ScanCaches {
    /// Empty caches of the configured sizes.
    pub fn new(config: &ScanConfig, observer: Option<Arc<dyn CacheObserver>>) -> Self {
        Self {
            footers: Cache::builder()
                .max_capacity(config.footer_memory_bytes)
                .weigher(|_, f: &Arc<Footer>| weight(f.metadata.memory_size().saturating_add(256)))
                .build(),
            blobs: Cache::builder()
                .max_capacity(config.footer_memory_bytes / 4)
                .weigher(|_, b: &Bytes| weight(b.len().saturating_add(256)))
                .build(),
            listings: Cache::builder()
                .max_capacity(config.listing_memory_bytes)
                .weigher(|key: &ListingKey, l: &Arc<crate::listing::ListedPrefix>| {
                    weight(key.weight() + l.weight())
                })
                .time_to_live(config.listing_ttl)
                .build(),
            observer,
        }
    }

    /// The next query lists `location` anew.
    pub(crate) async fn forget_listing(&self, location: Location) {
        self.listings.invalidate(&ListingKey::new(location)).await;
    }

    /// Tells the observer of a look-up, also for caches that live elsewhere.
    pub fn looked_up(&self, cache: &'static str, hit: bool) {
        if let Some(observer) = &self.observer {
            observer.on_lookup(cache, hit);
        }
    }

    /// The footer of `file`, loaded by `load` unless cached. True when a cache (or another query's load) answered.
    pub(crate) async fn footer(
        &self,
        file: &FileVersion,
        load: impl Future<Output = Result<Footer, ScanError>>,
    ) -> Result<(Arc<Footer>, bool), Arc<ScanError>> {
        let mut loaded = false;
        let footer = self
            .footers
            .try_get_with_by_ref(file, async {
                loaded = true;
                load.await.map(Arc::new)
            })
            .await?;
        self.looked_up("footer", !loaded);
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
            .try_get_with((file.clone(), range), async {
                loaded = true;
                load.await
            })
            .await?;
        self.looked_up("index", !loaded);
        Ok((bytes, !loaded))
    }

    /// Bytes held now, by cache name.
    pub async fn sizes(&self) -> [(&'static str, u64); 3] {
        self.footers.run_pending_tasks().await;
        self.blobs.run_pending_tasks().await;
        self.listings.run_pending_tasks().await;
        [
            ("footer", self.footers.weighted_size()),
            ("index", self.blobs.weighted_size()),
            ("listing", self.listings.weighted_size()),
        ]
    }
}
