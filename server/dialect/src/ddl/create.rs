//! CREATE and DROP of databases and tables; the table's clauses are in `table`.

use super::cursor::Cursor;
use super::lexer::Kind;
use super::table;
use crate::DialectError;
use crate::statement::{Command, CreateDatabase};

pub(super) fn create(cursor: &mut Cursor) -> Result<Command, DialectError> {
    let start = cursor.location();
    cursor.expect(&["CREATE"])?;
    if cursor.accept(&["DATABASE"]) || cursor.accept(&["SCHEMA"]) {
        return database(cursor);
    }
    if cursor.accept(&["EXTERNAL"]) {
        cursor.expect(&["TABLE"])?;
        return table::create_table(cursor);
    }
    if cursor.at_words(&["TABLE"]) {
        return Err(without_external(cursor, start));
    }
    Err(cursor.unexpected("DATABASE, SCHEMA or EXTERNAL TABLE"))
}

/// CREATE TABLE without EXTERNAL is CTAS, Iceberg, LIKE, or a mistake.
fn without_external(cursor: &mut Cursor, start: owlake_fault::Location) -> DialectError {
    let mut depth = 0_usize;
    while !matches!(cursor.peek(), Kind::End | Kind::Broken(_)) {
        match cursor.peek() {
            Kind::Symbol('(') => depth += 1,
            Kind::Symbol(')') => depth = depth.saturating_sub(1),
            Kind::Single(text) | Kind::Double(text) if text.eq_ignore_ascii_case("iceberg") => {
                return DialectError::not_supported(
                    "CREATE TABLE of an Iceberg table is not supported",
                    start,
                );
            }
            Kind::Word(word) if depth == 0 && word.eq_ignore_ascii_case("LIKE") => {
                return DialectError::not_supported("CREATE TABLE LIKE is not supported", start);
            }
            Kind::Word(word)
                if depth == 0 && word.eq_ignore_ascii_case("AS") && starts_query(cursor.peek_at(1)) =>
            {
                return DialectError::not_supported("CREATE TABLE AS SELECT is not supported", start);
            }
            _ => {}
        }
        cursor.advance();
    }
    DialectError::syntax("CREATE TABLE needs the word EXTERNAL", start)
        .with_hint("Write CREATE EXTERNAL TABLE.")
}

fn starts_query(kind: &Kind) -> bool {
    match kind {
        Kind::Symbol('(') => true,
        Kind::Word(word) => ["SELECT", "WITH", "VALUES", "TABLE"]
            .iter()
            .any(|start| word.eq_ignore_ascii_case(start)),
        _ => false,
    }
}

fn database(cursor: &mut Cursor) -> Result<Command, DialectError> {
    let if_not_exists = cursor.accept(&["IF", "NOT", "EXISTS"]);
    let mut create = CreateDatabase {
        if_not_exists,
        database: cursor.database_name()?,
        comment: None,
        location: None,
        properties: Default::default(),
    };
    if cursor.accept(&["COMMENT"]) {
        create.comment = Some(cursor.literal("a comment in quotes")?);
    }
    if cursor.accept(&["LOCATION"]) {
        create.location = Some(cursor.literal("a location in quotes")?);
    }
    if cursor.accept(&["WITH"]) {
        cursor.expect(&["DBPROPERTIES"])?;
        create.properties = cursor.properties()?;
    }
    Ok(Command::CreateDatabase(create))
}

pub(super) fn drop(cursor: &mut Cursor) -> Result<Command, DialectError> {
    cursor.expect(&["DROP"])?;
    if cursor.accept(&["DATABASE"]) || cursor.accept(&["SCHEMA"]) {
        let if_exists = cursor.accept(&["IF", "EXISTS"]);
        let database = cursor.database_name()?;
        let cascade = cursor.accept(&["CASCADE"]);
        if !cascade {
            cursor.accept(&["RESTRICT"]);
        }
        return Ok(Command::DropDatabase {
            if_exists,
            database,
            cascade,
        });
    }
    if cursor.accept(&["TABLE"]) {
        let if_exists = cursor.accept(&["IF", "EXISTS"]);
        return Ok(Command::DropTable {
            if_exists,
            table: cursor.table_name()?,
        });
    }
    Err(cursor.unexpected("DATABASE, SCHEMA or TABLE"))
}
