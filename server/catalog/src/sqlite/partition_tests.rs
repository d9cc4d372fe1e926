//! Facts about registered partitions.

use super::partitions::PartitionCache;
use super::rows::TableRow;
use super::tests::{clock, memory, partition, table, values};
use super::*;

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

#[test]
fn lists_are_kept_up_to_a_limit_and_the_least_used_goes_first() {
    let row = |id, version| TableRow {
        id,
        partitions_version: version,
        table: table("default", "t"),
    };
    let list = |count| Arc::new(vec![Partition::default(); count]);
    let mut cache = PartitionCache::new(10);
    cache.put(&row(1, 1), &list(4));
    cache.put(&row(2, 2), &list(4));
    assert!(cache.get(&row(1, 1)).is_some());
    cache.put(&row(3, 3), &list(4));
    assert!(cache.get(&row(2, 2)).is_none(), "least recently used");
    assert!(cache.get(&row(1, 1)).is_some() && cache.get(&row(3, 3)).is_some());
    cache.put(&row(4, 4), &list(11));
    assert!(cache.get(&row(4, 4)).is_none(), "too large to keep");
    assert!(cache.get(&row(1, 5)).is_none(), "another version");
    cache.put(&row(1, 5), &list(7));
    assert!(cache.get(&row(1, 5)).is_some() && cache.get(&row(3, 3)).is_none());
}
