//! The `owlake` service: Flight SQL front, configuration, authentication, metrics, demo lake.

pub mod args;
pub mod auth;
pub mod config;
pub mod demo {
    //! What `owlake demo` shows.
    pub mod lake;
}
mod flight;
pub mod http;
pub mod telemetry;
pub mod tls;
