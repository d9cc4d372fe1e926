//! Parquet: footers, the metered reader, schema adaptation, statistics, and the scan plan built from them.

pub(crate) mod adapter;
pub(crate) mod by_index;
pub(crate) mod chunks;
pub(crate) mod declared;
pub(crate) mod drained;
pub(crate) mod dry;
pub(crate) mod encrypted;
pub(crate) mod footer;
pub(crate) mod late;
mod learned;
pub(crate) mod named;
pub(crate) mod page_index;
pub(crate) mod plan;
pub(crate) mod prefetch;
pub(crate) mod proof;
pub(crate) mod reader;
pub(crate) mod rounding;
mod row_filter;
pub(crate) mod schema;
pub(crate) mod statistics;
mod trusted;

pub use footer::footer_schema;
pub use named::{InFile, file_of};
pub use plan::SCAN_URL;
pub use prefetch::read_ahead;
pub use proof::{is_timing_dependent, refuse_over_cap};
pub use row_filter::{FilterRows, probe_filters};
