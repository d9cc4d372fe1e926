//! Front parser for queries: Trino text to a syntax tree that DataFusion's planner answers as Trino would.
//!
//! Tokens are guarded and cleaned, sqlparser makes the tree, and one pass over it refuses or rewrites.

mod dialect;
mod expression;
pub(crate) mod fields;
mod fingerprint;
mod hidden;
mod join_using;
mod literal;
mod names;
mod passthrough;
mod relation;
mod rewrite;
mod select;
mod tokens;
mod unnest;
mod values;

use datafusion::sql::sqlparser::ast::{self, Statement};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use owlake_fault::Location;

use crate::DialectError;
use crate::guard::GuardLimits;
use crate::statement::Query;
use dialect::{AthenaDialect, Stop};
use rewrite::Rewriter;
use tokens::Tokens;

pub use names::{shown_name, shown_text};
pub use passthrough::passthrough_statement;
pub(crate) use unnest::positions;
pub use unnest::relation_planners;

/// Stack for parsing one statement: the guard bounds the depth, debug builds have large frames.
const PARSE_STACK_BYTES: usize = 16 << 20;

/// Reads the one query in `text`.
///
/// # Errors
/// `Syntax`, `NotSupported`, `TooLarge`, `Parameters`.
pub(crate) fn parse(text: &str, limits: &GuardLimits) -> Result<Query, DialectError> {
    stacker::maybe_grow(PARSE_STACK_BYTES, PARSE_STACK_BYTES, || {
        let Tokens {
            tokens,
            start,
            end,
            parameters,
            normalized_text,
        } = tokens::tokenize(text)?;
        // Nodes that the parser made up have no place of their own.
        let placed = |error: DialectError| error.or_at(start);
        let hidden_columns = hidden::are_named(&tokens);
        let mut tree = tree(tokens, end, limits)?;
        let mut rewriter = Rewriter::new(limits, hidden_columns);
        rewriter.query(&mut tree).map_err(placed)?;
        fields::resolve(&mut tree);
        names::make_unique(&mut tree).map_err(placed)?;
        Ok(Query {
            statement: Box::new(Statement::Query(tree)),
            parameters,
            tables: rewriter.tables,
            hidden_columns,
            query_hash: fingerprint::query_hash(&normalized_text),
            normalized_text,
        })
    })
}

fn tree(
    tokens: Vec<TokenWithSpan>,
    end: Location,
    limits: &GuardLimits,
) -> Result<Box<ast::Query>, DialectError> {
    limits.check_tokens(&tokens)?;
    let dialect = AthenaDialect::new(tokens.len());
    let mut parser = Parser::new(&dialect)
        // Every bracket takes the parser a few levels; ours is the limit that speaks.
        .with_recursion_limit(limits.max_depth * 4)
        .with_tokens_with_locations(tokens);
    parser
        .parse_query()
        .and_then(|query| match parser.peek_token_ref().token {
            Token::EOF => Ok(query),
            _ => parser.expected_ref("the end of the query", parser.peek_token_ref()),
        })
        .map_err(|error| {
            let next = parser.peek_token_ref();
            let found = tokens::place(next.span.start).filter(|_| !error.to_string().ends_with("found: EOF"));
            parse_error(&error, &dialect, limits).or_at(found.unwrap_or(end))
        })
}

fn parse_error(error: &ParserError, dialect: &AthenaDialect, limits: &GuardLimits) -> DialectError {
    match (dialect.stopped(), error) {
        (
            Some(Stop::Type {
                message,
                line,
                column,
            }),
            _,
        ) => DialectError::syntax(message, (line > 0).then_some(Location { line, column })),
        (Some(Stop::Steps), _) => DialectError::syntax("the statement is too ambiguous to be read", None)
            .with_hint("Check its brackets."),
        (None, ParserError::RecursionLimitExceeded) => DialectError::TooLarge {
            measure: "nesting depth",
            value: limits.max_depth as u64 + 1,
            limit: limits.max_depth as u64,
        },
        (None, ParserError::ParserError(text) | ParserError::TokenizerError(text)) => {
            let (message, location) = split_place(text);
            DialectError::syntax(readable(&message), location)
        }
    }
}

/// The parser repeats whole tokens: a long literal, or one with control characters, must not reach a message.
fn readable(message: &str) -> String {
    const MAX_CHARS: usize = 200;
    let mut readable: String = message
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_CHARS)
        .collect();
    if message.chars().count() > MAX_CHARS {
        readable.push_str("...");
    }
    readable
}

/// sqlparser appends ` at Line: 1, Column: 8` to its sentences.
fn split_place(text: &str) -> (String, Option<Location>) {
    let Some((message, rest)) = text.rsplit_once(" at Line: ") else {
        return (text.to_owned(), None);
    };
    let Some((line, column)) = rest.split_once(", Column: ") else {
        return (text.to_owned(), None);
    };
    match (line.parse(), column.trim().parse()) {
        (Ok(line), Ok(column)) => (message.to_owned(), Some(Location { line, column })),
        _ => (text.to_owned(), None),
    }
}
