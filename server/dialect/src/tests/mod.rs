//! Statements through the one door: what is read, what is refused, and that nothing ends the process.

mod commands;
