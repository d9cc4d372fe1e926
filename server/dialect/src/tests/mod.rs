//! Statements through the one door: what is read, what is refused, and that nothing ends the process.

mod answers;
mod bombs;
mod commands;
mod queries;
mod refusals;

use owlake_fault::Fault;

use crate::{GuardLimits, Query, Statement, parse};

pub(crate) fn query(text: &str) -> Query {
    match parse(text, &GuardLimits::default()) {
        Ok(Statement::Query(query)) => query,
        other => panic!("{text}: {other:?}"),
    }
}

/// What the client is told.
pub(crate) fn refusal(text: &str) -> String {
    match parse(text, &GuardLimits::default()) {
        Err(error) => Fault::from(error).to_string(),
        Ok(statement) => panic!("{text}: {statement:?}"),
    }
}
