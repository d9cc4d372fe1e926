//! Which bytes a cached fact is about: a file and the version of it that was listed.

use std::fmt;
use std::sync::Arc;

use object_store::{GetOptions, ObjectMeta};

use crate::location::{Location, StoreId};

/// How the store tells one content of a key from the next, strongest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Content tag; every ranged read is pinned with `If-Match`.
    ETag(String),
    /// Object version id.
    Version(String),
    /// Only size and time (microseconds since the epoch); reads use `If-Unmodified-Since`.
    ModifiedAt(i64),
}

/// A file as one listing saw it; part of every cache key. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileVersion(Arc<Inner>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Inner {
    store: StoreId,
    key: String,
    size_bytes: u64,
    identity: Identity,
}

impl FileVersion {
    /// The version that `meta` (from a listing of `store`) describes.
    pub fn new(store: StoreId, meta: &ObjectMeta) -> Self {
        let identity = match (&meta.e_tag, &meta.version) {
            // A weak tag does not promise equal bytes.
            (Some(tag), _) if !tag.starts_with("W/") => Identity::ETag(tag.clone()),
            (_, Some(version)) => Identity::Version(version.clone()),
            _ => Identity::ModifiedAt(meta.last_modified.timestamp_micros()),
        };
        Self(Arc::new(Inner {
            store,
            key: meta.location.as_ref().to_owned(),
            size_bytes: meta.size,
            identity,
        }))
    }

    /// Whether a tag tells one content of this key from the next: only then are its data bytes cached.
    ///
    /// Size and time may stay the same over a change; and what is local the operating system caches.
    pub(crate) fn is_strong(&self) -> bool {
        !matches!(self.0.store, StoreId::File) && matches!(self.0.identity, Identity::ETag(_))
    }

    /// Whether the file lies below `location`.
    pub(crate) fn is_under(&self, location: &Location) -> bool {
        let prefix = location.prefix.as_ref();
        self.0.store == location.store
            && (prefix.is_empty()
                || self.0.key == prefix
                || self
                    .0
                    .key
                    .strip_prefix(prefix)
                    .is_some_and(|rest| rest.starts_with('/')))
    }

    /// The version and `range` of it as bytes, for keys outside of this process: equal for equal ones alone.
    pub(crate) fn to_key(&self, range: std::ops::Range<u64>) -> Vec<u8> {
        let Inner {
            store,
            key,
            size_bytes,
            identity,
        } = self.0.as_ref();
        let mut out = Vec::new();
        for part in [store.to_string(), key.clone(), format!("{identity:?}")] {
            out.extend_from_slice(&(part.len() as u64).to_le_bytes());
            out.extend_from_slice(part.as_bytes());
        }
        for number in [*size_bytes, range.start, range.end] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out
    }

    /// Length of the file in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.0.size_bytes
    }

    /// The store it lies in.
    pub fn store(&self) -> &StoreId {
        &self.0.store
    }

    /// The key below the bucket.
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// Store, key and what tells this content from every other of that key; `None` where only its time does.
    pub(crate) fn exact(&self) -> Option<(&StoreId, &str, &str)> {
        match &self.0.identity {
            Identity::ETag(content) | Identity::Version(content) => {
                Some((&self.0.store, &self.0.key, content))
            }
            Identity::ModifiedAt(_) => None,
        }
    }

    /// Conditions that make a read fail rather than return bytes of another version.
    pub fn pin(&self, options: GetOptions) -> GetOptions {
        match &self.0.identity {
            Identity::ETag(tag) => options.with_if_match(Some(tag.clone())),
            Identity::Version(version) => options.with_version(Some(version.clone())),
            Identity::ModifiedAt(micros) => {
                // HTTP dates carry whole seconds: round up, the length check catches more.
                let at = chrono::DateTime::from_timestamp(micros.div_euclid(1_000_000) + 1, 0);
                options.with_if_unmodified_since(at)
            }
        }
    }
}

impl fmt::Display for FileVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.store, self.0.key)
    }
}
