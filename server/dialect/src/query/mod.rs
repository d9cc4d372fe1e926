//! Front parser for queries: Trino text to a syntax tree that DataFusion's planner answers as Trino would.
//!
//! Tokens are guarded and cleaned, sqlparser makes the tree, and one pass over it refuses or rewrites.

mod dialect;
mod fingerprint;
mod tokens;

use datafusion::sql::sqlparser::ast::{self, Statement};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use owlake_fault::Location;

use crate::guard::GuardLimits;
use crate::statement::{Query, TableName, TableReference};
use crate::DialectError;
use dialect::{AthenaDialect, Stop};
use tokens::{Tokens, place};

/// Reads the one query in `text`.
///
/// # Errors
/// `Syntax`, `NotSupported`, `TooLarge`, `Parameters`.
pub(crate) fn parse(text: &str, limits: &GuardLimits) -> Result<Query, DialectError> {
    let Tokens { tokens, parameters, normalized_text } = tokens::tokenize(text)?;
    limits.check_tokens(&tokens)?;
    let dialect = AthenaDialect::new(tokens.len());
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(limits.max_depth * 2)
        .with_tokens_with_locations(tokens);
    let statement = parser
        .parse_query()
        .and_then(|query| match parser.peek_token_ref().token {
            datafusion::sql::sqlparser::tokenizer::Token::EOF => Ok(query),
            _ => parser.expected_ref("the end of the query", parser.peek_token_ref()),
        })
        .map_err(|error| parse_error(&error, &dialect, limits))?;
    let statement = Statement::Query(statement);
    let mut tables: Vec<TableReference> = Vec::new();
    let _ = ast::visit_relations(&statement, |name| {
        if let Some(reference) = reference(name)
            && !tables.iter().any(|known| known.name == reference.name)
        {
            tables.push(reference);
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    let query_hash = fingerprint::query_hash(&normalized_text);
    Ok(Query { statement: Box::new(statement), parameters, tables, normalized_text, query_hash })
}

fn reference(name: &ast::ObjectName) -> Option<TableReference> {
    let mut parts = name.0.iter().rev().filter_map(|part| part.as_ident());
    let last = parts.next()?;
    let lower = |ident: &ast::Ident| ident.value.to_lowercase();
    let database = parts.next().map(lower);
    let name = TableName { catalog: parts.next().map(lower), database, name: lower(last) };
    Some(TableReference { name, location: place(last.span.start) })
}

fn parse_error(error: &ParserError, dialect: &AthenaDialect, limits: &GuardLimits) -> DialectError {
    match (dialect.stopped(), error) {
        (Some(Stop::Type { message, line, column }), _) => {
            DialectError::syntax(message, (line > 0).then_some(Location { line, column }))
        }
        (Some(Stop::Steps), _) => {
            DialectError::syntax("the statement is too ambiguous to be read", None).with_hint("Check its brackets.")
        }
        (None, ParserError::RecursionLimitExceeded) => DialectError::TooLarge {
            measure: "nesting depth",
            value: limits.max_depth as u64 + 1,
            limit: limits.max_depth as u64,
        },
        (None, ParserError::ParserError(text) | ParserError::TokenizerError(text)) => {
            let (message, location) = split_place(text);
            DialectError::syntax(message, location)
        }
    }
}

/// sqlparser appends ` at Line: 1, Column: 8` to its sentences.
fn split_place(text: &str) -> (String, Option<Location>) {
    let Some((message, rest)) = text.rsplit_once(" at Line: ") else { return (text.to_owned(), None) };
    let Some((line, column)) = rest.split_once(", Column: ") else { return (text.to_owned(), None) };
    match (line.parse(), column.trim().parse()) {
        (Ok(line), Ok(column)) => (message.to_owned(), Some(Location { line, column })),
        _ => (text.to_owned(), None),
    }
}
