//! Local files as a read-only, metered `ObjectStore`: `file://` tables below allowed roots, and nothing else.
//!
//! Which files are hidden or belong to a table is the scan's business; writing is not offered.

mod entries;
mod opened;
mod paid;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops::Range;
use std::path::{Component, Path as FsPath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result, coalesce_ranges,
};

use crate::meter::{Counter, Meter};
use crate::quota::QuotaGrant;
use entries::{Entry, Walk};
use opened::{Opened, OpenedFiles, short_range};
use paid::Paid;

const STORE: &str = "LocalStore";
/// Bytes per read and per stream item; a column chunk usually fits.
const CHUNK_BYTES: usize = 4 << 20;

/// The local file system from `/`, as far as it lies below the allowed roots.
///
/// Counts like the HTTP layer: a GET, HEAD or directory reading each as one request, the range asked for as
/// `requested_bytes`, what was read as `transferred_bytes`. Requests that fail before a file is open count too.
/// What the price plan asks for them is reserved on the query's cap on cost and its money quotas first, as there.
///
/// A path is refused (`PermissionDenied`) before anything is opened when it is not below a root, by its text
/// or after its symbolic links are followed. A file's `e_tag` is made of inode, modification time (ns) and
/// size; a GET whose file changes meanwhile ends with `Precondition`, so that no body mixes two versions.
/// (A change within one tick of the file system's clock that keeps the size goes unnoticed.)
#[derive(Debug, Clone)]
pub struct LocalStore {
    roots: Arc<[Root]>,
    meter: Arc<Meter>,
    quotas: Option<Arc<QuotaGrant>>,
    opened: OpenedFiles,
}

#[derive(Debug)]
struct Root {
    given: PathBuf,
    /// `given` with its links followed; equal to it where it does not exist yet.
    real: PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum LocalError {
    #[error("the path is not below an allowed location")]
    OutsideRoots,
    #[error("the file changed while it was read")]
    Changed,
    #[error("not a regular file")]
    NotAFile,
    #[error("a symbolic link leads back to a directory above it")]
    LinkCycle,
    #[error("the name of the file `{0}` is not UTF-8 or holds control characters")]
    BadName(String),
    #[error("versions are not offered for local files")]
    NoVersions,
    #[error("local files are read-only here")]
    ReadOnly,
}

impl LocalStore {
    /// A store that reads below `roots` (absolute directories) and counts on `meter`.
    ///
    /// Follows the roots' own links now; blocks for that. Roots that are not absolute are left out.
    pub fn new(roots: impl IntoIterator<Item = PathBuf>, meter: Arc<Meter>) -> Self {
        // An empty root would be a prefix of everything.
        let roots = roots
            .into_iter()
            .filter(|given| given.is_absolute())
            .map(|given| {
                let real = std::fs::canonicalize(&given).unwrap_or_else(|_| given.clone());
                Root { given, real }
            });
        Self {
            roots: roots.collect(),
            meter,
            quotas: None,
            opened: OpenedFiles::default(),
        }
    }

    /// Requests are reserved on `quotas` before they are made.
    #[must_use]
    pub fn with_quotas(mut self, quotas: Option<Arc<QuotaGrant>>) -> Self {
        self.quotas = quotas;
        self
    }

    /// The real path of `location`, when it is allowed both before and after following links. Blocks.
    fn resolve(&self, location: &Path) -> Result<PathBuf> {
        let path = absolute(location);
        let plain = path
            .components()
            .all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
        let named = self
            .roots
            .iter()
            .any(|root| path.starts_with(&root.given) || path.starts_with(&root.real));
        if !plain || !named {
            return Err(denied(location));
        }
        let real = std::fs::canonicalize(&path).map_err(|e| io_error(location, e))?;
        self.allow_real(location, &real)?;
        Ok(real)
    }

    fn allow_real(&self, location: &Path, real: &FsPath) -> Result<()> {
        if self.roots.iter().any(|root| real.starts_with(&root.real)) {
            Ok(())
        } else {
            Err(denied(location))
        }
    }

