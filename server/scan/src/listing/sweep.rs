//! Many prefixes with few requests: a listing of what holds them all, read page by page, leaping over gaps.
//!
//! A LIST answers with up to 1,000 keys in key order and costs the same full or empty. One LIST per prefix is right for
//! few prefixes (one round trip) and for full ones; for thousands with a handful of files each, most of them empty, a
//! page of their common parent answers hundreds. How many one page answers is known after the first page: the rest is
//! cut into stretches of about a page each and read in parallel. Where a page answers fewer than [`MIN_PER_PAGE`]
//! prefixes (full ones, or few among many others) the rest is left to be listed one by one, so that no more than one
//! request in [`MIN_PER_PAGE`] is ever spent for nothing, and no more than a page of foreign keys read per request.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore};

use super::{ListedFile, ListedPrefix, is_data_file};
use crate::context::ScanContext;
use crate::error::ScanError;
use crate::file_version::FileVersion;
use crate::location::{Location, StoreId};

/// Prefixes up to this number are listed one by one: all at once, in one round trip.
pub(crate) const MANY: usize = 64;
/// A page has to answer this many prefixes, or they are listed one by one.
const MIN_PER_PAGE: usize = 4;
/// Keys of one page of a LIST.
const PAGE_KEYS: usize = 1000;

/// Lists `wanted` together where that saves requests; what is missing from the answer is left to the caller.
pub(super) async fn sweep(
    context: &ScanContext,
    wanted: &[Location],
) -> Result<HashMap<Location, ListedPrefix>, ScanError> {
    let mut answered = HashMap::new();
    if wanted.len() <= MANY {
        return Ok(answered);
    }
    for stretch in stretches(context, wanted)? {
        if stretch.wanted.len() > MANY {
            stretch.run(context, &mut answered).await?;
        }
    }
    Ok(answered)
}

/// Prefixes of one bucket, reached in one way, sorted by the keys below them, none within another.
struct Stretch {
    store: Arc<dyn ObjectStore>,
    parent: Location,
    wanted: Vec<Location>,
}

/// Sorts `wanted` into stretches. What cannot be swept is in none: local directories, buckets that list without order,
/// prefixes whose common parent lies outside the allowed roots.
fn stretches(context: &ScanContext, wanted: &[Location]) -> Result<Vec<Stretch>, ScanError> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for location in wanted {
        match &location.store {
            StoreId::S3 { bucket } if !bucket.ends_with("--x-s3") && !location.prefix.as_ref().is_empty() => {
            }
            _ => continue,
        }
        let store = context.stores.open(location)?;
        let place = stretches
            .iter_mut()
            .find(|s| s.parent.store == location.store && Arc::ptr_eq(&s.store, &store));
        match place {
            Some(stretch) => stretch.wanted.push(location.clone()),
            None => stretches.push(Stretch {
                store,
                parent: location.clone(),
                wanted: vec![location.clone()],
            }),
        }
    }
    for stretch in &mut stretches {
        stretch.wanted.sort_by_cached_key(below);
        stretch.wanted.dedup_by(|next, kept| next.is_under(kept));
        if let (Some(first), Some(last)) = (stretch.wanted.first(), stretch.wanted.last()) {
            stretch.parent.prefix = common(&first.prefix, &last.prefix);
        }
    }
    stretches.retain(|s| {
        let opened = context.stores.open(&s.parent);
        opened.is_ok_and(|store| Arc::ptr_eq(&store, &s.store))
    });
    Ok(stretches)
}

/// What all keys below `location` start with.
fn below(location: &Location) -> String {
    format!("{}/", location.prefix)
}

/// The longest path that holds both.
fn common(a: &ObjectPath, b: &ObjectPath) -> ObjectPath {
    let same = a.parts().zip(b.parts()).take_while(|(x, y)| x == y);
    same.map(|(part, _)| part).collect()
}

