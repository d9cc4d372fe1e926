//! Servers that tests start for themselves and that end with them. For tests only: no room depends on it otherwise.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a fixture that cannot be made fails its test"
)]

pub mod postgres;
