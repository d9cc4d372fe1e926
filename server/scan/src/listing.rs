//! Which data files lie under a partition's prefix: listed once per prefix, cached for a stated time.

mod proof;
mod sweep;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::TryStreamExt;
use object_store::ObjectMeta;
use owlake_metering::ARCHIVED_ETAG;

pub(crate) use proof::prove;

use crate::cache::Epoch;
use crate::context::ScanContext;
use crate::error::{ScanError, is_quota_of_one_query};
use crate::file_version::FileVersion;
use crate::location::{Location, StoreId};

/// Key of a cached listing: the prefix, as seen with one store configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ListingKey(Location);

impl ListingKey {
    pub(crate) fn new(location: Location) -> Self {
        Self(location)
    }

    pub(crate) fn weight(&self) -> usize {
        self.0.prefix.as_ref().len() + 64
    }
}

/// One data file of a listing.
#[derive(Debug, Clone)]
pub(crate) struct ListedFile {
    /// As the store reported it.
    pub meta: ObjectMeta,
    /// Its version, part of every cache key.
    pub version: FileVersion,
}

/// The data files of one prefix, sorted by key.
#[derive(Debug)]
pub(crate) struct ListedPrefix {
    files: Arc<Vec<ListedFile>>,
    archived: u64,
    epoch: Epoch,
}

impl ListedPrefix {
    /// `files` in key order, from a listing that started at `epoch`. No file is there twice, whatever the store says.
    fn new(mut files: Vec<ListedFile>, epoch: Epoch) -> Self {
        files.dedup_by(|next, kept| next.meta.location == kept.meta.location);
        let all = files.len();
        files.retain(|f| f.meta.e_tag.as_deref() != Some(ARCHIVED_ETAG));
        Self {
            archived: (all - files.len()) as u64,
            files: Arc::new(files),
            epoch,
        }
    }

    pub(crate) fn weight(&self) -> usize {
        self.files
            .iter()
            .map(|f| 2 * f.meta.location.as_ref().len() + 256)
            .sum::<usize>()
            + 64
    }

    /// Whether `file` is there in the same version.
    fn has(&self, file: &ListedFile) -> bool {
        self.files
            .binary_search_by(|n| n.meta.location.cmp(&file.meta.location))
            .is_ok_and(|i| self.files[i].version == file.version)
    }
}

/// A listing as one query uses it.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The prefix.
    pub location: Location,
    /// Its data files.
    pub files: Arc<Vec<ListedFile>>,
    /// Objects left out because their storage class cannot be read at once.
    pub archived: u64,
    /// Whether a cache answered; such a listing has to be proved (see [`ScanContext::validate`]).
    pub from_cache: bool,
}

impl Listing {
    fn fresh(location: &Location, listed: &ListedPrefix) -> Self {
        Self {
            location: location.clone(),
            files: Arc::clone(&listed.files),
            archived: listed.archived,
            from_cache: false,
        }
    }

    /// The key of a file of which the two listings saw different versions.
    pub(crate) fn differs_from(&self, other: &Self) -> Option<String> {
        let (few, many) = if self.files.len() < other.files.len() {
            (&self.files, &other.files)
        } else {
            (&other.files, &self.files)
        };
        few.iter()
            .find(|f| {
                many.binary_search_by(|m| m.meta.location.cmp(&f.meta.location))
                    .is_ok_and(|i| many[i].version != f.version)
            })
            .map(|f| f.version.key().to_owned())
    }
}

/// The data files under `location`, as every scan of the query sees them; from the cache where it may be believed.
///
/// Hidden names (`_x`, `.x`, anywhere below the prefix) and empty objects are no data files (athena-spec 2.1);
/// objects in archive classes are left out and counted. A prefix without any is remembered as well as one with many.
/// `table` is named in errors.
pub(crate) async fn list(
    context: &ScanContext,
    table: &str,
    location: &Location,
) -> Result<Arc<Listing>, ScanError> {
    if let Some(known) = context.known_listing(location) {
        return Ok(known);
    }
    let listing = look_up(context, location).await?;
    context.keep_listing(table, Arc::new(listing))
}

/// Lists together those of `locations` that nobody knows, where that saves requests; [`list`] answers for them then.
pub(crate) async fn list_ahead(
    context: &ScanContext,
    table: &str,
    locations: impl Iterator<Item = &Location>,
) -> Result<(), ScanError> {
    let mut unknown = Vec::new();
    let mut seen = HashSet::new();
    for location in locations {
        let known = !seen.insert(location) || context.known_listing(location).is_some();
        if !known && !is_believed(context, location).await {
            unknown.push(location.clone());
        }
    }
    for (location, listed) in sweep::sweep(context, &unknown).await? {
        context.caches.listings.tally.looked_up(false);
        context.keep_listing(table, Arc::new(Listing::fresh(&location, &listed)))?;
        remember(context, location, Arc::new(listed)).await;
    }
    Ok(())
}

/// A local listing costs less than a wrong answer.
fn is_cacheable(context: &ScanContext, location: &Location) -> bool {
    !matches!(location.store, StoreId::File) && !context.config.listing_ttl.is_zero()
}

