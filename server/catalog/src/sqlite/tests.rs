//! Facts about databases, tables and the catalog's thread; fixtures of the files beside it.

use super::*;
use crate::model::{Column, Parameters, SerDeInfo, StorageDescriptor};

pub(super) fn clock() -> i64 {
    1_700_000_000
}

pub(super) fn memory() -> SqliteCatalog {
    SqliteCatalog::in_memory(clock).unwrap()
}

pub(super) fn column(name: &str, data_type: &str) -> Column {
    Column {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        comment: None,
    }
}

pub(super) fn table(database: &str, name: &str) -> Table {
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

pub(super) fn values(dt: &str, hour: u32) -> Vec<String> {
    vec![dt.to_owned(), hour.to_string()]
}

pub(super) fn partition(dt: &str, hour: u32) -> Partition {
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
