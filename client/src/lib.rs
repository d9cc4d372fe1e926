//! Typed Owlake client over Flight SQL: connect, query, prepared statements and the receipt of every query.
//!
//! The shell of both binaries (one-shot, script, REPL, output formats) is [`cli`]. The engine is never seen from here.

pub mod cli;
mod client;
mod error;
mod metadata;
mod options;
mod prepared;
mod session;
mod stream;
mod wire;

pub use client::{Client, tune_endpoint};
pub use error::{ClientError, Failure};
pub use metadata::TableName;
pub use options::{ConnectOptions, DEFAULT_PORT, OptionsError, ServerUrl};
pub use prepared::PreparedStatement;
pub use stream::QueryStream;

pub use owlake_proto::v1::QueryReceipt;
