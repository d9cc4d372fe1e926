//! Flight SQL over gRPC: dispatch only. Each command's work lives in the module named after it.

mod actions;
pub(crate) mod bounded;
pub(crate) mod connection;
mod front;
pub(crate) mod metadata;
mod metadata_rows;
mod parameters;
mod prepared;
mod receipt;
mod service;
mod session_messages;
pub(crate) mod sessions;
pub(crate) mod sql_info;
mod state;
mod statement;
pub(crate) mod status;
mod stream;
pub(crate) mod trailers;
mod usage;
pub(crate) mod xdbc;

pub use front::FlightFront;
pub(crate) use state::{FlightSql, PREPARED_IDLE, TICKET_IDLE};
pub(crate) use usage::UsageFront;
