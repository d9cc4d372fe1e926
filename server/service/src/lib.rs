//! Athena-like SQL over Arrow Flight SQL, with an exact receipt for every query.
//!
//! [`Lake`] is the library. The feature `server`, on by default, adds the Flight SQL server, the binary `owlake` (which
//! is [`run`] on parsed arguments) and the demo. The rooms below the service are crates of their own; `wiring.rs` is
//! the one file that sees them all.

#[cfg(feature = "server")]
pub mod args;
#[cfg(feature = "server")]
pub mod auth;
mod aws;
mod catalogs;
pub mod config;
#[cfg(feature = "server")]
pub mod demo;
#[cfg(feature = "server")]
mod flight;
#[cfg(feature = "server")]
mod http;
mod lake;
#[cfg(feature = "server")]
mod observers;
#[cfg(feature = "server")]
mod run;
#[cfg(feature = "server")]
mod serve_lake;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod telemetry;
#[cfg(feature = "server")]
mod tls;
mod webhook;
mod wiring;

pub use arrow;
#[cfg(feature = "server")]
pub use flight::FlightFront;
pub use lake::{Error, Lake, LakeBuilder, Query, QueryBuilder};
pub use owlake_engine::{EngineConfig, Estimate, EstimateRow, WorkgroupConfig, WorkgroupState};
pub use owlake_fault::{Code, Fault, Kind};
pub use owlake_metering::{
    Counters, LedgerOptions, QueryState, Receipt, RemoteQuery, StatementType, TableScan, Usd,
};
pub use owlake_scan::{S3Access, ScanConfig, StoreModel};
#[cfg(feature = "server")]
pub use run::run;
#[cfg(feature = "server")]
pub use tls::ServerTls;
