//! Buckets and objects in memory, and the pure part of listing. Keys are opaque strings in UTF-8 byte order; `/` has
//! no meaning here. No HTTP, no counting.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use s3s::crypto::{Checksum, Md5};
use s3s::{S3Result, s3_error};

/// What a writer says about an object, kept as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// Storage class that listings show; `STANDARD` where none is given. Objects of every class are served.
    pub storage_class: Option<String>,
    /// The `x-amz-meta-` headers, without that prefix.
    pub metadata: HashMap<String, String>,
}

/// One object as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// The content.
    pub bytes: Bytes,
    /// Entity tag without quotes: hex MD5 of the content; `<md5 of the part MD5s>-<parts>` after a multipart upload.
    pub etag: String,
    /// Whole seconds: S3 shows nothing finer, in headers or in listings.
    pub last_modified: SystemTime,
    /// Headers that the writer gave and every reader gets back.
    pub attributes: Attributes,
}

impl StoredObject {
    pub(crate) fn new(bytes: Bytes) -> Self {
        let etag = hex::encode(Md5::checksum(&bytes));
        Self {
            bytes,
            etag,
            last_modified: now(),
            attributes: Attributes::default(),
        }
    }

    /// Length of the content in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a store stamps its objects by the wall clock, as S3 does"
)]
fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

#[derive(Debug)]
struct Bucket {
    created: SystemTime,
    objects: BTreeMap<String, Arc<StoredObject>>,
}

/// A multipart upload that is neither completed nor aborted.
#[derive(Debug)]
struct Upload {
    bucket: String,
    key: String,
    attributes: Attributes,
    parts: BTreeMap<i32, (Bytes, [u8; 16])>,
}

#[derive(Debug, Default)]
struct Uploads {
    open: HashMap<String, Upload>,
    started: u64,
}

/// Everything stored. One lock for all objects: each operation sees and leaves one state of the whole store.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    buckets: RwLock<BTreeMap<String, Bucket>>,
    uploads: Mutex<Uploads>,
}

/// What one listing page asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListQuery {
    pub(crate) prefix: String,
    /// Empty: no roll-up.
    pub(crate) delimiter: String,
    /// Only names greater than this; a common prefix equal to it is passed whole.
    pub(crate) after: String,
    pub(crate) limit: usize,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ListItem {
    Object(String, Arc<StoredObject>),
    CommonPrefix(String),
}

impl ListItem {
    /// The key or the prefix: where the next page goes on.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Object(name, _) | Self::CommonPrefix(name) => name,
        }
    }
}

/// A page, and whether more follows.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) items: Vec<ListItem>,
    pub(crate) truncated: bool,
}

