//! Facts about the embedded catalog.

use std::fs;

use rusqlite::Connection;

use super::*;
use crate::model::{Column, Parameters, SerDeInfo, StorageDescriptor};

fn clock() -> i64 {
    1_700_000_000
}

fn memory() -> SqliteCatalog {
    SqliteCatalog::in_memory(clock).unwrap()
}

fn column(name: &str, data_type: &str) -> Column {
    Column {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        comment: None,
    }
}

fn table(database: &str, name: &str) -> Table {
    Table {
        name: name.to_owned(),
        database_name: database.to_owned(),
        description: Some("all clicks".to_owned()),
        storage_descriptor: StorageDescriptor {
            columns: vec![column("id", "bigint"), column("tags", "map<string,array<int>>")],
            location: Some(format!("s3://lake/{name}/")),
            input_format: Some("in".to_owned()),
            serde_info: Some(SerDeInfo {
                serialization_library: Some("serde".to_owned()),
                ..SerDeInfo::default()
            }),
            ..StorageDescriptor::default()
        },
        partition_keys: vec![column("dt", "string"), column("hour", "int")],
        table_type: Some("EXTERNAL_TABLE".to_owned()),
        parameters: Parameters::from([("projection.enabled".to_owned(), "false".to_owned())]),
        ..Table::default()
    }
}

fn values(dt: &str, hour: u32) -> Vec<String> {
    vec![dt.to_owned(), hour.to_string()]
}

fn partition(dt: &str, hour: u32) -> Partition {
    let mut storage_descriptor = table("default", "t").storage_descriptor;
    storage_descriptor.location = Some(format!("s3://lake/t/{dt}/{hour}/"));
    Partition {
        values: values(dt, hour),
        storage_descriptor,
        ..Partition::default()
    }
}

async fn version(catalog: &SqliteCatalog, name: &str) -> i64 {
    catalog.table("default", name).await.unwrap().unwrap().version
}

#[tokio::test]
async fn a_new_catalog_has_the_default_database() {
    let names: Vec<_> = memory()
        .databases()
        .await
        .unwrap()
        .iter()
        .map(|d| d.name.clone())
        .collect();
    assert_eq!(names, ["default"]);
}

#[tokio::test]
async fn databases_keep_what_they_were_created_with() {
    let catalog = memory();
    let database = Database {
        name: "Sales".to_owned(),
        description: Some("d".to_owned()),
        location_uri: Some("s3://lake/sales/".to_owned()),
        parameters: Parameters::from([("k".to_owned(), "ü'\"".to_owned())]),
        ..Database::default()
    };
    catalog.create_database(database.clone(), false).await.unwrap();
    let read = catalog.database("SALES").await.unwrap().unwrap();
    let expected = Database {
        name: "sales".to_owned(),
        create_time: clock(),
        version: read.version,
        ..database.clone()
    };
    assert_eq!(*read, expected);
    assert!(
        matches!(catalog.create_database(database.clone(), false).await, Err(CatalogError::DatabaseExists(n)) if n == "sales")
    );
    catalog
        .create_database(
            Database {
                description: None,
                ..database
            },
            true,
        )
        .await
        .unwrap();
    assert_eq!(
        catalog.database("sales").await.unwrap().unwrap(),
        read,
        "IF NOT EXISTS changes nothing"
    );
}

#[tokio::test]
async fn reserved_and_unusable_names_are_refused() {
    let catalog = memory();
    for name in ["system", "Information_Schema", "a/b", ""] {
        let database = Database {
            name: name.to_owned(),
            ..Database::default()
        };
        let refused = catalog.create_database(database, true).await;
        assert!(
            matches!(refused, Err(CatalogError::InvalidName { .. })),
            "{name}: {refused:?}"
        );
    }
    assert!(matches!(
        catalog.create_table(table("default", "a\\b"), false).await,
        Err(CatalogError::InvalidName { .. })
    ));
    let mut twice = table("default", "t");
    twice.partition_keys.push(column("ID", "int"));
    let error = catalog.create_table(twice, false).await.unwrap_err();
    assert_eq!(error.to_string(), "table `default.t` has the column `id` twice");
}

