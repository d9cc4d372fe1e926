//! Athena-like SQL over Arrow Flight SQL, with an exact receipt for every query.
//!
//! [`Lake`] is the library; the binary `owlake` is [`run`] on parsed arguments. The rooms below the service are
//! crates of their own; `wiring.rs` is the one file that sees them all.

pub mod args;
pub mod auth;
mod aws;
pub mod config;
pub mod demo;
mod flight;
mod http;
mod lake;
mod observers;
mod run;
mod server;
mod telemetry;
mod tls;
mod wiring;

pub use arrow;
pub use flight::FlightFront;
pub use lake::{Error, Lake, LakeBuilder, Query, QueryBuilder};
pub use owlake_engine::{EngineConfig, WorkgroupConfig};
pub use owlake_fault::{Code, Fault, Kind};
pub use owlake_metering::{Counters, QueryState, Receipt, StatementType, TableScan, Usd};
pub use owlake_scan::{S3Access, ScanConfig, StoreModel};
pub use run::run;
