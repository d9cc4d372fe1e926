//! Copies of the catalog file: online backup and restore.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use super::SqliteCatalog;
use super::schema::{self, CATALOG_FILE};
use crate::data_dir::{self, DataDir};
use crate::error::CatalogError;

impl SqliteCatalog {
    /// Writes a consistent copy to `file` (replacing it) while the catalog is in use. The copy is one
    /// file, on the disk when the call returns; until then `file` is as it was. Readable by its owner only.
    ///
    /// A dropped call leaves the copy running to its end.
    pub async fn backup(&self, file: &Path) -> Result<(), CatalogError> {
        let target = file.to_owned();
        let Some(source) = self.file.clone() else {
            // Nobody else can open a catalog in memory: its own thread copies.
            return self.call(move |db| copy_and_rename(&db.conn, &target)).await;
        };
        // A reader of its own, so that a large copy does not hold up statements.
        let (reply, answer) = oneshot::channel();
        std::thread::Builder::new()
            .name("owlake-backup".to_owned())
            .spawn(move || {
                let copied = refuse_same(&source, &target)
                    .and_then(|()| open_read_only(&source))
                    .and_then(|conn| copy_and_rename(&conn, &target));
                let _ = reply.send(copied);
            })
            .map_err(data_dir::io("start the backup thread"))?;
        answer.await.map_err(|_| CatalogError::Closed)?
    }
}

/// Copies the catalog of `data_dir` into `file` from outside: the process that holds the directory goes on. Blocking.
///
/// Promises about the copy as [`SqliteCatalog::backup`].
pub fn backup(data_dir: &Path, file: &Path) -> Result<(), CatalogError> {
    let source = data_dir.join(CATALOG_FILE);
    refuse_same(&source, file)?;
    copy_and_rename(&open_read_only(&source)?, file)
}

/// Makes the backup `file` the catalog of `data_dir`, in place of the one that is there. Blocking.
///
/// The file must be an intact catalog that this release understands (`NotACatalog`, `NewerSchema`),
/// and no process may hold the directory (`Locked`). Until the end the old catalog stays as it is.
pub fn restore(file: &Path, data_dir: &Path) -> Result<(), CatalogError> {
    let dir = DataDir::lock(data_dir)?;
    let source = open_read_only(file)?;
    schema::check_integrity(&source)?;
    let target = dir.path().join(CATALOG_FILE);
    retire_log(&target)?;
    copy_and_rename(&source, &target)
}

/// A copy renamed over the file in use would take every later change with it.
fn refuse_same(source: &Path, target: &Path) -> Result<(), CatalogError> {
    let same = fs::canonicalize(target)
        .is_ok_and(|target| fs::canonicalize(source).is_ok_and(|source| source == target));
    if !same {
        return Ok(());
    }
    let source = std::io::Error::new(
        std::io::ErrorKind::InvalidInput,
        "that file is the catalog itself",
    );
    Err(data_dir::io("write the backup")(source))
}

fn open_read_only(file: &Path) -> Result<Connection, CatalogError> {
    // SQLite's own message for a missing file names no reason. Looked at, not opened: closing a second
    // descriptor of a file releases the locks that SQLite holds on it in this process.
    fs::metadata(file).map_err(data_dir::io("open the catalog file"))?;
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    Ok(conn)
}

/// Copies all of `source` in one read transaction to a file beside `target`, then renames it.
fn copy_and_rename(source: &Connection, target: &Path) -> Result<(), CatalogError> {
    // Two copies to one target would write into one temporary file.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let temporary = beside(target, ".new");
    let outcome = copy(source, &temporary).and_then(|()| {
        let durable = File::open(&temporary)
            .and_then(|f| f.sync_all())
            .and_then(|()| fs::rename(&temporary, target));
        durable.map_err(data_dir::io("put the catalog copy in place"))?;
        let dir = target
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        data_dir::sync_dir(dir).map_err(data_dir::io("make the catalog copy durable"))
    });
    if outcome.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    outcome
}

fn copy(source: &Connection, temporary: &Path) -> Result<(), CatalogError> {
    // What a killed backup left is no database to write into.
    remove_companions(temporary)?;
    data_dir::private_file(temporary, true).map_err(data_dir::io("create the catalog copy"))?;
    let mut copy = Connection::open(temporary)?;
    // One step: in WAL mode readers and writers do not wait for each other, and steps would restart
    // with each change in between.
    Backup::new(source, &mut copy)?.run_to_completion(i32::MAX, Duration::from_millis(10), None)?;
    // The copy says WAL as its source; a file that travels must not need a second one beside it.
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    copy.close().map_err(|(_, e)| e.into())
}

/// Folds the write-ahead log of the catalog at `file` into it and removes it: a log that stayed would
/// be replayed onto the file that takes its place.
fn retire_log(file: &Path) -> Result<(), CatalogError> {
    if file.is_file() {
        let folded =
            Connection::open(file).and_then(|conn| conn.pragma_update(None, "journal_mode", "DELETE"));
        if let Err(error) = folded {
            // A damaged catalog is a reason to restore, not one to refuse it.
            tracing::warn!(%error, "the catalog to be replaced cannot be read");
        }
    }
    remove_companions(file)
}

/// Removes the logs beside a database file that is about to be replaced.
fn remove_companions(file: &Path) -> Result<(), CatalogError> {
    for suffix in ["-wal", "-shm", "-journal"] {
        match fs::remove_file(beside(file, suffix)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(data_dir::io("remove the log of a replaced catalog file")(e));
            }
            _ => {}
        }
    }
    Ok(())
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