#[tokio::test]
async fn updating_a_database_needs_its_current_version() {
    let catalog = memory();
    let old = catalog.database("default").await.unwrap().unwrap();
    let new = Database {
        description: Some("new".to_owned()),
        ..(*old).clone()
    };
    catalog.update_database(new.clone()).await.unwrap();
    let read = catalog.database("default").await.unwrap().unwrap();
    assert!(read.version > old.version);
    assert_eq!(read.description.as_deref(), Some("new"));
    assert!(matches!(
        catalog.update_database(new).await,
        Err(CatalogError::DatabaseChanged(_))
    ));
    let missing = Database {
        name: "nope".to_owned(),
        ..Database::default()
    };
    assert!(matches!(
        catalog.update_database(missing).await,
        Err(CatalogError::DatabaseNotFound(_))
    ));
}

#[tokio::test]
async fn a_database_with_tables_goes_only_by_cascade() {
    let catalog = memory();
    catalog.create_table(table("default", "t"), false).await.unwrap();
    catalog
        .add_partitions("default", "t", vec![partition("a", 1)], false)
        .await
        .unwrap();
    let refused = catalog.drop_database("default", false).await;
    assert!(
        matches!(refused, Err(CatalogError::DatabaseNotEmpty(_, 1))),
        "{refused:?}"
    );
    catalog.drop_database("default", true).await.unwrap();
    assert!(matches!(
        catalog.drop_database("default", true).await,
        Err(CatalogError::DatabaseNotFound(_))
    ));
    assert!(matches!(
        catalog.table_names("default").await,
        Err(CatalogError::DatabaseNotFound(_))
    ));
    assert!(matches!(
        catalog.tables("default").await,
        Err(CatalogError::DatabaseNotFound(_))
    ));
    let left = catalog
        .call(|db| {
            Ok(db.conn.query_row(
                "SELECT (SELECT count(*) FROM partitions) + (SELECT count(*) FROM descriptors)",
                [],
                |r| r.get::<_, i64>(0),
            )?)
        })
        .await;
    assert_eq!(left.unwrap(), 0);
}

#[tokio::test]
async fn tables_keep_what_they_were_created_with() {
    let catalog = memory();
    let mut given = table("Default", "Clicks");
    given.view_original_text = Some("/* Presto View: e30= */".to_owned());
    given.storage_descriptor.columns[0].name = "ID".to_owned();
    given.storage_descriptor.columns[0].comment = Some("key".to_owned());
    assert!(catalog.create_table(given.clone(), false).await.unwrap());
    let read = catalog.table("default", "CLICKS").await.unwrap().unwrap();
    let mut expected = given.clone();
    expected.database_name = "default".to_owned();
    expected.name = "clicks".to_owned();
    expected.storage_descriptor.columns[0].name = "id".to_owned();
    expected.create_time = clock();
    expected.version = read.version;
    assert_eq!(*read, expected);
    assert!(!catalog.create_table(given.clone(), true).await.unwrap());
    assert!(matches!(
        catalog.create_table(given.clone(), false).await,
        Err(CatalogError::TableExists(..))
    ));
    given.database_name = "nope".to_owned();
    assert!(matches!(
        catalog.create_table(given, true).await,
        Err(CatalogError::DatabaseNotFound(_))
    ));
    assert!(catalog.table("nope", "clicks").await.unwrap().is_none());
}

#[tokio::test]
async fn tables_are_listed_by_name() {
    let catalog = memory();
    for name in ["b", "c", "a"] {
        catalog.create_table(table("default", name), false).await.unwrap();
    }
    assert_eq!(catalog.table_names("default").await.unwrap(), ["a", "b", "c"]);
    let names: Vec<_> = catalog
        .tables("default")
        .await
        .unwrap()
        .iter()
        .map(|t| t.qualified_name())
        .collect();
    assert_eq!(names, ["default.a", "default.b", "default.c"]);
}

