//! Glue tables as DataFusion `TableProvider`s: pruning, listing, readers, caches, schema adaptation.
//!
//! The only room that turns a location into requests. Knows the catalog and the meter, no wire protocol.

mod account;
mod advice;
mod ahead;
pub mod cache;
mod config;
mod context;
mod error;
mod estimate;
mod file_version;
mod files;
mod format;
mod guarded;
mod identity;
mod listing;
pub mod location;
mod nested;
mod parquet_scan;
mod partitions;
mod pruning;
mod range_set;
mod range_source;
mod report;
mod stores;
mod table;

pub use advice::{ScanAdvice, advise};
pub use ahead::AheadStatus;
pub use config::{ScanConfig, StoreModel};
pub use context::{ScanContext, ScanNode};
pub use error::ScanError;
pub use estimate::{Bounds, Confidence, EstimateDepth, FooterBudget, Indexes, ScanEstimate, estimate};
pub use file_version::{FileVersion, Identity};
pub use format::{check_format, describes_itself};
pub use guarded::{cannot_fail, guarded};
pub use identity::ScanIdentity;
pub use parquet_scan::{
    FilterRows, InFile, SCAN_URL, file_of, footer_schema, is_timing_dependent, probe_filters, read_ahead,
    refuse_over_cap,
};
pub use range_source::InFlight;
pub use stores::{QueryStores, S3Access, Stores};
pub use table::{GlueTable, table_schema};
