//! Facts about the catalog file: reopening, migration, refusals, what earlier releases wrote.

use std::fs;

use rusqlite::Connection;

use super::tests::{clock, column, partition, table};
use super::*;

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let temp = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(temp.path(), clock).unwrap();
    catalog.create_table(table("default", "t"), false).await.unwrap();
    catalog
        .add_partitions("default", "t", vec![partition("a", 1)], false)
        .await
        .unwrap();
    let before = (
        catalog.table("default", "t").await.unwrap(),
        catalog.partitions("default", "t").await.unwrap(),
    );
    drop(catalog);
    let catalog = SqliteCatalog::open(temp.path(), clock).unwrap();
    let after = (
        catalog.table("default", "t").await.unwrap(),
        catalog.partitions("default", "t").await.unwrap(),
    );
    assert_eq!(before, after);
    catalog.drop_database("default", true).await.unwrap();
    drop(catalog);
    let catalog = SqliteCatalog::open(temp.path(), clock).unwrap();
    assert!(
        catalog.databases().await.unwrap().is_empty(),
        "`default` comes with a new catalog only"
    );
}

#[tokio::test]
async fn commits_are_synced_and_references_kept() {
    let temp = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(temp.path(), clock).unwrap();
    let pragmas = catalog
        .call(|db| {
            let number = |name| db.conn.pragma_query_value(None, name, |r| r.get::<_, i64>(0));
            let mode: String = db.conn.pragma_query_value(None, "journal_mode", |r| r.get(0))?;
            Ok((mode, number("synchronous")?, number("foreign_keys")?))
        })
        .await;
    assert_eq!(pragmas.unwrap(), ("wal".to_owned(), 2, 1));
}

#[test]
fn a_file_of_version_one_migrates_when_there_are_more_steps() {
    let temp = tempfile::tempdir().unwrap();
    fs::copy(frozen("v1"), temp.path().join(CATALOG_FILE)).unwrap();
    let mut conn = Connection::open(temp.path().join(CATALOG_FILE)).unwrap();
    let later = [
        schema::STEPS[0],
        "ALTER TABLE tables ADD COLUMN owner TEXT",
        "CREATE TABLE third (x) STRICT",
    ];
    let broken = [
        later[0],
        later[1],
        "CREATE TABLE third (x INTEGER) STRICT; NONSENSE",
    ];
    assert!(schema::migrate(&mut conn, &broken).is_err());
    assert_eq!(
        schema::refuse_foreign(&conn, 3).unwrap(),
        2,
        "a step that fails leaves the ones before"
    );
    schema::migrate(&mut conn, &["", "", "CREATE TABLE third (x INTEGER) STRICT"]).unwrap();
    assert_eq!(schema::refuse_foreign(&conn, 3).unwrap(), 3);
    let kept: (i64, i64) = conn
        .query_row(
            "SELECT (SELECT count(*) FROM tables WHERE owner IS NULL), (SELECT count(*) FROM third)",
            [],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )
        .unwrap();
    assert_eq!(kept, (2, 0));
    schema::migrate(&mut conn, &["", "", "CREATE TABLE third (x INTEGER) STRICT"]).unwrap();
}

#[test]
fn a_file_of_a_newer_release_is_refused_and_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    drop(SqliteCatalog::open(temp.path(), clock).unwrap());
    let file = temp.path().join(CATALOG_FILE);
    Connection::open(&file)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let before = fs::read(&file).unwrap();
    let refused = SqliteCatalog::open(temp.path(), clock);
    assert!(
        matches!(refused, Err(CatalogError::NewerSchema { found: 99, .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn files_of_other_programs_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join(CATALOG_FILE);
    Connection::open(&file)
        .unwrap()
        .execute_batch("CREATE TABLE t (x); PRAGMA user_version = 1")
        .unwrap();
    let refused = SqliteCatalog::open(temp.path(), clock);
    assert!(
        matches!(refused, Err(CatalogError::NotACatalog { .. })),
        "{refused:?}"
    );
    fs::write(
        &file,
        "no database, but long enough to have a header if it were one ".repeat(20),
    )
    .unwrap();
    let refused = SqliteCatalog::open(temp.path(), clock);
    assert!(
        matches!(refused, Err(CatalogError::NotACatalog { .. })),
        "{refused:?}"
    );
}

/// A database file in `testdata/catalog`; its README says how it was made.
fn frozen(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata/catalog")
        .join(version)
        .join(CATALOG_FILE)
}

#[tokio::test]
async fn the_catalog_file_of_the_first_release_opens_with_its_rows() {
    let temp = tempfile::tempdir().unwrap();
    fs::copy(frozen("v1"), temp.path().join(CATALOG_FILE)).unwrap();
    let catalog = SqliteCatalog::open(temp.path(), clock).unwrap();
    let names: Vec<_> = catalog
        .databases()
        .await
        .unwrap()
        .iter()
        .map(|d| d.name.clone())
        .collect();
    assert_eq!(names, ["default", "sales"]);
    assert_eq!(
        catalog.table_names("sales").await.unwrap(),
        ["events", "recent_events"]
    );
    let events = catalog.table("sales", "events").await.unwrap().unwrap();
    assert_eq!(events.create_time, 1_767_225_600);
    assert_eq!(
        events.storage_descriptor.location.as_deref(),
        Some("s3://acme-lake/events/")
    );
    assert_eq!(
        events.storage_descriptor.columns[1].data_type,
        "struct<kind:string,tags:array<string>>"
    );
    assert_eq!(
        events.storage_descriptor.columns[1].comment.as_deref(),
        Some("what happened")
    );
    assert_eq!(events.partition_keys, [column("dt", "string")]);
    let partitions = catalog.partitions("sales", "events").await.unwrap();
    let values: Vec<_> = partitions.iter().map(|p| p.values[0].as_str()).collect();
    assert_eq!(values, ["2026-01-01", "2026-01-02"]);
    assert_eq!(
        partitions[1].storage_descriptor.columns.len(),
        1,
        "older than the table's second column"
    );
    let view = catalog.table("sales", "recent_events").await.unwrap().unwrap();
    assert_eq!(view.table_type.as_deref(), Some("VIRTUAL_VIEW"));
    assert_eq!(view.view_expanded_text.as_deref(), Some("/* Presto View */"));
    let before = events.version;
    catalog.update_table((*events).clone()).await.unwrap();
    assert!(catalog.table("sales", "events").await.unwrap().unwrap().version > before.max(view.version));
}
