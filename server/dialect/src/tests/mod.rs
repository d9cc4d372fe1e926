//! Statements through the one door: what is read, what is refused, and that nothing ends the process.

mod answers;
mod bombs;
mod commands;
mod queries;
mod refusals;

use owlake_fault::Fault;

use crate::{DialectError, GuardLimits, Query, Statement, parse};

pub(crate) fn query(text: &str) -> Query {
    match parse(text, &GuardLimits::default()) {
        Ok(Statement::Query(query)) => query,
        other => panic!("{text}: {other:?}"),
    }
}

/// What the client is told; whatever is wrong with the text has a place.
pub(crate) fn refusal(text: &str) -> String {
    match parse(text, &GuardLimits::default()) {
        Err(error) => {
            let of_the_text = matches!(
                error,
                DialectError::Syntax { .. }
                    | DialectError::NotSupported { .. }
                    | DialectError::Definition { .. }
            );
            assert!(!of_the_text || error.location().is_some(), "{text}: {error:?}");
            Fault::from(error).to_string()
        }
        Ok(statement) => panic!("{text}: {statement:?}"),
    }
}