    fn stat(&self, location: &Path) -> Result<(PathBuf, ObjectMeta)> {
        let path = self.resolve(location)?;
        let metadata = std::fs::metadata(&path).map_err(|e| io_error(location, e))?;
        // Before opening: to open a pipe would hang. A directory is no object, as on S3.
        if !metadata.is_file() {
            return Err(Error::NotFound {
                path: location.to_string(),
                source: LocalError::NotAFile.into(),
            });
        }
        Ok((path, object_meta(location.clone(), &metadata)))
    }

    fn answer_head(&self, location: &Path, options: &GetOptions) -> Result<GetResult> {
        let (_, meta) = self.stat(location)?;
        options.check_preconditions(&meta)?;
        Ok(answer(meta, 0..0, stream::empty()))
    }

    /// A short range of a file that is open, where nobody has to wait for it.
    fn answer_at_hand(
        &self,
        location: &Path,
        options: &GetOptions,
        paid: &mut Paid,
    ) -> Result<Option<GetResult>> {
        let Some(range) = short_range(options).filter(|_| !options.head) else {
            return Ok(None);
        };
        let Some(opened) = self.opened.current(location) else {
            return Ok(None);
        };
        options.check_preconditions(&opened.meta)?;
        let bytes = opened.read_held(&range, &self.meter)?;
        paid.used(bytes.as_ref().map_or(0, Bytes::len));
        Ok(bytes.map(|bytes| answer(opened.meta.clone(), range, at_once(bytes))))
    }

    fn answer_get(&self, location: &Path, options: &GetOptions, paid: Paid) -> Result<GetResult> {
        let (path, _) = self.stat(location)?;
        let file = File::open(&path).map_err(|e| io_error(location, e))?;
        // The identity is that of the open file: what is read and what is checked cannot differ.
        let metadata = file.metadata().map_err(|e| io_error(location, e))?;
        let meta = object_meta(location.clone(), &metadata);
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            Some(range) => range.as_range(meta.size).map_err(|e| Error::Generic {
                store: STORE,
                source: Box::new(e),
            })?,
            None => 0..meta.size,
        };
        if !paid.covers(range.end - range.start) {
            return Err(changed(location));
        }
        self.meter.add(Counter::RequestedBytes, range.end - range.start);
        let mut body = Body {
            opened: Opened {
                file,
                meta: meta.clone(),
            },
            next: None,
            range: range.clone(),
            meter: Arc::clone(&self.meter),
            paid,
        };
        if short_range(options).is_some() {
            // Here and now: another change of threads would cost more.
            let bytes = body.chunk()?.unwrap_or_default();
            self.opened.keep(body.opened);
            return Ok(answer(meta, range, at_once(bytes)));
        }
        let chunks = stream::try_unfold(body, |mut body| {
            blocking(move || Ok(body.chunk()?.map(|chunk| (chunk, body))))
        });
        Ok(answer(meta, range, chunks))
    }
}

fn answer(
    meta: ObjectMeta,
    range: Range<u64>,
    body: impl Stream<Item = Result<Bytes>> + Send + 'static,
) -> GetResult {
    GetResult {
        payload: GetResultPayload::Stream(body.boxed()),
        meta,
        range,
        attributes: Attributes::default(),
    }
}

fn at_once(bytes: Bytes) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    stream::once(std::future::ready(Ok(bytes)))
}

/// Runs `work` on a thread that may block: all calls of one request at once, since each change of threads costs more
/// than they do.
#[allow(
    clippy::disallowed_methods,
    reason = "as tokio's own file functions do, call by call; it ends by itself"
)]
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|source| Error::JoinError { source })?
}

/// A file that is being read.
struct Body {
    opened: Opened,
    /// Offset of the next chunk; `None` before the first.
    next: Option<u64>,
    range: Range<u64>,
    meter: Arc<Meter>,
    paid: Paid,
}

