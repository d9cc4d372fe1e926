//! The door of the room: one text to one statement.

use crate::ddl;
use crate::error::DialectError;
use crate::guard::GuardLimits;
use crate::query;
use crate::statement::Statement;

/// Words that a query may start with; so may an opening bracket.
const QUERY_WORDS: [&str; 4] = ["SELECT", "WITH", "VALUES", "TABLE"];

/// Reads the one statement in `text`.
///
/// Safe on small stacks: limits are checked before anything recurses.
///
/// # Errors
/// `Syntax`, `NotSupported`, `TooLarge`, `Parameters`, `Definition`.
pub fn parse(text: &str, limits: &GuardLimits) -> Result<Statement, DialectError> {
    limits.check_text(text)?;
    let Some(word) = ddl::first_word(text) else {
        return query::parse(text, limits).map(Statement::Query);
    };
    if QUERY_WORDS.contains(&word.as_str()) {
        return query::parse(text, limits).map(Statement::Query);
    }
    if word == "EXPLAIN" {
        let head = ddl::explain_head(text)?;
        let query = query::parse(&blank(text, head.query_offset), limits)?;
        return Ok(Statement::Explain {
            analyze: head.analyze,
            kind: head.kind,
            format: head.format,
            query,
        });
    }
    match ddl::parse(&word, text) {
        Some(command) => command.map(Statement::Command),
        // The query parser has the better sentence for what is no statement at all.
        None => query::parse(text, limits).map(Statement::Query),
    }
}

/// `text` with spaces up to `end`, so that places in what is left stay true.
fn blank(text: &str, end: usize) -> String {
    let (head, rest) = text.split_at(end);
    let mut blanked: String = head.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
    blanked.push_str(rest);
    blanked
}
