//! Directory readings of the local store: one level, and whole trees in key order.

use std::io;
use std::path::PathBuf;

use object_store::path::Path;
use object_store::{Error, ObjectMeta, Result};

use super::{LocalError, LocalStore, STORE, blocking, io_error, object_meta};
use crate::meter::Counter;

/// Something found in a directory.
pub(super) enum Entry {
    File(ObjectMeta),
    /// With its real path, links followed.
    Directory {
        location: Path,
        real: PathBuf,
    },
}

impl Entry {
    /// Keys sort as on S3, where everything below a directory has a `/` after its name.
    fn sort_key(&self) -> String {
        match self {
            Self::File(meta) => meta.location.to_string(),
            Self::Directory { location, .. } => format!("{location}/"),
        }
    }
}

/// The real path of the directory to list; `None` where it is missing. Blocks.
fn open(store: &LocalStore, location: &Path) -> Result<Option<PathBuf>> {
    match store.resolve(location) {
        Ok(real) => Ok(Some(real)),
        Err(Error::NotFound { .. }) => {
            // Asked and answered, as a store answers for a prefix without keys.
            store.meter.add(Counter::ListRequests, 1);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The sorted entries of the directory `location`; none where it is missing or no directory.
pub(super) async fn directory(store: &LocalStore, location: &Path) -> Result<Vec<Entry>> {
    store.pay_list().await?;
    let (store, location) = (store.clone(), location.clone());
    blocking(move || match open(&store, &location)? {
        Some(real) => read_directory(&store, &location, std::slice::from_ref(&real)),
        None => Ok(Vec::new()),
    })
    .await
}

/// Reads the last directory of `way`, whose key prefix is `location`; the others are those it was reached through.
/// Blocks.
fn read_directory(store: &LocalStore, location: &Path, way: &[PathBuf]) -> Result<Vec<Entry>> {
    let Some(real) = way.last() else {
        return Ok(Vec::new());
    };
    store.meter.add(Counter::ListRequests, 1);
    let fail = |e| io_error(location, e);
    let reader = match std::fs::read_dir(real) {
        Ok(reader) => reader,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(fail(e)),
    };
    let mut entries = Vec::new();
    for found in reader {
        let found = found.map_err(fail)?;
        let name = found.file_name();
        let child = name
            .to_str()
            .and_then(|name| Path::parse(format!("{location}/{name}")).ok());
        let Some(child) = child else {
            let shown = name.to_string_lossy();
            // Never a data file, whatever else is in its name.
            if shown.starts_with(['_', '.']) {
                continue;
            }
            return Err(Error::Generic {
                store: STORE,
                source: LocalError::BadName(format!("/{location}/{}", shown.escape_debug())).into(),
            });
        };
        let Some(real) = follow(store, &child, found.path(), found.file_type().map_err(fail)?)? else {
            continue;
        };
        match std::fs::metadata(&real) {
            Ok(metadata) if metadata.is_file() => entries.push(Entry::File(object_meta(child, &metadata))),
            Ok(metadata) if metadata.is_dir() => {
                if way.iter().any(|passed| passed.starts_with(&real)) {
                    return Err(Error::Generic {
                        store: STORE,
                        source: LocalError::LinkCycle.into(),
                    });
                }
                entries.push(Entry::Directory {
                    location: child,
                    real,
                });
            }
            // Pipes and sockets are no objects.
            Ok(_) => {}
            // Removed since the directory was read.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(io_error(&child, e)),
        }
    }
    entries.sort_by_cached_key(Entry::sort_key);
    Ok(entries)
}

/// The real path of a directory entry; `None` for a link to nowhere, an error for one out of the roots.
fn follow(
    store: &LocalStore,
    location: &Path,
    path: PathBuf,
    file_type: std::fs::FileType,
) -> Result<Option<PathBuf>> {
    if !file_type.is_symlink() {
        return Ok(Some(path));
    }
    match std::fs::canonicalize(&path) {
        Ok(real) => {
            store.allow_real(location, &real)?;
            Ok(Some(real))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error(location, e)),
    }
}

/// A walk over all files below a prefix, in key order. Holds the entries of the directories on its way only.
pub(super) struct Walk {
    store: LocalStore,
    /// The prefix, until it was read.
    start: Option<Path>,
    levels: Vec<std::vec::IntoIter<Entry>>,
    /// Real path of each level: a link back to one of them would never end.
    way: Vec<PathBuf>,
}

impl Walk {
    pub(super) fn new(store: LocalStore, prefix: Path) -> Self {
        Self {
            store,
            start: Some(prefix),
            levels: Vec::new(),
            way: Vec::new(),
        }
    }

    pub(super) async fn next_file(&mut self) -> Result<Option<ObjectMeta>> {
        if let Some(prefix) = self.start.take() {
            self.store.pay_list().await?;
            let (store, location) = (self.store.clone(), prefix.clone());
            if let Some(real) = blocking(move || open(&store, &location)).await? {
                self.descend(&prefix, real).await?;
            }
        }
        while let Some(level) = self.levels.last_mut() {
            match level.next() {
                Some(Entry::File(meta)) => return Ok(Some(meta)),
                Some(Entry::Directory { location, real }) => {
                    self.store.pay_list().await?;
                    self.descend(&location, real).await?;
                }
                None => {
                    self.levels.pop();
                    self.way.pop();
                }
            }
        }
        Ok(None)
    }

    async fn descend(&mut self, location: &Path, real: PathBuf) -> Result<()> {
        self.way.push(real);
        let (store, location, way) = (self.store.clone(), location.clone(), self.way.clone());
        let entries = blocking(move || read_directory(&store, &location, &way)).await?;
        self.levels.push(entries.into_iter());
        Ok(())
    }
}