impl Body {
    /// The next chunk, checked to be of the version that was opened; `None` at the end. Blocks.
    fn chunk(&mut self) -> Result<Option<Bytes>> {
        let Opened { file, meta } = &mut self.opened;
        let location = &meta.location;
        let start = match self.next {
            Some(next) => next,
            None => {
                let start = io::SeekFrom::Start(self.range.start);
                file.seek(start).map_err(|e| io_error(location, e))?
            }
        };
        let left = usize::try_from(self.range.end.saturating_sub(start)).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(None);
        }
        let wanted = left.min(CHUNK_BYTES);
        let mut chunk = Vec::with_capacity(wanted);
        let read = file.take(wanted as u64).read_to_end(&mut chunk);
        self.meter.add(Counter::TransferredBytes, chunk.len() as u64);
        self.paid.used(chunk.len());
        read.map_err(|e| io_error(location, e))?;
        if chunk.len() < wanted {
            return Err(changed(location));
        }
        self.next = Some(start + wanted as u64);
        self.opened.unchanged()?;
        Ok(Some(chunk.into()))
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only())
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only())
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.version.is_some() {
            return Err(Error::NotSupported {
                source: LocalError::NoVersions.into(),
            });
        }
        let counter = if options.head {
            Counter::HeadRequests
        } else {
            Counter::GetRequests
        };
        let mut paid = self.pay_get(location, &options).await?;
        self.meter.add(counter, 1);
        if let Some(result) = self.answer_at_hand(location, &options, &mut paid)? {
            return Ok(result);
        }
        let (store, location) = (self.clone(), location.clone());
        blocking(move || match options.head {
            true => store.answer_head(&location, &options),
            false => store.answer_get(&location, &options, paid),
        })
        .await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let fetch = |range| self.get_range(location, range);
        coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        locations.map(|_| Err(read_only())).boxed()
    }

    /// In the order of S3: by key. A missing prefix is empty; links to nowhere are left out.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let walk = Walk::new(self.clone(), prefix.cloned().unwrap_or_default());
        stream::try_unfold(walk, |mut walk| async move {
            Ok(walk.next_file().await?.map(|meta| (meta, walk)))
        })
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut result = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
        };
        for entry in entries::directory(self, &prefix.cloned().unwrap_or_default()).await? {
            match entry {
                Entry::File(meta) => result.objects.push(meta),
                Entry::Directory { location, .. } => result.common_prefixes.push(location),
            }
        }
        Ok(result)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let offset = offset.clone();
        self.list(prefix)
            .try_filter(move |meta| std::future::ready(meta.location > offset))
            .boxed()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only())
    }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE)
    }
}

fn absolute(location: &Path) -> PathBuf {
    FsPath::new("/").join(location.as_ref())
}

fn object_meta(location: Path, metadata: &std::fs::Metadata) -> ObjectMeta {
    let modified = metadata.modified().unwrap_or(std::time::UNIX_EPOCH);
    let since_epoch = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    ObjectMeta {
        location,
        last_modified: DateTime::<Utc>::from(modified),
        size: metadata.len(),
        e_tag: Some(format!(
            "{:x}-{:x}-{:x}",
            inode(metadata),
            since_epoch.as_nanos(),
            metadata.len()
        )),
        version: None,
    }
}

#[cfg(unix)]
fn inode(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &std::fs::Metadata) -> u64 {
    0
}

fn denied(location: &Path) -> Error {
    Error::PermissionDenied {
        path: location.to_string(),
        source: LocalError::OutsideRoots.into(),
    }
}

fn changed(location: &Path) -> Error {
    Error::Precondition {
        path: location.to_string(),
        source: LocalError::Changed.into(),
    }
}

fn read_only() -> Error {
    Error::NotSupported {
        source: LocalError::ReadOnly.into(),
    }
}

fn io_error(location: &Path, error: io::Error) -> Error {
    let path = location.to_string();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::NotFound {
            path,
            source: error.into(),
        },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied {
            path,
            source: error.into(),
        },
        _ => Error::Generic {
            store: STORE,
            source: error.into(),
        },
    }
}