impl Storage {
    // The data is valid between any two statements, so a panicking holder of a lock does no harm to it.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Bucket>> {
        self.buckets.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Bucket>> {
        self.buckets.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn uploads(&self) -> MutexGuard<'_, Uploads> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a bucket; false when it was there.
    pub(crate) fn create_bucket(&self, name: &str) -> bool {
        let mut buckets = self.write();
        if buckets.contains_key(name) {
            return false;
        }
        buckets.insert(
            name.to_owned(),
            Bucket {
                created: now(),
                objects: BTreeMap::new(),
            },
        );
        true
    }

    pub(crate) fn delete_bucket(&self, name: &str) -> S3Result<()> {
        let mut buckets = self.write();
        match buckets.get(name) {
            None => Err(s3_error!(NoSuchBucket)),
            Some(bucket) if !bucket.objects.is_empty() => Err(s3_error!(BucketNotEmpty)),
            Some(_) => {
                buckets.remove(name);
                Ok(())
            }
        }
    }

    /// Names and creation times.
    pub(crate) fn buckets(&self) -> Vec<(String, SystemTime)> {
        self.read()
            .iter()
            .map(|(name, bucket)| (name.clone(), bucket.created))
            .collect()
    }

    pub(crate) fn has_bucket(&self, name: &str) -> S3Result<()> {
        if self.read().contains_key(name) {
            Ok(())
        } else {
            Err(s3_error!(NoSuchBucket))
        }
    }

    pub(crate) fn get(&self, bucket: &str, key: &str) -> S3Result<Arc<StoredObject>> {
        let buckets = self.read();
        let bucket = buckets.get(bucket).ok_or_else(|| s3_error!(NoSuchBucket))?;
        bucket
            .objects
            .get(key)
            .cloned()
            .ok_or_else(|| s3_error!(NoSuchKey))
    }

    /// Writes an object when `check` agrees with what is there, in one step.
    pub(crate) fn put(
        &self,
        bucket: &str,
        key: &str,
        object: StoredObject,
        check: impl FnOnce(Option<&StoredObject>) -> S3Result<()>,
    ) -> S3Result<Arc<StoredObject>> {
        let mut buckets = self.write();
        let objects = &mut buckets
            .get_mut(bucket)
            .ok_or_else(|| s3_error!(NoSuchBucket))?
            .objects;
        check(objects.get(key).map(Arc::as_ref))?;
        let object = Arc::new(object);
        objects.insert(key.to_owned(), Arc::clone(&object));
        Ok(object)
    }

    /// Writes an object whatever is there, into a bucket that is made if need be.
    pub(crate) fn put_anyway(&self, bucket: &str, key: &str, object: StoredObject) {
        let new = || Bucket {
            created: now(),
            objects: BTreeMap::new(),
        };
        let mut buckets = self.write();
        let bucket = buckets.entry(bucket.to_owned()).or_insert_with(new);
        bucket.objects.insert(key.to_owned(), Arc::new(object));
    }

    /// Removes an object; false when it was not there.
    pub(crate) fn delete(&self, bucket: &str, key: &str) -> S3Result<bool> {
        let mut buckets = self.write();
        let bucket = buckets.get_mut(bucket).ok_or_else(|| s3_error!(NoSuchBucket))?;
        Ok(bucket.objects.remove(key).is_some())
    }

    /// All keys of a bucket in order; none when the bucket does not exist.
    pub(crate) fn keys(&self, bucket: &str) -> Vec<String> {
        self.read()
            .get(bucket)
            .map(|b| b.objects.keys().cloned().collect())
            .unwrap_or_default()
    }

    pub(crate) fn list(&self, bucket: &str, query: &ListQuery) -> S3Result<Page> {
        let buckets = self.read();
        let bucket = buckets.get(bucket).ok_or_else(|| s3_error!(NoSuchBucket))?;
        Ok(list(&bucket.objects, query))
    }

    /// Starts a multipart upload and returns its id.
    pub(crate) fn create_upload(&self, bucket: &str, key: &str, attributes: Attributes) -> S3Result<String> {
        self.has_bucket(bucket)?;
        let mut uploads = self.uploads();
        uploads.started += 1;
        let id = format!("upload-{}", uploads.started);
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        uploads.open.insert(
            id.clone(),
            Upload {
                bucket,
                key,
                attributes,
                parts: BTreeMap::new(),
            },
        );
        Ok(id)
    }

    /// Stores a part (again: the last one counts) and returns its entity tag.
    pub(crate) fn put_part(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        part: i32,
        bytes: Bytes,
    ) -> S3Result<String> {
        if !(1..=10_000).contains(&part) {
            return Err(s3_error!(
                InvalidArgument,
                "Part number must be an integer between 1 and 10000"
            ));
        }
        let md5 = Md5::checksum(&bytes);
        let mut uploads = self.uploads();
        let upload = uploads
            .open
            .get_mut(id)
            .filter(|u| u.bucket == bucket && u.key == key);
        upload
            .ok_or_else(|| s3_error!(NoSuchUpload))?
            .parts
            .insert(part, (bytes, md5));
        Ok(hex::encode(md5))
    }

    /// Joins the named parts into the object. `parts` are numbers and entity tags in ascending order. The upload
    /// stays open when the answer is an error.
    pub(crate) fn complete_upload(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        parts: &[(i32, Option<String>)],
        check: impl FnOnce(Option<&StoredObject>) -> S3Result<()>,
    ) -> S3Result<Arc<StoredObject>> {
        let mut uploads = self.uploads();
        let upload = uploads
            .open
            .get(id)
            .filter(|u| u.bucket == bucket && u.key == key);
        let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload))?;
        if parts.is_empty() {
            return Err(s3_error!(MalformedXML));
        }
        if !parts.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(s3_error!(InvalidPartOrder));
        }
        let mut content = Vec::new();
        let mut digests = Vec::new();
        for (number, etag) in parts {
            let (bytes, md5) = upload.parts.get(number).ok_or_else(|| s3_error!(InvalidPart))?;
            if etag.as_ref().is_some_and(|etag| *etag != hex::encode(md5)) {
                return Err(s3_error!(InvalidPart));
            }
            content.extend_from_slice(bytes);
            digests.extend_from_slice(md5);
        }
        let object = StoredObject {
            bytes: content.into(),
            etag: format!("{}-{}", hex::encode(Md5::checksum(&digests)), parts.len()),
            last_modified: now(),
            attributes: upload.attributes.clone(),
        };
        let object = self.put(bucket, key, object, check)?;
        uploads.open.remove(id);
        Ok(object)
    }

    pub(crate) fn abort_upload(&self, bucket: &str, key: &str, id: &str) -> S3Result<()> {
        let mut uploads = self.uploads();
        match uploads.open.get(id) {
            Some(upload) if upload.bucket == bucket && upload.key == key => {
                uploads.open.remove(id);
                Ok(())
            }
            _ => Err(s3_error!(NoSuchUpload)),
        }
    }
}

