//! The data directory and its lock: one process at a time, and the second one learns who the first is.
//!
//! What lies in the directory (catalog, ledger) is the business of those who open it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use fs4::fs_std::FileExt;

use crate::error::CatalogError;

/// The operating system's lock is on this file; its content has no meaning and it is never deleted,
/// since deleting a locked file would let two processes hold two files of one name.
const LOCK_FILE: &str = "owlake.lock";
/// What the holder says about itself. Apart from the lock file, which some systems make unreadable.
const HOLDER_FILE: &str = "owlake.holder";
/// Longest announcement that is read back.
const HOLDER_MAX_BYTES: u64 = 512;

/// A locked data directory. Dropping it releases the lock; so does the end of the process, however it ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Closing it releases the lock.
    _lock: File,
}

impl DataDir {
    /// Creates the directory where it is missing (mode 0700) and locks it, or returns
    /// [`CatalogError::Locked`] with what the holder announced. Blocking, never waits for the holder.
    pub fn lock(path: &Path) -> Result<Self, CatalogError> {
        create_private(path).map_err(io("create the data directory"))?;
        let lock =
            private_file(&path.join(LOCK_FILE), false).map_err(io("open the data directory's lock"))?;
        if !FileExt::try_lock_exclusive(&lock).map_err(io("lock the data directory"))? {
            return Err(CatalogError::Locked {
                holder: read_holder(&path.join(HOLDER_FILE)),
            });
        }
        let dir = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        // Replaces what a killed process left behind.
        dir.announce(&format!("pid {}", std::process::id()))?;
        Ok(dir)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces what a second process is told about this one: `pid 12, grpc://127.0.0.1:31337`.
    /// Says `pid N` until the first call. Control characters are taken out, 512 bytes are kept.
    pub fn announce(&self, text: &str) -> Result<(), CatalogError> {
        // Written aside and renamed, so that a reader never sees half of it.
        let temporary = self.path.join(format!("{HOLDER_FILE}.new"));
        private_file(&temporary, true)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&temporary, self.path.join(HOLDER_FILE)))
            .map_err(io("announce the holder of the data directory"))
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Before the lock goes (fields drop after this), so that it cannot be the next holder's.
        let _ = fs::remove_file(self.path.join(HOLDER_FILE));
    }
}

fn read_holder(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(HOLDER_MAX_BYTES)
        .read_to_end(&mut bytes)
        .ok()?;
    let text: String = String::from_utf8_lossy(&bytes)
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn create_private(path: &Path) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
}

/// Opens `path` for writing, creating it readable by its owner only.
pub(crate) fn private_file(path: &Path, truncate: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(truncate);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes renames and new files in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    // Elsewhere directories cannot be opened; there renames are durable by themselves.
    if cfg!(unix) {
        File::open(dir)?.sync_all()
    } else {
        Ok(())
    }
}

/// Wraps an I/O error with what was tried (no path: clients may see it).
pub(crate) fn io(action: &'static str) -> impl FnOnce(std::io::Error) -> CatalogError {
    move |source| CatalogError::Io {
        action: action.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_and_told_the_holder() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b");
        let first = DataDir::lock(&path).unwrap();
        let holder = |result: Result<DataDir, CatalogError>| match result {
            Err(CatalogError::Locked { holder }) => holder,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            holder(DataDir::lock(&path)),
            Some(format!("pid {}", std::process::id()))
        );
        first
            .announce("pid 12, grpc://127.0.0.1:31337\u{1b}[0m\n")
            .unwrap();
        let error = DataDir::lock(&path).unwrap_err();
        assert_eq!(
            error.to_string(),
            "data directory is in use by another owlake process (pid 12, grpc://127.0.0.1:31337[0m)"
        );
        drop(first);
        DataDir::lock(&path).unwrap();
    }

    #[test]
    fn files_of_a_dead_process_are_no_obstacle() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join(LOCK_FILE), "").unwrap();
        fs::write(temp.path().join(HOLDER_FILE), "pid 999999, grpc://127.0.0.1:1").unwrap();
        let _first = DataDir::lock(temp.path()).unwrap();
        let holder = read_holder(&temp.path().join(HOLDER_FILE)).unwrap();
        assert_eq!(holder, format!("pid {}", std::process::id()));
    }

    #[test]
    fn a_missing_or_huge_announcement_does_not_hide_the_refusal() {
        let temp = tempfile::tempdir().unwrap();
        let first = DataDir::lock(temp.path()).unwrap();
        fs::remove_file(temp.path().join(HOLDER_FILE)).unwrap();
        assert!(matches!(
            DataDir::lock(temp.path()),
            Err(CatalogError::Locked { holder: None })
        ));
        first.announce(&"x".repeat(100_000)).unwrap();
        let Err(CatalogError::Locked { holder: Some(holder) }) = DataDir::lock(temp.path()) else {
            panic!("not refused")
        };
        assert_eq!(holder.len() as u64, HOLDER_MAX_BYTES);
    }

    #[cfg(unix)]
    #[test]
    fn a_new_directory_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::lock(&temp.path().join("lake")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(mode(&dir.path().join(LOCK_FILE)), 0o600);
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(DataDir::lock(&file), Err(CatalogError::Io { .. })));
    }
}