#[tokio::test]
async fn updating_a_table_needs_its_current_version() {
    let catalog = memory();
    catalog.create_table(table("default", "t"), false).await.unwrap();
    let old = catalog.table("default", "t").await.unwrap().unwrap();
    let mut new = (*old).clone();
    new.storage_descriptor.location = Some("s3://elsewhere/".to_owned());
    new.table_type = None;
    catalog.update_table(new.clone()).await.unwrap();
    let read = catalog.table("default", "t").await.unwrap().unwrap();
    assert!(read.version > old.version);
    assert_eq!(
        *read,
        Table {
            version: read.version,
            ..new.clone()
        }
    );
    assert!(matches!(
        catalog.update_table(new).await,
        Err(CatalogError::TableChanged(..))
    ));
    let missing = catalog.update_table(table("default", "nope")).await;
    assert!(matches!(missing, Err(CatalogError::TableNotFound(..))));
}

#[tokio::test]
async fn adding_partitions_does_not_lose_a_concurrent_alter_table() {
    let catalog = memory();
    catalog.create_table(table("default", "t"), false).await.unwrap();
    let read = catalog.table("default", "t").await.unwrap().unwrap();
    catalog
        .add_partitions("default", "t", vec![partition("a", 1)], false)
        .await
        .unwrap();
    catalog.update_table((*read).clone()).await.unwrap();
}

