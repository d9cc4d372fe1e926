//! Placeholder until the room is filled.
fn main() {}
