//! The catalog file's format: schema steps, how a file is opened, how it is recognised.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::data_dir;
use crate::error::CatalogError;
use crate::names::DEFAULT_DATABASE;

/// The catalog's file in a data directory.
pub const CATALOG_FILE: &str = "catalog.db";

/// The one catalog of a file today; rows carry it so that a second one needs no migration.
pub(super) const CATALOG_ID: &str = "awsdatacatalog";

/// `PRAGMA application_id`: "OwLk". Tells a catalog from any other SQLite file.
const APPLICATION_ID: i64 = 0x4F77_4C6B;

/// Step n makes schema version n from n-1. A released step never changes: a new one is appended.
pub(super) const STEPS: &[&str] = &[
    // 1. Names, versions and locations are columns; nested parts are Glue's JSON.
    "CREATE TABLE catalogs (
        catalog_id TEXT PRIMARY KEY NOT NULL,
        last_version INTEGER NOT NULL
     ) STRICT;
     CREATE TABLE databases (
        id INTEGER PRIMARY KEY,
        catalog_id TEXT NOT NULL REFERENCES catalogs (catalog_id),
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        create_time INTEGER NOT NULL,
        location_uri TEXT,
        description TEXT,
        parameters TEXT NOT NULL,
        UNIQUE (catalog_id, name)
     ) STRICT;
     CREATE TABLE tables (
        id INTEGER PRIMARY KEY,
        catalog_id TEXT NOT NULL REFERENCES catalogs (catalog_id),
        database_id INTEGER NOT NULL REFERENCES databases (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        partitions_version INTEGER NOT NULL,
        create_time INTEGER NOT NULL,
        table_type TEXT,
        location TEXT,
        definition TEXT NOT NULL,
        UNIQUE (database_id, name)
     ) STRICT;
     CREATE TABLE descriptors (
        id INTEGER PRIMARY KEY,
        table_id INTEGER NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
        content TEXT NOT NULL
     ) STRICT;
     CREATE INDEX descriptors_of_table ON descriptors (table_id);
     CREATE TABLE partitions (
        id INTEGER PRIMARY KEY,
        catalog_id TEXT NOT NULL REFERENCES catalogs (catalog_id),
        table_id INTEGER NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
        partition_values TEXT NOT NULL,
        version INTEGER NOT NULL,
        create_time INTEGER NOT NULL,
        location TEXT,
        descriptor_id INTEGER NOT NULL REFERENCES descriptors (id),
        parameters TEXT NOT NULL,
        UNIQUE (table_id, partition_values)
     ) STRICT;
     CREATE INDEX partitions_of_descriptor ON partitions (descriptor_id);",
];

/// Opens (creating and migrating it where needed) the catalog file at `path`. Blocking.
pub(super) fn open_file(path: &Path, now: i64) -> Result<Connection, CatalogError> {
    // Created here to be its owner's only; one that is there is left to SQLite, since closing a
    // second descriptor of a file releases the locks that SQLite holds on it in this process.
    if !path
        .try_exists()
        .map_err(data_dir::io("look for the catalog file"))?
    {
        data_dir::private_file(path, false).map_err(data_dir::io("create the catalog file"))?;
    }
    let mut conn = Connection::open(path)?;
    refuse_foreign(&conn, STEPS.len())?;
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    // WAL + FULL: a commit is on the disk when it returns, readers of the file are not blocked by it.
    conn.pragma_update(None, "journal_mode", "WAL")?;
    prepare(&mut conn, now)?;
    if let Some(dir) = path.parent() {
        data_dir::sync_dir(dir).map_err(data_dir::io("make the catalog file durable"))?;
    }
    Ok(conn)
}

/// A catalog that lives as long as its connection.
pub(super) fn open_memory(now: i64) -> Result<Connection, CatalogError> {
    let mut conn = Connection::open_in_memory()?;
    prepare(&mut conn, now)?;
    Ok(conn)
}

fn prepare(conn: &mut Connection, now: i64) -> Result<(), CatalogError> {
    conn.pragma_update(None, "synchronous", "FULL")?;
    // Without it macOS acknowledges writes that are in the drive's cache only.
    conn.pragma_update(None, "fullfsync", true)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.set_prepared_statement_cache_capacity(64);
    migrate(conn, STEPS)?;
    create_defaults(conn, now)
}

/// Brings the file to version `steps.len()`; each step and its version number commit together.
pub(super) fn migrate(conn: &mut Connection, steps: &[&str]) -> Result<(), CatalogError> {
    let found = refuse_foreign(conn, steps.len())?;
    for (index, step) in steps.iter().enumerate().skip(found) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(step)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap_or(i64::MAX))?;
        tx.commit()?;
        tracing::info!(version = index + 1, "catalog schema migrated");
    }
    Ok(())
}

/// The file's schema version, 0 for an empty one; refuses files that are not ours or newer than `known`.
pub(super) fn refuse_foreign(conn: &Connection, known: usize) -> Result<usize, CatalogError> {
    let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let version = pragma("user_version").map_err(not_sqlite)?;
    let any_object: Option<i64> = conn
        .query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |r| r.get(0))
        .optional()?;
    if any_object.is_none() {
        return Ok(0);
    }
    if pragma("application_id")? != APPLICATION_ID || version < 1 {
        return Err(CatalogError::NotACatalog {
            reason: "another program wrote it".to_owned(),
        });
    }
    match usize::try_from(version) {
        Ok(found) if found <= known => Ok(found),
        _ => Err(CatalogError::NewerSchema {
            found: version,
            known: i64::try_from(known).unwrap_or(i64::MAX),
        }),
    }
}

/// A full check, for files that come from outside: pages, indexes, references, our schema, not empty.
pub(super) fn check_integrity(conn: &Connection) -> Result<(), CatalogError> {
    if refuse_foreign(conn, STEPS.len())? == 0 {
        return Err(CatalogError::NotACatalog {
            reason: "it is empty".to_owned(),
        });
    }
    let result: String = conn
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(not_sqlite)?;
    if result != "ok" {
        return Err(CatalogError::NotACatalog {
            reason: format!("it is damaged: {result}"),
        });
    }
    let mut dangling = conn.prepare("PRAGMA foreign_key_check")?;
    if dangling.exists([])? {
        return Err(CatalogError::NotACatalog {
            reason: "rows refer to rows that are missing".to_owned(),
        });
    }
    Ok(())
}

/// Turns SQLite's two words for "this is not a database" into ours.
fn not_sqlite(error: rusqlite::Error) -> CatalogError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            CatalogError::NotACatalog {
                reason: "it is not an intact SQLite file".to_owned(),
            }
        }
        _ => error.into(),
    }
}

/// The `default` database that sessions start in; only in a catalog that is new (or whose creation was cut short).
fn create_defaults(conn: &mut Connection, now: i64) -> Result<(), CatalogError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let new = tx.execute(
        "INSERT OR IGNORE INTO catalogs (catalog_id, last_version) VALUES (?1, 1)",
        [CATALOG_ID],
    )?;
    if new == 1 {
        tx.execute(
            "INSERT INTO databases (catalog_id, name, version, create_time, parameters) VALUES (?1, ?2, 1, ?3, '{}')",
            (CATALOG_ID, DEFAULT_DATABASE, now),
        )?;
    }
    Ok(tx.commit()?)
}