#[tokio::test]
async fn a_dropped_table_never_comes_back_with_an_old_version() {
    let catalog = memory();
    let mut seen = Vec::new();
    for _ in 0..3 {
        catalog.create_table(table("default", "t"), false).await.unwrap();
        seen.push(version(&catalog, "t").await);
        catalog.drop_table("default", "t").await.unwrap();
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    assert!(matches!(
        catalog.drop_table("default", "t").await,
        Err(CatalogError::TableNotFound(..))
    ));
}

#[tokio::test]
async fn a_recreated_table_has_none_of_the_old_partitions() {
    let catalog = memory();
    for _ in 0..2 {
        catalog.create_table(table("default", "t"), false).await.unwrap();
        assert!(catalog.partitions("default", "t").await.unwrap().is_empty());
        catalog
            .add_partitions("default", "t", vec![partition("a", 1)], false)
            .await
            .unwrap();
        assert_eq!(catalog.partitions("default", "t").await.unwrap().len(), 1);
        catalog.drop_table("default", "t").await.unwrap();
    }
    assert!(matches!(
        catalog.partitions("default", "t").await,
        Err(CatalogError::TableNotFound(..))
    ));
}

#[tokio::test]
async fn partitions_come_sorted_and_shared_until_they_change() {
    let catalog = memory();
    catalog.create_table(table("default", "t"), false).await.unwrap();
    let added = vec![partition("b", 1), partition("a", 2), partition("a", 1)];
    assert_eq!(
        catalog
            .add_partitions("default", "t", added, false)
            .await
            .unwrap(),
        3
    );
    let first = catalog.partitions("default", "t").await.unwrap();
    let listed: Vec<_> = first.iter().map(|p| p.values.clone()).collect();
    assert_eq!(listed, [values("a", 1), values("a", 2), values("b", 1)]);
    assert_eq!(
        first[0].storage_descriptor.location.as_deref(),
        Some("s3://lake/t/a/1/")
    );
    assert_eq!(first[0].create_time, clock());
    assert!(Arc::ptr_eq(
        &first,
        &catalog.partitions("Default", "T").await.unwrap()
    ));
    catalog
        .add_partitions("default", "t", vec![partition("c", 1)], false)
        .await
        .unwrap();
    let second = catalog.partitions("default", "t").await.unwrap();
    assert_eq!(second.len(), 4);
    catalog
        .drop_partitions("default", "t", vec![values("c", 1)], false)
        .await
        .unwrap();
    assert_eq!(catalog.partitions("default", "t").await.unwrap(), first);
}

#[tokio::test]
async fn partitions_have_columns_only_where_they_differ_from_the_tables() {
    let catalog = memory();
    catalog.create_table(table("default", "t"), false).await.unwrap();
    let mut own = partition("own", 1);
    own.storage_descriptor.columns.truncate(1);
    let own_columns = own.storage_descriptor.columns.clone();
    catalog
        .add_partitions("default", "t", vec![partition("same", 1), own], false)
        .await
        .unwrap();
    let read = catalog.partitions("default", "t").await.unwrap();
    assert_eq!(read[0].storage_descriptor.columns, own_columns);
    assert!(read[1].storage_descriptor.columns.is_empty());
    assert_eq!(read[1].storage_descriptor.input_format.as_deref(), Some("in"));
    // The table moves on; the partition keeps the schema it was added with.
    let mut new = (*catalog.table("default", "t").await.unwrap().unwrap()).clone();
    new.storage_descriptor.columns = own_columns;
    catalog.update_table(new).await.unwrap();
    let read = catalog.partitions("default", "t").await.unwrap();
    assert!(read[0].storage_descriptor.columns.is_empty());
    assert_eq!(
        read[1].storage_descriptor.columns,
        partition("same", 1).storage_descriptor.columns
    );
}

#[tokio::test]
async fn adding_partitions_is_all_or_nothing() {
    let catalog = memory();
    catalog.create_table(table("default", "t"), false).await.unwrap();
    catalog
        .add_partitions("default", "t", vec![partition("a", 1)], false)
        .await
        .unwrap();
    let error = catalog
        .add_partitions("default", "t", vec![partition("b", 1), partition("a", 1)], false)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "partition `dt=a/hour=1` of `default.t` already exists"
    );
    assert_eq!(catalog.partitions("default", "t").await.unwrap().len(), 1);
    let added = catalog
        .add_partitions("default", "t", vec![partition("b", 1), partition("a", 1)], true)
        .await;
    assert_eq!(added.unwrap(), 1);
    let short = Partition {
        values: vec!["x".to_owned()],
        ..Partition::default()
    };
    let error = catalog
        .add_partitions("default", "t", vec![partition("z", 1), short], true)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        CatalogError::PartitionArity {
            given: 1,
            keys: 2,
            ..
        }
    ));
    assert_eq!(catalog.partitions("default", "t").await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_unpartitioned_table_takes_no_partitions() {
    let catalog = memory();
    catalog
        .create_table(
            Table {
                partition_keys: Vec::new(),
                ..table("default", "t")
            },
            false,
        )
        .await
        .unwrap();
    let refused = catalog
        .add_partitions("default", "t", vec![Partition::default()], true)
        .await;
    assert!(
        matches!(
            refused,
            Err(CatalogError::PartitionArity {
                given: 0,
                keys: 0,
                ..
            })
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn dropping_partitions_is_all_or_nothing() {
    let catalog = memory();
    catalog.create_table(table("default", "t"), false).await.unwrap();
    catalog
        .add_partitions("default", "t", vec![partition("a", 1), partition("b", 1)], false)
        .await
        .unwrap();
    let both = vec![values("a", 1), values("x", 9)];
    let error = catalog
        .drop_partitions("default", "t", both.clone(), false)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "partition `dt=x/hour=9` of `default.t` does not exist"
    );
    assert_eq!(catalog.partitions("default", "t").await.unwrap().len(), 2);
    assert_eq!(
        catalog.drop_partitions("default", "t", both, true).await.unwrap(),
        1
    );
    assert_eq!(catalog.partitions("default", "t").await.unwrap().len(), 1);
}

#[tokio::test]
async fn updating_partitions_is_all_or_nothing_and_leaves_no_unused_descriptor() {
    let catalog = memory();
    catalog.create_table(table("default", "t"), false).await.unwrap();
    catalog
        .add_partitions("default", "t", vec![partition("a", 1), partition("b", 1)], false)
        .await
        .unwrap();
    let before = catalog.partitions("default", "t").await.unwrap();
    let moved = |dt| {
        let mut p = partition(dt, 1);
        p.storage_descriptor.location = Some("s3://moved/".to_owned());
        p.storage_descriptor.compressed = true;
        p
    };
    let error = catalog
        .update_partitions("default", "t", vec![moved("a"), moved("x")])
        .await
        .unwrap_err();
    assert!(matches!(error, CatalogError::PartitionNotFound(..)));
    assert_eq!(catalog.partitions("default", "t").await.unwrap(), before);
    catalog
        .update_partitions("default", "t", vec![moved("a"), moved("b")])
        .await
        .unwrap();
    let after = catalog.partitions("default", "t").await.unwrap();
    assert!(
        after
            .iter()
            .all(|p| p.storage_descriptor.location.as_deref() == Some("s3://moved/"))
    );
    assert!(after[0].version > before[0].version);
    let count = catalog.call(|db| {
        Ok(db
            .conn
            .query_row("SELECT count(*) FROM descriptors", [], |r| r.get::<_, i64>(0))?)
    });
    assert_eq!(count.await.unwrap(), 1);
}

#[tokio::test]
async fn partition_keys_stay_as_many_while_partitions_are_registered() {
    let catalog = memory();
    catalog.create_table(table("default", "t"), false).await.unwrap();
    catalog
        .add_partitions("default", "t", vec![partition("a", 1)], false)
        .await
        .unwrap();
    let mut fewer = (*catalog.table("default", "t").await.unwrap().unwrap()).clone();
    fewer.partition_keys.pop();
    assert!(matches!(
        catalog.update_table(fewer.clone()).await,
        Err(CatalogError::InvalidTable { .. })
    ));
    catalog
        .drop_partitions("default", "t", vec![values("a", 1)], false)
        .await
        .unwrap();
    catalog.update_table(fewer).await.unwrap();
}

#[tokio::test]
async fn a_hundred_thousand_partitions_share_one_descriptor() {
    let temp = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(temp.path(), clock).unwrap();
    catalog.create_table(table("default", "t"), false).await.unwrap();
    let many = (0..100_000)
        .map(|i| partition(&format!("d{i}"), i % 24))
        .collect();
    assert_eq!(
        catalog.add_partitions("default", "t", many, false).await.unwrap(),
        100_000
    );
    assert_eq!(catalog.partitions("default", "t").await.unwrap().len(), 100_000);
    let count = catalog.call(|db| {
        Ok(db
            .conn
            .query_row("SELECT count(*) FROM descriptors", [], |r| r.get::<_, i64>(0))?)
    });
    assert_eq!(count.await.unwrap(), 1);
}

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

#[tokio::test]
async fn a_request_that_panics_takes_only_itself_away() {
    let catalog = memory();
    let lost: Result<(), _> = catalog
        .call(|db| {
            db.change(|tx, _| {
                tx.execute("DELETE FROM databases", [])?;
                panic!("defect")
            })
        })
        .await;
    assert!(matches!(lost, Err(CatalogError::Closed)));
    assert_eq!(catalog.databases().await.unwrap().len(), 1, "rolled back");
}

#[tokio::test]
async fn a_call_dropped_before_its_turn_never_runs() {
    let catalog = memory();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let blocker = catalog.call(move |_| Ok(gate.recv().is_ok()));
    let mut blocker = Box::pin(blocker);
    let mut dropped = Box::pin(catalog.drop_database("default", true));
    // Polled once each: both are queued, the first holds the thread.
    assert!(futures_poll(&mut blocker).is_pending());
    assert!(futures_poll(&mut dropped).is_pending());
    drop(dropped);
    open.send(()).unwrap();
    assert!(blocker.await.unwrap());
    assert_eq!(catalog.databases().await.unwrap().len(), 1);
}

fn futures_poll<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
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
