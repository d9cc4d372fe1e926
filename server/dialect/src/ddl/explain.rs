//! The head of an EXPLAIN; what is explained belongs to the query parser.

use super::cursor::Cursor;
use super::lexer::Kind;
use crate::DialectError;
use crate::statement::{ExplainFormat, ExplainKind};

/// Everything before the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExplainHead {
    pub(crate) analyze: bool,
    pub(crate) kind: ExplainKind,
    pub(crate) format: Option<ExplainFormat>,
    /// Byte offset where the query starts.
    pub(crate) query_offset: usize,
}

/// Reads `EXPLAIN [ANALYZE] [VERBOSE] [(FORMAT f, TYPE t)]` and `EXPLAIN COST`.
pub(crate) fn explain_head(text: &str) -> Result<ExplainHead, DialectError> {
    let mut cursor = Cursor::new(text);
    cursor.expect(&["EXPLAIN"])?;
    let mut kind = None;
    let mut format = None;
    let analyze = cursor.accept(&["ANALYZE"]);
    let cost = !analyze && cursor.accept(&["COST"]);
    if cursor.at_words(&["VERBOSE"]) {
        return Err(DialectError::not_supported(
            "EXPLAIN ANALYZE VERBOSE is not supported",
            cursor.location(),
        )
        .with_hint("Leave VERBOSE out."));
    }
    if *cursor.peek() == Kind::Symbol('(') && starts_option(cursor.peek_at(1)) {
        cursor.advance();
        loop {
            let place = cursor.location();
            let repeated = if cursor.accept(&["FORMAT"]) {
                format.replace(format_of(&mut cursor)?).is_some()
            } else if cursor.accept(&["TYPE"]) {
                kind.replace(kind_of(&mut cursor)?).is_some()
            } else {
                return Err(cursor.unexpected("FORMAT or TYPE"));
            };
            if repeated {
                return Err(DialectError::syntax("an EXPLAIN option is there twice", place));
            }
            if !cursor.accept_symbol(',') {
                break;
            }
        }
        cursor.expect_symbol(')')?;
    }
    if analyze && (kind.is_some() || format == Some(ExplainFormat::Graphviz)) {
        return Err(DialectError::syntax(
            "EXPLAIN ANALYZE takes FORMAT TEXT or FORMAT JSON only",
            cursor.location(),
        ));
    }
    if cost && kind.is_some_and(|kind| kind != ExplainKind::Cost) {
        return Err(DialectError::syntax(
            "EXPLAIN COST takes no other TYPE",
            cursor.location(),
        ));
    }
    let kind = if cost {
        ExplainKind::Cost
    } else {
        kind.unwrap_or_default()
    };
    if matches!(kind, ExplainKind::Cost | ExplainKind::Partitions) && format == Some(ExplainFormat::Graphviz)
    {
        return Err(DialectError::syntax(
            "this EXPLAIN has FORMAT TEXT and JSON only",
            cursor.location(),
        ));
    }
    Ok(ExplainHead {
        analyze,
        kind,
        format,
        query_offset: cursor.offset(),
    })
}

/// `(` also starts a query.
fn starts_option(kind: &Kind) -> bool {
    matches!(kind, Kind::Word(word) if word.eq_ignore_ascii_case("FORMAT") || word.eq_ignore_ascii_case("TYPE"))
}

fn format_of(cursor: &mut Cursor) -> Result<ExplainFormat, DialectError> {
    let known = [
        ("TEXT", ExplainFormat::Text),
        ("JSON", ExplainFormat::Json),
        ("GRAPHVIZ", ExplainFormat::Graphviz),
    ];
    one_of(cursor, &known, "TEXT, JSON or GRAPHVIZ")
}

fn kind_of(cursor: &mut Cursor) -> Result<ExplainKind, DialectError> {
    let known = [
        ("LOGICAL", ExplainKind::Logical),
        ("DISTRIBUTED", ExplainKind::Distributed),
        ("VALIDATE", ExplainKind::Validate),
        ("IO", ExplainKind::Io),
        ("COST", ExplainKind::Cost),
        ("PARTITIONS", ExplainKind::Partitions),
    ];
    one_of(
        cursor,
        &known,
        "LOGICAL, DISTRIBUTED, VALIDATE, IO, COST or PARTITIONS",
    )
}

fn one_of<T: Copy>(cursor: &mut Cursor, known: &[(&str, T)], names: &str) -> Result<T, DialectError> {
    match known.iter().find(|(word, _)| cursor.accept(&[word])) {
        Some((_, value)) => Ok(*value),
        None => Err(cursor.unexpected(names)),
    }
}
