//! Facts about importing dumps of the AWS CLI.

use super::*;
use crate::sqlite::SqliteCatalog;

/// As `aws glue get-databases` prints it.
const DATABASES: &str = r#"{
    "DatabaseList": [
        {"Name": "Sales", "Description": "orders", "LocationUri": "s3://lake/sales/", "Parameters": {"a": "b"},
         "CreateTime": "2024-01-01T00:00:00+00:00", "CatalogId": "123456789012",
         "CreateTableDefaultPermissions": [{"Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"},
                                            "Permissions": ["ALL"]}]},
        {"Name": "empty"}
    ]
}"#;

/// As `aws glue get-tables` prints it.
const TABLES: &str = r#"{
    "TableList": [
        {"Name": "Events", "DatabaseName": "Sales", "Owner": "hadoop", "CreateTime": 1704067200.0,
         "UpdateTime": 1704067200.0, "Retention": 0, "VersionId": "3", "IsRegisteredWithLakeFormation": false,
         "StorageDescriptor": {
            "Columns": [{"Name": "Id", "Type": "bigint"}, {"Name": "tags", "Type": "array<string>", "Comment": "c",
                         "Parameters": {"iceberg.field.id": "2"}}],
            "Location": "s3://lake/events/", "Compressed": false, "NumberOfBuckets": -1,
            "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
            "SerdeInfo": {"SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe",
                          "Parameters": {"serialization.format": "1"}},
            "BucketColumns": [], "SortColumns": [], "Parameters": {}, "StoredAsSubDirectories": false},
         "PartitionKeys": [{"Name": "dt", "Type": "string"}],
         "TableType": "EXTERNAL_TABLE", "Parameters": {"classification": "json"}, "CatalogId": "123456789012"},
        {"Name": "v", "DatabaseName": "sales", "TableType": "VIRTUAL_VIEW", "PartitionKeys": null,
         "ViewOriginalText": "/* Presto View: e30= */", "ViewExpandedText": "/* Presto View */",
         "Parameters": {"presto_view": "true"}}
    ],
    "NextToken": "more"
}"#;

fn partition(dt: &str, location: &str) -> String {
    format!(
        r#"{{"Values": ["{dt}"], "DatabaseName": "Sales", "TableName": "Events", "CreationTime": 1704067200.0,
            "StorageDescriptor": {{"Columns": [{{"Name": "Id", "Type": "bigint"}},
                {{"Name": "tags", "Type": "array<string>", "Comment": "c"}}], "Location": "{location}"}},
            "Parameters": {{}}, "CatalogId": "123456789012"}}"#
    )
}

fn partitions(rows: &[String]) -> String {
    format!(r#"{{"Partitions": [{}]}}"#, rows.join(","))
}

fn memory() -> SqliteCatalog {
    SqliteCatalog::in_memory(|| 7).unwrap()
}

async fn import(catalog: &SqliteCatalog, documents: &[&str]) -> ImportReport {
    let documents = documents
        .iter()
        .enumerate()
        .map(|(i, json)| (format!("f{i}.json"), (*json).to_owned()));
    import_glue_json(catalog, documents.collect()).await
}

fn tally(created: usize, updated: usize, unchanged: usize) -> Tally {
    Tally {
        created,
        updated,
        unchanged,
    }
}

#[tokio::test]
async fn dumps_import_in_any_order_and_again_without_change() {
    let catalog = memory();
    let pages = format!(
        "{}\n{}",
        partitions(&[partition("1", "s3://a/")]),
        partitions(&[partition("2", "s3://b/")])
    );
    let documents = [pages.as_str(), TABLES, DATABASES];
    let report = import(&catalog, &documents).await;
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.notes, Vec::<String>::new());
    assert_eq!(report.databases, tally(2, 0, 0));
    assert_eq!(report.tables, tally(2, 0, 0));
    assert_eq!(report.partitions, tally(2, 0, 0));

    let events = catalog.table("sales", "events").await.unwrap().unwrap();
    assert_eq!(events.storage_descriptor.columns[0].name, "id");
    assert_eq!(events.storage_descriptor.columns[1].comment.as_deref(), Some("c"));
    let serde = events.storage_descriptor.serde_info.as_ref().unwrap();
    assert_eq!(
        serde.serialization_library.as_deref(),
        Some("org.openx.data.jsonserde.JsonSerDe")
    );
    assert_eq!(events.parameters["classification"], "json");
    let sales = catalog.database("sales").await.unwrap().unwrap();
    assert_eq!(sales.location_uri.as_deref(), Some("s3://lake/sales/"));
    let registered = catalog.partitions("sales", "events").await.unwrap();
    assert_eq!(
        registered[1].storage_descriptor.location.as_deref(),
        Some("s3://b/")
    );

    let again = import(&catalog, &documents).await;
    let nothing_new = ImportReport {
        databases: tally(0, 0, 2),
        tables: tally(0, 0, 2),
        partitions: tally(0, 0, 2),
        ..ImportReport::default()
    };
    assert_eq!(again, nothing_new);
    assert_eq!(
        catalog.table("sales", "events").await.unwrap().unwrap().version,
        events.version
    );
}