/// Keys that follow each other, and whether the parent ends with them.
struct Page {
    objects: Vec<ObjectMeta>,
    is_last: bool,
}

impl Stretch {
    /// Answers what it can. A parent that may not be listed, or is not listed in order, answers nothing.
    async fn run(
        &self,
        context: &ScanContext,
        answered: &mut HashMap<Location, ListedPrefix>,
    ) -> Result<(), ScanError> {
        let epoch = context.caches.invalidations.now();
        let mut probe = Reading::new(&self.wanted, epoch);
        if !self.read_page(&mut probe).await? {
            return Ok(());
        }
        let per_page = probe.next;
        let rest = &self.wanted[probe.next..];
        answered.extend(probe.answered);
        if per_page < MIN_PER_PAGE || rest.is_empty() {
            return Ok(());
        }
        // A little less than a page each, so that most take one request.
        let length = (per_page - per_page / 5).max(MIN_PER_PAGE);
        let mut reads = Vec::new();
        for part in rest.chunks(length) {
            reads.push(self.read_all(part, epoch));
        }
        let parts: Vec<_> = futures::stream::iter(reads)
            .buffer_unordered(context.config.list_parallelism)
            .try_collect()
            .await?;
        for part in parts {
            answered.extend(part);
        }
        Ok(())
    }

    /// Pages until all of `wanted` are answered, or until pages answer too little.
    async fn read_all(
        &self,
        wanted: &[Location],
        epoch: u64,
    ) -> Result<Vec<(Location, ListedPrefix)>, ScanError> {
        let mut reading = Reading::new(wanted, epoch);
        let mut pages = 0;
        while reading.next < wanted.len() && pages * MIN_PER_PAGE <= reading.next {
            if !self.read_page(&mut reading).await? {
                return Ok(Vec::new());
            }
            pages += 1;
        }
        Ok(reading.answered)
    }

    /// Reads one page from where `reading` stands. False: nothing that was read so may be believed.
    async fn read_page(&self, reading: &mut Reading<'_>) -> Result<bool, ScanError> {
        let Some(from) = reading.from() else {
            return Ok(true);
        };
        let parent = &self.parent.prefix;
        let objects: Result<Vec<ObjectMeta>, _> = self
            .store
            .list_with_offset(Some(parent).filter(|p| !p.as_ref().is_empty()), &from)
            .take(PAGE_KEYS)
            .try_collect()
            .await;
        match objects {
            Ok(objects) => {
                let is_last = objects.len() < PAGE_KEYS;
                Ok(reading.take(Page { objects, is_last }))
            }
            // Rights may end at the prefixes themselves.
            Err(object_store::Error::PermissionDenied { .. }) => Ok(false),
            Err(source) => Err(ScanError::Store {
                action: "list",
                location: self.parent.to_string(),
                source,
            }),
        }
    }
}

/// How far a run over sorted prefixes has come.
struct Reading<'a> {
    wanted: &'a [Location],
    epoch: u64,
    /// The first prefix that is not answered in full.
    next: usize,
    /// Its files so far.
    files: Vec<ListedFile>,
    /// The last key of the page before, where it lies behind the name of that prefix.
    within: Option<ObjectPath>,
    answered: Vec<(Location, ListedPrefix)>,
}

impl<'a> Reading<'a> {
    fn new(wanted: &'a [Location], epoch: u64) -> Self {
        Self {
            wanted,
            epoch,
            next: 0,
            files: Vec::new(),
            within: None,
            answered: Vec::with_capacity(wanted.len()),
        }
    }

    /// Where the next page starts: behind the last key, or at the next prefix, whatever lies between.
    fn from(&self) -> Option<ObjectPath> {
        let next = self.wanted.get(self.next)?;
        Some(self.within.clone().unwrap_or_else(|| next.prefix.clone()))
    }

