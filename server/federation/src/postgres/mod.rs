//! PostgreSQL: configuration, connections, what tables there are, and their rows as Arrow.
//!
//! Nothing connects before a name is asked for. All work is done in read-only transactions, and an unfinished one
//! is cancelled on the server when its stream is dropped.

mod aggregate;
mod catalog;
mod config;
mod connection;
mod connector;
mod copy;
mod database;
mod dynamic;
mod error;
mod exec;
mod expression;
mod filter;
mod mapping;
mod passthrough;
mod plan;
mod quoting;
mod ranges;
mod scan;
mod select;
mod snapshot;
mod socket;
mod table;
mod tap;
mod tls;
mod value;

pub use catalog::{RelationKind, RemoteColumn, RemoteTable};
pub use config::{Limits, NumericMapping, PostgresConfig, TlsMode};
pub use connection::Spawner;
pub use connector::PostgresConnector;
pub use database::Database;
pub use error::PostgresError;
pub use quoting::{identifier, literal};
pub use scan::{RemoteRows, RowsObserver, ScanRequest};
