//! Which tables are read and by what; partitions with a SerDe of their own.

use super::*;

/// A table as a crawler of Glue describes it.
fn crawled(serde: &str, parameters: &str, columns: &str) -> Table {
    let json = format!(
        r#"{{
          "Name": "t", "DatabaseName": "db", "TableType": "EXTERNAL_TABLE",
          "PartitionKeys": [{{"Name": "dt", "Type": "string"}}],
          "Parameters": {{"classification": "csv", "compressionType": "none", "delimiter": ",", "typeOfData": "file",
            "skip.header.line.count": "1", "areColumnsQuoted": "false", "recordCount": "12", "sizeKey": "345"}},
          "StorageDescriptor": {{
            "Columns": {columns}, "Location": "s3://b/t/", "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            "SerdeInfo": {{"SerializationLibrary": "{serde}", "Parameters": {parameters}}}
          }}
        }}"#
    );
    serde_json::from_str(&json).unwrap()
}

const COLUMNS: &str = r#"[{"Name": "a", "Type": "bigint"}, {"Name": "b", "Type": "string"}]"#;

fn rows(table: &Table) -> std::sync::Arc<RowFormat> {
    match TableFormat::of(table).unwrap() {
        TableFormat::Rows(format) => format,
        TableFormat::Parquet => panic!("not of lines"),
    }
}

#[test]
fn tables_of_a_crawler_are_read() {
    for (serde, parameters) in [
        (LAZY_SIMPLE_SERDE, r#"{"field.delim": ","}"#),
        (OPEN_CSV_SERDE, r#"{"separatorChar": ",", "quoteChar": "\""}"#),
        (OPENX_JSON_SERDE, r#"{"paths": "a,b"}"#),
        ("org.apache.hive.hcatalog.data.JsonSerDe", "{}"),
    ] {
        let format = rows(&crawled(serde, parameters, COLUMNS));
        assert_eq!(format.header_lines, 1, "{serde}");
        assert_eq!(format.columns, [HiveType::BigInt, HiveType::String], "{serde}");
        assert!(format.splits());
    }
}

#[test]
fn what_is_not_read_is_named() {
    for (serde, named) in [
        ("com.amazonaws.glue.serde.GrokSerde", "GrokSerde"),
        ("com.amazon.emr.hive.serde.CloudTrailSerde", "CloudTrailSerde"),
        ("org.apache.hadoop.hive.ql.io.orc.OrcSerde", "OrcSerde"),
    ] {
        let error = check_format(&crawled(serde, "{}", COLUMNS))
            .unwrap_err()
            .to_string();
        assert!(error.contains(named) && error.contains("db.t"), "{error}");
    }
    let mut table = crawled(LAZY_SIMPLE_SERDE, "{}", COLUMNS);
    table.storage_descriptor.input_format =
        Some("org.apache.hadoop.mapred.SequenceFileInputFormat".to_owned());
    let error = check_format(&table).unwrap_err().to_string();
    assert!(error.contains("SequenceFileInputFormat"), "{error}");
}

fn partition(table: &Table) -> Partition {
    Partition {
        values: vec!["2024-01-01".to_owned()],
        storage_descriptor: table.storage_descriptor.clone(),
        ..Partition::default()
    }
}

#[test]
fn a_partition_is_read_by_its_own_properties() {
    let table = crawled(LAZY_SIMPLE_SERDE, r#"{"field.delim": ","}"#, COLUMNS);
    let format = rows(&table);
    let mut same = partition(&table);
    let of = |p: &Partition| format.of_partition(&table, p);
    assert!(std::sync::Arc::ptr_eq(&of(&same).unwrap(), &format));
    same.storage_descriptor = StorageDescriptor::default();
    assert!(std::sync::Arc::ptr_eq(&of(&same).unwrap(), &format));

    let tabs = crawled(LAZY_SIMPLE_SERDE, r#"{"field.delim": "\t"}"#, COLUMNS);
    assert_eq!(of(&partition(&tabs)).unwrap(), rows(&tabs));
    let json = crawled(OPENX_JSON_SERDE, "{}", COLUMNS);
    assert_eq!(of(&partition(&json)).unwrap(), rows(&json));
    let parquet = of(&partition(&crawled(PARQUET_SERDE, "{}", COLUMNS)))
        .unwrap_err()
        .to_string();
    assert!(parquet.contains("dt=2024-01-01"), "{parquet}");
}

#[test]
fn a_partition_whose_columns_have_other_types_is_refused() {
    let table = crawled(LAZY_SIMPLE_SERDE, "{}", COLUMNS);
    let other = crawled(LAZY_SIMPLE_SERDE, "{}", r#"[{"Name": "a", "Type": "string"}]"#);
    let error = rows(&table).of_partition(&table, &partition(&other)).unwrap_err();
    assert!(matches!(error, ScanError::SchemaMismatch { .. }), "{error}");
}

#[test]
fn a_partition_of_a_parquet_table_with_another_serde_is_refused_by_name() {
    let table = crawled(PARQUET_SERDE, "{}", COLUMNS);
    let check = |p: &Partition| check_parquet_partition(&table, p);
    assert!(check(&partition(&table)).is_ok());
    let bare = Partition {
        storage_descriptor: StorageDescriptor::default(),
        ..partition(&table)
    };
    assert!(check(&bare).is_ok());
    let text = partition(&crawled(OPEN_CSV_SERDE, "{}", COLUMNS));
    let error = check(&text).unwrap_err().to_string();
    for named in ["db.t", "OpenCSVSerde", "dt=2024-01-01", "Parquet"] {
        assert!(error.contains(named), "{error}");
    }
}
