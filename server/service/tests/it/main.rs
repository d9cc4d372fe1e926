//! The service through its real wire: one binary, one module per promise.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests spawn, read the environment and stop at the first surprise"
)]

mod harness;
mod projection;
mod reconcile;
mod smoke;