/// Whether the cache answers for `location`.
async fn is_believed(context: &ScanContext, location: &Location) -> bool {
    if !is_cacheable(context, location) || context.fresh_listings.load(Ordering::Relaxed) {
        return false;
    }
    let key = ListingKey(location.clone());
    let listed = context.caches.listings.cache.get(&key).await;
    listed.is_some_and(|l| !context.caches.invalidations.outdated(location, l.epoch))
}

async fn remember(context: &ScanContext, location: Location, listed: Arc<ListedPrefix>) {
    if is_cacheable(context, &location) {
        context
            .caches
            .listings
            .cache
            .insert(ListingKey(location), listed)
            .await;
    }
}

async fn look_up(context: &ScanContext, location: &Location) -> Result<Listing, ScanError> {
    if !is_cacheable(context, location) || context.fresh_listings.load(Ordering::Relaxed) {
        let listed = Arc::new(list_now(context, location).await?);
        remember(context, location.clone(), Arc::clone(&listed)).await;
        return Ok(Listing::fresh(location, &listed));
    }
    let listings = &context.caches.listings;
    let key = ListingKey(location.clone());
    let mut loaded = false;
    let load = async {
        loaded = true;
        list_now(context, location).await.map(Arc::new)
    };
    let mut listed = match listings.cache.try_get_with_by_ref(&key, load).await {
        Ok(listed) => listed,
        // Another query made the request and may not; this one may.
        Err(error) if !loaded && is_quota_of_one_query(&error) => {
            loaded = true;
            let listed = Arc::new(list_now(context, location).await?);
            listings.cache.insert(key.clone(), Arc::clone(&listed)).await;
            listed
        }
        Err(error) => return Err(unshare(&error, location)),
    };
    // Also one that this query waited for: it may have started before the change was told.
    if context.caches.invalidations.outdated(location, listed.epoch) {
        loaded = true;
        listed = Arc::new(list_now(context, location).await?);
        listings.cache.insert(key, Arc::clone(&listed)).await;
    }
    listings.tally.looked_up(!loaded);
    Ok(Listing {
        from_cache: !loaded,
        ..Listing::fresh(location, &listed)
    })
}

/// Errors of a shared load reach several waiters; each gets its own with the text kept.
fn unshare(error: &Arc<ScanError>, location: &Location) -> ScanError {
    match error.as_ref() {
        ScanError::LocationNotAllowed { location } => ScanError::LocationNotAllowed {
            location: location.clone(),
        },
        ScanError::StoreConfig { bucket, reason } => ScanError::StoreConfig {
            bucket: bucket.clone(),
            reason: reason.clone(),
        },
        _ => ScanError::Store {
            action: "list",
            location: location.to_string(),
            source: copy_store_error(error),
        },
    }
}

/// A copy of the class of a store error that is shared between waiters; the original stays its cause.
pub(crate) fn copy_store_error(error: &Arc<ScanError>) -> object_store::Error {
    use object_store::Error as S;
    let source = Box::new(SharedError(Arc::clone(error)));
    match error.as_ref() {
        ScanError::Store {
            source: S::NotFound { path, .. },
            ..
        } => S::NotFound {
            path: path.clone(),
            source,
        },
        ScanError::Store {
            source: S::Precondition { path, .. },
            ..
        } => S::Precondition {
            path: path.clone(),
            source,
        },
        ScanError::Store {
            source: S::PermissionDenied { path, .. },
            ..
        } => S::PermissionDenied {
            path: path.clone(),
            source,
        },
        ScanError::Store {
            source: S::Unauthenticated { path, .. },
            ..
        } => S::Unauthenticated {
            path: path.clone(),
            source,
        },
        _ => S::Generic {
            store: "store",
            source,
        },
    }
}

#[derive(Debug)]
struct SharedError(Arc<ScanError>);

impl std::fmt::Display for SharedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SharedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

async fn list_now(context: &ScanContext, location: &Location) -> Result<ListedPrefix, ScanError> {
    let epoch = context.caches.invalidations.now();
    let store = context.stores.open(location)?;
    let base = &location.prefix;
    let mut files: Vec<ListedFile> = store
        .list(Some(base))
        .try_filter(|meta| futures::future::ready(is_data_file(base, meta)))
        .map_ok(|meta| {
            let version = FileVersion::new(location.store.clone(), &meta);
            ListedFile { meta, version }
        })
        .try_collect()
        .await
        .map_err(|source| ScanError::Store {
            action: "list",
            location: location.to_string(),
            source,
        })?;
    files.sort_unstable_by(|a, b| a.meta.location.cmp(&b.meta.location));
    Ok(ListedPrefix::new(files, epoch))
}

fn is_data_file(base: &object_store::path::Path, meta: &ObjectMeta) -> bool {
    meta.size > 0
        && meta
            .location
            .prefix_match(base)
            .is_some_and(|mut parts| parts.all(|p| !p.as_ref().starts_with(['_', '.'])))
}
