//! Glue's data model: databases, tables, storage descriptors, columns, partitions.
//!
//! Names and nesting follow the Glue API (`GetTable`, `GetPartitions`), so that its JSON reads into
//! these structs as it is. No behaviour lives here beyond small accessors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Key/value parameters as Glue stores them.
pub type Parameters = BTreeMap<String, String>;

/// A Glue database. `catalog_id` and `version` belong to every catalog row (architecture 4).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Database {
    /// Lower-case name, unique in its catalog.
    pub name: String,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Default location of its tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location_uri: Option<String>,
    /// DBPROPERTIES.
    pub parameters: Parameters,
    /// Seconds since the epoch.
    #[serde(skip)]
    pub create_time: i64,
    /// Grows with each change of this row; unique together with the name for the catalog's life.
    #[serde(skip)]
    pub version: i64,
}

/// A Glue table: `storage_descriptor.columns` are the data columns, `partition_keys` come after them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Table {
    /// Lower-case name, unique in its database.
    pub name: String,
    /// Lower-case database name.
    pub database_name: String,
    /// COMMENT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Owner as Glue stores it; no meaning here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Columns, location, formats, SerDe.
    pub storage_descriptor: StorageDescriptor,
    /// Partition columns in order.
    pub partition_keys: Vec<Column>,
    /// `EXTERNAL_TABLE`, `VIRTUAL_VIEW`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_type: Option<String>,
    /// View text as Athena stores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view_original_text: Option<String>,
    /// Expanded view text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view_expanded_text: Option<String>,
    /// TBLPROPERTIES.
    pub parameters: Parameters,
    /// Seconds since the epoch.
    #[serde(skip)]
    pub create_time: i64,
    /// Grows with each change of this row (not with those of its partitions); unique together with the name for the catalog's life.
    #[serde(skip)]
    pub version: i64,
}

impl Table {
    /// `database.table`.
    pub fn qualified_name(&self) -> String {
        format!("{}.{}", self.database_name, self.name)
    }

    /// Whether `projection.enabled` is `true` (case-insensitive, anything else is off).
    pub fn projection_enabled(&self) -> bool {
        self.parameters
            .get("projection.enabled")
            .is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }
}

/// Where and how the data of a table or partition is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StorageDescriptor {
    /// Data columns.
    pub columns: Vec<Column>,
    /// `s3://bucket/prefix/` or `file:///...`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Hadoop input format class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_format: Option<String>,
    /// Hadoop output format class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_format: Option<String>,
    /// SerDe class and its parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serde_info: Option<SerDeInfo>,
    /// CLUSTERED BY count, -1 or 0 for none.
    pub number_of_buckets: i32,
    /// CLUSTERED BY columns.
    pub bucket_columns: Vec<String>,
    /// Free parameters.
    pub parameters: Parameters,
    /// Whether Glue was told the data is compressed.
    pub compressed: bool,
    /// Hive flag.
    pub stored_as_sub_directories: bool,
}

/// SerDe class and its SERDEPROPERTIES.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SerDeInfo {
    /// Name, unused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Class name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serialization_library: Option<String>,
    /// SERDEPROPERTIES.
    pub parameters: Parameters,
}

/// One column; `data_type` is Hive type text such as `array<struct<a:int>>`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Column {
    /// Lower-case name.
    pub name: String,
    /// Hive type text; [`crate::HiveType::parse`] reads it.
    #[serde(rename = "Type")]
    pub data_type: String,
    /// COMMENT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// One registered partition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Partition {
    /// One text per partition key, in key order; `__HIVE_DEFAULT_PARTITION__` is NULL.
    pub values: Vec<String>,
    /// Its own schema and location. Empty `columns` mean the table's columns; a store also hands out
    /// none where they are equal, so that 100,000 partitions do not hold 100,000 copies of one schema.
    pub storage_descriptor: StorageDescriptor,
    /// Free parameters.
    pub parameters: Parameters,
    /// Seconds since the epoch.
    #[serde(skip)]
    pub create_time: i64,
    /// Grows with each change of this row; unique together with the values for the catalog's life.
    #[serde(skip)]
    pub version: i64,
}

impl Partition {
    /// `dt=2024-01-01/hour=05`, as SHOW PARTITIONS and messages spell it; nothing is escaped.
    pub fn spec(keys: &[Column], values: &[String]) -> String {
        let parts: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(i, value)| match keys.get(i) {
                Some(key) => format!("{}={value}", key.name),
                None => value.clone(),
            })
            .collect();
        parts.join("/")
    }
}

/// Hive's text for a NULL partition value.
pub const HIVE_DEFAULT_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";
