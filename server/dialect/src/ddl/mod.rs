//! Front parser for catalog and session statements: Hive DDL as Athena takes it (athena-spec 2.1, 2.2).
//!
//! Text to [`Command`], nothing else: no catalog is asked, no location is opened.

mod alter;
mod catalog;
mod create;
mod cursor;
mod explain;
mod formats;
mod lexer;
mod limits;
mod refused;
mod session;
mod show;
mod table;

use crate::DialectError;
use crate::statement::Command;
use cursor::Cursor;

pub use catalog::masked;
pub(crate) use cursor::shown;
pub(crate) use explain::explain_head;
pub(crate) use lexer::first_word;

/// Statements that start with one of these words are this parser's.
const WORDS: [&str; 10] = [
    "CREATE", "DROP", "ALTER", "SHOW", "DESCRIBE", "DESC", "USE", "SET", "RESET", "REFRESH",
];

/// Reads the statement in `text`, whose first word is `word`; `None` when it is not a statement of this parser.
///
/// # Errors
/// `Syntax` with place and expectation, `NotSupported` for what Athena has and this server does not.
pub(crate) fn parse(word: &str, text: &str) -> Option<Result<Command, DialectError>> {
    let cursor = || Cursor::new(text);
    if !WORDS.contains(&word) {
        return refused::statement(&mut cursor()).map(Err);
    }
    let mut cursor = cursor();
    if let Some(read) = limits::statement(&mut cursor).or_else(|| catalog::statement(&mut cursor)) {
        return Some(read.and_then(|command| cursor.finish().map(|()| command)));
    }
    Some(match refused::statement(&mut cursor) {
        Some(error) => Err(error),
        None => command(word, &mut cursor).and_then(|command| cursor.finish().map(|()| command)),
    })
}

fn command(word: &str, cursor: &mut Cursor) -> Result<Command, DialectError> {
    match word {
        "CREATE" => create::create(cursor),
        "DROP" => create::drop(cursor),
        "ALTER" => alter::alter(cursor),
        "SHOW" => show::show(cursor),
        "DESCRIBE" | "DESC" => show::describe(cursor),
        "USE" => session::use_database(cursor),
        "SET" => session::set(cursor),
        "REFRESH" => session::refresh(cursor),
        _ => session::reset(cursor),
    }
}
