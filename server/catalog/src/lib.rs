//! Glue's data model, the embedded catalog, Hive types and partition projection.
//!
//! Knows no SQL engine, no wire protocol and no cloud SDK: everything here builds and tests in seconds.

pub mod data_dir;
pub mod domain;
mod error;
pub mod hidden_columns;
pub mod hive_type;
mod import;
pub mod model;
pub mod names;
pub mod projection;
pub mod sqlite;
mod store;

pub use data_dir::DataDir;
pub use domain::{Bound, Domain, Domains, Interval, PartitionValue};
pub use error::CatalogError;
pub use hive_type::{HiveType, StructField};
pub use import::{ImportReport, Tally, import_glue_json};
pub use model::{Column, Database, Partition, SerDeInfo, StorageDescriptor, Table};
pub use projection::{Expansion, ProjectedPartition, ProjectionSpec};
pub use sqlite::SqliteCatalog;
pub use store::CatalogStore;