#[tokio::test]
async fn what_changed_is_replaced() {
    let catalog = memory();
    let old = partitions(&[partition("1", "s3://a/"), partition("2", "s3://b/")]);
    import(&catalog, &[DATABASES, TABLES, &old]).await;
    let new = partitions(&[
        partition("1", "s3://a/"),
        partition("2", "s3://moved/"),
        partition("3", "s3://c/"),
    ]);
    let report = import(
        &catalog,
        &[
            &DATABASES.replace("orders", "all orders"),
            &TABLES.replace("array<string>", "array<int>"),
            &new,
        ],
    )
    .await;
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.databases, tally(0, 1, 1));
    assert_eq!(report.tables, tally(0, 1, 1));
    assert_eq!(report.partitions, tally(1, 1, 1));
    let registered = catalog.partitions("sales", "events").await.unwrap();
    assert_eq!(
        registered[1].storage_descriptor.location.as_deref(),
        Some("s3://moved/")
    );
    assert_eq!(
        registered[0].storage_descriptor.columns[1].data_type, "array<string>",
        "its own schema"
    );
}

#[tokio::test]
async fn single_object_dumps_are_read_too() {
    let catalog = memory();
    let one = format!(r#"{{"Partition": {}}}"#, partition("1", "s3://a/"));
    let table = r#"{"Table": {"Name": "events", "DatabaseName": "sales", "PartitionKeys": [{"Name": "dt", "Type": "date"}]}}"#;
    let report = import(&catalog, &[r#"{"Database": {"Name": "sales"}}"#, table, &one]).await;
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(
        (report.databases, report.tables, report.partitions),
        (tally(1, 0, 0), tally(1, 0, 0), tally(1, 0, 0))
    );
}

#[tokio::test]
async fn a_table_brings_its_database_when_no_dump_has_it() {
    let catalog = memory();
    let report = import(&catalog, &[TABLES]).await;
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(
        (report.databases, report.tables),
        (tally(1, 0, 0), tally(2, 0, 0))
    );
    assert_eq!(
        report.notes,
        ["f0.json: document 1, TableList[0]: its database `sales` was in no document so far; created"]
    );
}

#[tokio::test]
async fn bad_rows_are_reported_by_place_and_the_rest_goes_on() {
    let catalog = memory();
    let databases = r#"{"DatabaseList": [{"Name": "System"}, {"Name": "ok"}, {"Name": 5}, {"Name": "a/b"}]}"#;
    let tables = r#"{"TableList": [
        {"Name": "t", "DatabaseName": "information_schema"},
        {"Name": "twice", "DatabaseName": "ok", "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "int"}]},
         "PartitionKeys": [{"Name": "A", "Type": "int"}]},
        {"Name": "p", "DatabaseName": "ok", "PartitionKeys": [{"Name": "dt", "Type": "string"}]}
    ]}"#;
    let rows = r#"{"Partitions": [
        {"Values": ["1"], "DatabaseName": "ok", "TableName": "p"},
        {"Values": ["1", "2"], "DatabaseName": "ok", "TableName": "p"},
        {"Values": ["1"], "DatabaseName": "ok", "TableName": "gone"},
        {"Values": ["2"], "DatabaseName": "ok", "TableName": "gone"},
        {"Values": ["1"], "TableName": "p"}
    ]}"#;
    let report = import(&catalog, &[databases, tables, rows]).await;
    assert_eq!(
        (report.databases, report.tables, report.partitions),
        (tally(1, 0, 0), tally(1, 0, 0), tally(1, 0, 0))
    );
    let expected = [
        "f0.json: document 1, DatabaseList[2]: invalid type: integer `5`, expected a string",
        "f2.json: document 1, Partitions[4]: DatabaseName is missing",
        "f0.json: document 1, DatabaseList[0]: `system` is not a usable database name: it is reserved",
        "f0.json: document 1, DatabaseList[3]: `a/b` is not a usable database name: it has a slash or backslash",
        "f1.json: document 1, TableList[0]: `information_schema` is not a usable database name: it is reserved",
        "f1.json: document 1, TableList[1]: table `ok.twice` has the column `a` twice",
        "f2.json: document 1, Partitions[2] and 1 more: table `ok.gone` does not exist",
        "f2.json: document 1, Partitions[1]: partition of `ok.p` has 2 values, the table has 1 partition keys",
    ];
    assert_eq!(report.problems, expected);
}

