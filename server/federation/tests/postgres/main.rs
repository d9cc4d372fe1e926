//! The PostgreSQL connector against real servers.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "all of this crate is tests"
)]

mod catalog;
mod failures;
mod support;
mod values;