/// One page of names above `query.after`: keys, or the part up to the delimiter once for all keys that share it.
fn list(objects: &BTreeMap<String, Arc<StoredObject>>, query: &ListQuery) -> Page {
    let mut page = Page::default();
    if query.limit == 0 {
        return page;
    }
    let mut from = if query.after.as_str() >= query.prefix.as_str() {
        Bound::Excluded(query.after.clone())
    } else {
        Bound::Included(query.prefix.clone())
    };
    // Keys below this common prefix are already told, on this page or the one before.
    let mut told = common_prefix(&query.after, query).filter(|prefix| *prefix == query.after);
    loop {
        let mut jumped = false;
        for (key, object) in objects.range((from.clone(), Bound::Unbounded)) {
            if !key.starts_with(&query.prefix) {
                return page;
            }
            if let Some(prefix) = told.as_ref().filter(|prefix| key.starts_with(prefix.as_str())) {
                // One look-up instead of a walk over all keys below the prefix; keys that sort above the
                // jump and still belong to it come here again and move on by one.
                let beyond = format!("{prefix}{}", char::MAX);
                from = Bound::Excluded(if beyond > *key { beyond } else { key.clone() });
                jumped = true;
                break;
            }
            if page.items.len() == query.limit {
                page.truncated = true;
                return page;
            }
            match common_prefix(key, query) {
                Some(prefix) => {
                    told = Some(prefix.clone());
                    page.items.push(ListItem::CommonPrefix(prefix));
                }
                None => page.items.push(ListItem::Object(key.clone(), Arc::clone(object))),
            }
        }
        if !jumped {
            return page;
        }
    }
}

