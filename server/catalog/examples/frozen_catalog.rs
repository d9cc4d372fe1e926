//! Writes the small catalog that `testdata/catalog/v<N>/catalog.db` freezes, for schema version N of the day:
//! `cargo run -p owlake-catalog --example frozen_catalog -- testdata/catalog/v1/catalog.db`
//!
//! A frozen file is never written again: later releases must open what an earlier one wrote.

use owlake_catalog::model::Parameters;
use owlake_catalog::{
    CatalogStore, Column, Database, Partition, SerDeInfo, SqliteCatalog, StorageDescriptor, Table,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: frozen_catalog FILE")?;
    tokio::runtime::Builder::new_current_thread()
        .build()?
        .block_on(write(file.as_ref()))
}

async fn write(file: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    // 2026-01-01T00:00:00Z
    let catalog = SqliteCatalog::in_memory(|| 1_767_225_600)?;
    let sales = Database {
        name: "sales".to_owned(),
        description: Some("Orders and clicks".to_owned()),
        location_uri: Some("s3://acme-lake/".to_owned()),
        ..Database::default()
    };
    catalog.create_database(sales, false).await?;
    catalog.create_table(events(), false).await?;
    catalog.create_table(view(), false).await?;
    let partition = |dt: &str, columns: usize| {
        let mut storage_descriptor = events().storage_descriptor;
        storage_descriptor.columns.truncate(columns);
        storage_descriptor.location = Some(format!("s3://acme-lake/events/dt={dt}/"));
        Partition {
            values: vec![dt.to_owned()],
            storage_descriptor,
            ..Partition::default()
        }
    };
    let partitions = vec![partition("2026-01-01", 2), partition("2026-01-02", 1)];
    catalog
        .add_partitions("sales", "events", partitions, false)
        .await?;
    Ok(catalog.backup(file).await?)
}

fn column(name: &str, data_type: &str, comment: Option<&str>) -> Column {
    Column {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        comment: comment.map(str::to_owned),
    }
}

fn events() -> Table {
    const PARQUET: &str = "org.apache.hadoop.hive.ql.io.parquet";
    Table {
        name: "events".to_owned(),
        database_name: "sales".to_owned(),
        storage_descriptor: StorageDescriptor {
            columns: vec![
                column("id", "bigint", None),
                column(
                    "event",
                    "struct<kind:string,tags:array<string>>",
                    Some("what happened"),
                ),
            ],
            location: Some("s3://acme-lake/events/".to_owned()),
            input_format: Some(format!("{PARQUET}.MapredParquetInputFormat")),
            output_format: Some(format!("{PARQUET}.MapredParquetOutputFormat")),
            serde_info: Some(SerDeInfo {
                serialization_library: Some(format!("{PARQUET}.serde.ParquetHiveSerDe")),
                ..SerDeInfo::default()
            }),
            ..StorageDescriptor::default()
        },
        partition_keys: vec![column("dt", "string", None)],
        table_type: Some("EXTERNAL_TABLE".to_owned()),
        parameters: Parameters::from([("classification".to_owned(), "parquet".to_owned())]),
        ..Table::default()
    }
}

fn view() -> Table {
    Table {
        name: "recent_events".to_owned(),
        database_name: "sales".to_owned(),
        storage_descriptor: StorageDescriptor {
            columns: vec![column("id", "bigint", None)],
            ..StorageDescriptor::default()
        },
        table_type: Some("VIRTUAL_VIEW".to_owned()),
        view_original_text: Some("/* Presto View: e30= */".to_owned()),
        view_expanded_text: Some("/* Presto View */".to_owned()),
        parameters: Parameters::from([("presto_view".to_owned(), "true".to_owned())]),
        ..Table::default()
    }
}
