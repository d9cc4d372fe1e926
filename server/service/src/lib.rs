//! The `owlake` service: Flight SQL front, configuration, authentication, metrics, demo lake.

pub mod args;
pub mod config;
pub mod demo {
    //! What `owlake demo` shows.
    pub mod lake;
}
pub mod telemetry;
mod flight {
    pub(crate) mod metadata;
    pub(crate) mod sql_info;
    pub(crate) mod status;
    pub(crate) mod xdbc;
}
