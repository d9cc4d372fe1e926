//! The service through its real wire: one binary, one module per promise.

#![allow(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests spawn, read the environment and stop at the first surprise; nobody imports them"
)]

mod accounts;
mod avro_files;
mod bad_input;
mod caches;
mod caches_disk;
mod cancel;
mod cancel_operators;
mod cap;
mod column_types;
mod doubtful_files;
mod encryption;
mod estimate;
mod federation;
mod federation_catalogs;
mod federation_joins;
mod federation_query;
mod federation_trouble;
mod found_files;
mod freshness;
mod harness;
mod io_counts;
mod ledger;
mod lifecycle;
mod limits;
mod listings;
mod memory;
mod namesakes;
mod null_structs;
mod parameters;
mod process;
mod projection;
mod pushdown;
mod random_queries;
mod reconcile;
mod reuse;
mod row_formats;
mod schedules;
mod schema_evolution;
mod security;
mod slt;
mod smoke;
