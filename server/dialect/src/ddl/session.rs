//! USE, SET, RESET and REFRESH TABLE. Which names exist and what they may be is the engine's.

use super::cursor::Cursor;
use super::lexer::Kind;
use crate::DialectError;
use crate::statement::{Command, SessionValue};

pub(super) fn use_database(cursor: &mut Cursor) -> Result<Command, DialectError> {
    cursor.expect(&["USE"])?;
    Ok(Command::Use {
        database: cursor.database_name()?,
    })
}

pub(super) fn set(cursor: &mut Cursor) -> Result<Command, DialectError> {
    cursor.expect(&["SET"])?;
    skip_session(cursor);
    let name = name(cursor)?;
    cursor.expect_symbol('=')?;
    Ok(Command::SetSession {
        name,
        value: value(cursor)?,
    })
}

pub(super) fn reset(cursor: &mut Cursor) -> Result<Command, DialectError> {
    cursor.expect(&["RESET"])?;
    skip_session(cursor);
    Ok(Command::ResetSession { name: name(cursor)? })
}

pub(super) fn refresh(cursor: &mut Cursor) -> Result<Command, DialectError> {
    cursor.expect(&["REFRESH"])?;
    cursor.expect(&["TABLE"])?;
    Ok(Command::RefreshTable {
        table: cursor.table_name()?,
    })
}

/// `SESSION` is the optional word unless it is the name itself (`SET session = 1`).
fn skip_session(cursor: &mut Cursor) {
    if matches!(cursor.peek_at(1), Kind::Word(_) | Kind::Backtick(_)) {
        cursor.accept(&["SESSION"]);
    }
}

fn name(cursor: &mut Cursor) -> Result<String, DialectError> {
    let mut name = cursor.identifier("a session property name")?;
    while cursor.accept_symbol('.') {
        name.push('.');
        name.push_str(&cursor.identifier("a session property name")?);
    }
    Ok(name)
}

pub(super) fn value(cursor: &mut Cursor) -> Result<SessionValue, DialectError> {
    let negative = cursor.accept_symbol('-');
    let value = match cursor.peek() {
        Kind::Number(text) if negative => SessionValue::Number(format!("-{text}")),
        _ if negative => return Err(cursor.unexpected("a number")),
        Kind::Number(text) => SessionValue::Number(text.clone()),
        Kind::Single(text) | Kind::Double(text) => SessionValue::Text(text.clone()),
        Kind::Word(word) if word.eq_ignore_ascii_case("true") => SessionValue::Boolean(true),
        Kind::Word(word) if word.eq_ignore_ascii_case("false") => SessionValue::Boolean(false),
        Kind::Word(word) => SessionValue::Text(word.clone()),
        _ => return Err(cursor.unexpected("a literal")),
    };
    cursor.advance();
    Ok(value)
}