#[tokio::test]
async fn files_that_are_no_dump_are_reported() {
    let catalog = memory();
    let cut = &TABLES[..TABLES.len() / 2];
    let report = import(
        &catalog,
        &[
            "",
            "[1]",
            r#"{"Functions": []}"#,
            r#"{"TableList": {}} {"Table": []}"#,
            cut,
        ],
    )
    .await;
    let known = "has none of DatabaseList, Database, TableList, Table, Partitions, Partition";
    assert_eq!(report.problems[0], "f0.json: empty");
    assert_eq!(report.problems[1], "f1.json: document 1: not a JSON object");
    assert_eq!(report.problems[2], format!("f2.json: document 1: {known}"));
    assert_eq!(report.problems[3], "f3.json: document 1, TableList: not a list");
    assert_eq!(report.problems[4], "f3.json: document 2, Table: not an object");
    assert!(
        report.problems[5].starts_with("f4.json: document 1: EOF"),
        "{}",
        report.problems[5]
    );
    assert_eq!(report.tables, Tally::default());
}

#[tokio::test]
async fn the_same_row_twice_counts_once_and_the_later_one_wins() {
    let catalog = memory();
    import(&catalog, &[TABLES, &partitions(&[partition("1", "s3://a/")])]).await;
    let rows = partitions(&[
        partition("1", "s3://b/"),
        partition("1", "s3://a/"),
        partition("2", "s3://c/"),
        partition("2", "s3://d/"),
    ]);
    let report = import(&catalog, &[&rows]).await;
    assert_eq!(report.partitions, tally(1, 0, 1));
    let registered = catalog.partitions("sales", "events").await.unwrap();
    let locations: Vec<_> = registered
        .iter()
        .filter_map(|p| p.storage_descriptor.location.as_deref())
        .collect();
    assert_eq!(locations, ["s3://a/", "s3://d/"]);
}

#[tokio::test]
async fn a_type_that_is_not_hives_is_kept_and_noted() {
    let catalog = memory();
    let report = import(&catalog, &[&TABLES.replace("bigint", "interval")]).await;
    assert_eq!(report.problems, Vec::<String>::new());
    let note = "f0.json: document 1, TableList[0]: column `id`: `interval` is not a Hive type: unknown type `interval` at character 1";
    assert!(report.notes.contains(&note.to_owned()), "{:?}", report.notes);
    assert!(catalog.table("sales", "events").await.unwrap().is_some());
}

#[tokio::test]
async fn the_report_reads_well_and_stays_short() {
    let report = ImportReport {
        databases: tally(1, 0, 2),
        problems: vec!["a.json: bad".to_owned()],
        notes: (0..60).map(|i| format!("note {i}")).collect(),
        ..ImportReport::default()
    };
    let text = report.to_string();
    assert!(
        text.starts_with("databases  1 created, 0 updated, 2 unchanged\ntables     0 created"),
        "{text}"
    );
    assert!(
        text.contains("\n1 problems:\n  a.json: bad\n60 notes:\n  note 0\n"),
        "{text}"
    );
    assert!(text.ends_with("  note 49\n  ... and 10 more\n"), "{text}");
}