/// `key` up to and with the first delimiter behind the prefix.
fn common_prefix(key: &str, query: &ListQuery) -> Option<String> {
    if query.delimiter.is_empty() {
        return None;
    }
    let rest = key.strip_prefix(query.prefix.as_str())?;
    let at = rest.find(query.delimiter.as_str())?;
    Some(key[..query.prefix.len() + at + query.delimiter.len()].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(keys: &[&str], query: &ListQuery) -> (Vec<String>, bool) {
        let object = Arc::new(StoredObject::new(Bytes::new()));
        let objects = keys
            .iter()
            .map(|k| ((*k).to_owned(), Arc::clone(&object)))
            .collect();
        let page = list(&objects, query);
        (
            page.items.iter().map(|i| i.name().to_owned()).collect(),
            page.truncated,
        )
    }

    fn query(prefix: &str, delimiter: &str, after: &str, limit: usize) -> ListQuery {
        ListQuery {
            prefix: prefix.into(),
            delimiter: delimiter.into(),
            after: after.into(),
            limit,
        }
    }

    #[test]
    fn prefixes_are_plain_text_not_folders() {
        let keys = ["a", "a/b", "a/c/d", "ab", "b"];
        assert_eq!(
            names(&keys, &query("a", "", "", 9)).0,
            ["a", "a/b", "a/c/d", "ab"]
        );
        assert_eq!(names(&keys, &query("a", "/", "", 9)).0, ["a", "a/", "ab"]);
        assert_eq!(names(&keys, &query("a/", "/", "", 9)).0, ["a/b", "a/c/"]);
    }

    #[test]
    fn paging_by_the_last_name_gives_every_name_once() {
        let keys = [
            "a",
            "a/1",
            "a/2",
            "a/\u{10FFFF}x",
            "b",
            "b/1/2",
            "b/3",
            "c-",
            "c/",
            "c/x",
            "d",
        ];
        for delimiter in ["", "/", "-"] {
            let (all, truncated) = names(&keys, &query("", delimiter, "", 100));
            assert!(!truncated);
            for limit in 1..=all.len() {
                let (mut got, mut after) = (Vec::new(), String::new());
                loop {
                    let (page, truncated) = names(&keys, &query("", delimiter, &after, limit));
                    assert!(page.len() <= limit);
                    got.extend(page);
                    after = got.last().unwrap().clone();
                    if !truncated {
                        break;
                    }
                }
                assert_eq!(got, all, "delimiter {delimiter:?}, limit {limit}");
            }
        }
    }

    #[test]
    fn a_full_last_page_is_not_truncated() {
        assert_eq!(
            names(&["a/1", "a/2"], &query("", "/", "", 1)),
            (vec!["a/".to_owned()], false)
        );
        assert!(names(&["a/1", "a/2"], &query("", "", "", 1)).1);
        assert_eq!(names(&["a"], &query("", "", "", 0)), (vec![], false));
    }

    #[test]
    fn listing_can_start_after_a_key_that_does_not_exist() {
        assert_eq!(names(&["a", "c", "e"], &query("", "", "b", 9)).0, ["c", "e"]);
        assert_eq!(
            names(&["a", "p/1", "p/3"], &query("p/", "", "a", 9)).0,
            ["p/1", "p/3"]
        );
        assert_eq!(names(&["p/1", "p/3"], &query("p/", "", "p/1", 9)).0, ["p/3"]);
    }

    #[test]
    fn a_multipart_object_appears_on_completion_only() {
        let storage = Storage::default();
        storage.create_bucket("lake");
        let id = storage.create_upload("lake", "k", Attributes::default()).unwrap();
        let two = storage
            .put_part("lake", "k", &id, 2, Bytes::from_static(b"world"))
            .unwrap();
        let one = storage
            .put_part("lake", "k", &id, 1, Bytes::from_static(b"hello "))
            .unwrap();
        assert!(storage.get("lake", "k").is_err());
        let wrong = storage.complete_upload("lake", "k", &id, &[(1, Some(two.clone()))], |_| Ok(()));
        assert!(wrong.is_err());
        let parts = [(1, Some(one)), (2, Some(two))];
        let object = storage
            .complete_upload("lake", "k", &id, &parts, |_| Ok(()))
            .unwrap();
        assert_eq!(object.bytes.as_ref(), b"hello world");
        assert!(object.etag.ends_with("-2"), "{}", object.etag);
        assert!(storage.abort_upload("lake", "k", &id).is_err());
    }
}