    /// Sorts a page into the prefixes it answers. False where its keys are not in order.
    fn take(&mut self, page: Page) -> bool {
        let mut last: Option<&str> = None;
        for meta in &page.objects {
            let key = meta.location.as_ref();
            // A marker `a/b/` comes as `a/b`, out of order; it is no data file either.
            if meta.size == 0 {
                continue;
            }
            if last.is_some_and(|last| last >= key) {
                return false;
            }
            last = Some(key);
            while self.passed(key) {
                self.finish();
            }
            let Some(wanted) = self.wanted.get(self.next) else {
                return true;
            };
            if is_data_file(&wanted.prefix, meta) {
                let version = FileVersion::new(wanted.store.clone(), meta);
                self.files.push(ListedFile {
                    meta: meta.clone(),
                    version,
                });
            }
        }
        if page.is_last {
            while self.next < self.wanted.len() {
                self.finish();
            }
        }
        // No key passed the next prefix: the last one lies in it, between it and what is below it, or before it.
        let end = page.objects.last().map(|meta| meta.location.clone());
        let next = self.wanted.get(self.next);
        self.within = end.filter(|key| next.is_some_and(|next| key.as_ref() > next.prefix.as_ref()));
        true
    }

    /// Whether `key` lies behind all keys of the next prefix.
    fn passed(&self, key: &str) -> bool {
        let next = self.wanted.get(self.next).map(below);
        next.is_some_and(|below| !key.starts_with(&below) && key > below.as_str())
    }

    fn finish(&mut self) {
        let listed = ListedPrefix::new(std::mem::take(&mut self.files), self.epoch);
        self.answered.push((self.wanted[self.next].clone(), listed));
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(key: &str) -> ObjectMeta {
        ObjectMeta {
            location: ObjectPath::parse(key).unwrap(),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: 1,
            e_tag: Some(format!("\"{key}\"")),
            version: None,
        }
    }

    fn location(prefix: &str) -> Location {
        Location::parse(&format!("s3://lake/{prefix}/")).unwrap()
    }

    proptest! {
        /// Prefixes and files in a small alphabet, with names that sort between `a` and `a/`; pages of any length.
        #[test]
        fn a_sweep_finds_what_single_listings_find(
            keys in proptest::collection::btree_set("t/[ab]-?/[ab_]{1,2}(/[ab]{1,2})?", 0..40),
            prefixes in proptest::collection::btree_set("t/[abc](-|-a)?", 1..8),
            page_keys in 1usize..6,
        ) {
            let keys: Vec<String> = keys.into_iter().collect();
            let mut wanted: Vec<Location> = prefixes.iter().map(|p| location(p)).collect();
            wanted.sort_by_cached_key(below);
            let mut reading = Reading::new(&wanted, 0);
            let mut requests = 0;
            while let Some(from) = reading.from() {
                let mut objects: Vec<ObjectMeta> =
                    keys.iter().filter(|k| k.as_str() > from.as_ref()).map(|k| object(k)).collect();
                let is_last = objects.len() < page_keys;
                objects.truncate(page_keys);
                let in_order = reading.take(Page { objects, is_last });
                prop_assert!(in_order);
                requests += 1;
                prop_assert!(requests <= keys.len() + wanted.len() + 1);
            }
            prop_assert_eq!(reading.answered.len(), wanted.len());
            for (place, listed) in reading.answered {
                let expected: Vec<String> = keys
                    .iter()
                    .map(|k| object(k))
                    .filter(|m| is_data_file(&place.prefix, m))
                    .map(|m| m.location.to_string())
                    .collect();
                let found: Vec<String> = listed.files.iter().map(|f| f.meta.location.to_string()).collect();
                prop_assert_eq!(found, expected, "{}", place);
            }
        }
    }

    #[test]
    fn keys_without_order_are_not_believed() {
        let wanted = [location("a"), location("b")];
        let mut reading = Reading::new(&wanted, 0);
        let objects = vec![object("b/1"), object("a/1")];
        assert!(!reading.take(Page {
            objects,
            is_last: true
        }));
    }
}
