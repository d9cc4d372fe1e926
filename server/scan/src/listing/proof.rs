//! Cached listings that a query believed and read nothing from: proved current within the query, at least cost.
//!
//! A listing is proved by making it anew, or by asking for each of its files under its tag. A LIST costs as much as
//! twelve HEADs (docs/bytes.md), so few files are asked for one by one; many prefixes are listed together.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::{GetOptions, ObjectStore};

use super::{ListedFile, ListedPrefix, Listing, ListingKey, list_now, remember, sweep};
use crate::context::ScanContext;
use crate::error::ScanError;
use crate::file_version::FileVersion;
use crate::location::Location;

/// Up to this many files of a prefix are asked for one by one.
const MAX_HEADS: usize = 8;

/// Proves that every file of `listings` that `proved` does not know as current is still the listed version.
///
/// `table` is named in the error. Cancel safe.
pub(crate) async fn prove(
    context: &ScanContext,
    table: &str,
    listings: &[Arc<Listing>],
    proved: impl Fn(&FileVersion) -> bool,
) -> Result<(), ScanError> {
    let mut unproved: HashMap<&Location, Vec<&ListedFile>> = HashMap::new();
    for listing in listings.iter().filter(|l| l.from_cache) {
        let files: Vec<&ListedFile> = listing.files.iter().filter(|f| !proved(&f.version)).collect();
        // An empty prefix has nothing that could be stale but new files, which the lifetime covers.
        if !files.is_empty() {
            unproved.insert(&listing.location, files);
        }
    }
    let locations: Vec<Location> = unproved.keys().map(|l| (*l).clone()).collect();
    for (location, listed) in sweep::sweep(context, &locations).await? {
        if let Some(files) = unproved.remove(&location) {
            compare(context, table, &location, &files, listed).await?;
        }
    }
    let mut proofs = Vec::with_capacity(unproved.len());
    for (location, files) in unproved {
        proofs.push(one(context, table, location, files));
    }
    futures::stream::iter(proofs)
        .buffer_unordered(context.config.list_parallelism)
        .try_collect()
        .await
}

async fn one(
    context: &ScanContext,
    table: &str,
    location: &Location,
    files: Vec<&ListedFile>,
) -> Result<(), ScanError> {
    if files.len() > MAX_HEADS || !files.iter().all(|f| f.version.is_strong()) {
        let listed = list_now(context, location).await?;
        return compare(context, table, location, &files, listed).await;
    }
    let mut heads = Vec::with_capacity(files.len());
    for file in files {
        heads.push(listed_is_there(context, table, location, file));
    }
    let answers: Result<Vec<()>, ScanError> = futures::stream::iter(heads)
        .buffer_unordered(MAX_HEADS)
        .try_collect()
        .await;
    if answers.is_err() {
        let key = ListingKey(location.clone());
        context.caches.listings.cache.invalidate(&key).await;
    }
    answers.map(drop)
}

/// Keeps the fresh listing, whatever it says.
async fn compare(
    context: &ScanContext,
    table: &str,
    location: &Location,
    files: &[&ListedFile],
    listed: ListedPrefix,
) -> Result<(), ScanError> {
    let gone = files
        .iter()
        .find(|f| !listed.has(f))
        .map(|f| f.version.key().to_owned());
    remember(context, location.clone(), Arc::new(listed)).await;
    match gone {
        None => Ok(()),
        Some(file) => Err(ScanError::FileChanged {
            table: table.to_owned(),
            file,
        }),
    }
}

/// Asks for `file` under its tag: it is still there in that version, or `FileChanged`.
async fn listed_is_there(
    context: &ScanContext,
    table: &str,
    location: &Location,
    file: &ListedFile,
) -> Result<(), ScanError> {
    use object_store::Error as S;
    let version = &file.version;
    let store = context.stores.open(location)?;
    let options = version.pin(GetOptions::new().with_head(true));
    match store.get_opts(&file.meta.location, options).await {
        Ok(answer) if answer.meta.size == version.size_bytes() => Ok(()),
        Ok(_) | Err(S::Precondition { .. } | S::NotFound { .. }) => Err(ScanError::FileChanged {
            table: table.to_owned(),
            file: version.key().to_owned(),
        }),
        Err(source) => Err(ScanError::Store {
            action: "read",
            location: version.to_string(),
            source,
        }),
    }
}
