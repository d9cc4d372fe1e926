//! SHOW and DESCRIBE.

use super::cursor::{Cursor, shown};
use super::lexer::Kind;
use crate::DialectError;
use crate::pattern::NamePattern;
use crate::statement::{Command, DescribeStyle, DescribeTable, TableName};

pub(super) fn show(cursor: &mut Cursor) -> Result<Command, DialectError> {
    cursor.expect(&["SHOW"])?;
    if cursor.accept(&["DATABASES"]) || cursor.accept(&["SCHEMAS"]) {
        return Ok(Command::ShowDatabases {
            pattern: name_pattern(cursor)?,
        });
    }
    if cursor.accept(&["CATALOGS"]) {
        return Ok(Command::ShowCatalogs {
            pattern: sql_pattern(cursor)?,
        });
    }
    if cursor.accept(&["TABLES"]) {
        let database = accept_in(cursor).then(|| cursor.database_name()).transpose()?;
        return Ok(Command::ShowTables {
            database,
            pattern: name_pattern(cursor)?,
        });
    }
    if cursor.accept(&["PARTITIONS"]) {
        return Ok(Command::ShowPartitions {
            table: cursor.table_name()?,
        });
    }
    if cursor.accept(&["COLUMNS"]) {
        return columns(cursor);
    }
    if cursor.accept(&["CREATE"]) {
        cursor.expect(&["TABLE"])?;
        return Ok(Command::ShowCreateTable {
            table: cursor.table_name()?,
        });
    }
    if cursor.accept(&["TBLPROPERTIES"]) {
        let table = cursor.table_name()?;
        let mut property = None;
        if cursor.accept_symbol('(') {
            property = Some(cursor.literal("a property name in quotes")?);
            cursor.expect_symbol(')')?;
        }
        return Ok(Command::ShowTableProperties { table, property });
    }
    if cursor.accept(&["SESSION"]) {
        return Ok(Command::ShowSession {
            pattern: sql_pattern(cursor)?,
        });
    }
    if cursor.accept(&["FUNCTIONS"]) {
        return Ok(Command::ShowFunctions {
            pattern: sql_pattern(cursor)?,
        });
    }
    Err(cursor.unexpected(
        "CATALOGS, DATABASES, SCHEMAS, TABLES, PARTITIONS, COLUMNS, CREATE TABLE, TBLPROPERTIES, SESSION or FUNCTIONS",
    ))
}

fn accept_in(cursor: &mut Cursor) -> bool {
    cursor.accept(&["IN"]) || cursor.accept(&["FROM"])
}

/// `SHOW COLUMNS {FROM|IN} [db.]t [{FROM|IN} db]`
fn columns(cursor: &mut Cursor) -> Result<Command, DialectError> {
    if !accept_in(cursor) {
        return Err(cursor.unexpected("FROM or IN"));
    }
    let mut table = cursor.table_name()?;
    let place = cursor.location();
    if accept_in(cursor) {
        let database = cursor.database_name()?;
        if table
            .database
            .as_ref()
            .is_some_and(|named| *named != database.name)
        {
            return Err(DialectError::syntax(
                "the table names another database already",
                place,
            ));
        }
        table = TableName {
            catalog: database.catalog.or(table.catalog),
            database: Some(database.name),
            name: table.name,
        };
    }
    Ok(Command::ShowColumns { table })
}

/// `['LIKE'] 'p'` in Hive's pattern language; `LIKE 'p' ESCAPE 'c'` can only be Trino's, in SQL's.
fn name_pattern(cursor: &mut Cursor) -> Result<Option<NamePattern>, DialectError> {
    let escaped = matches!(cursor.peek_at(2), Kind::Word(word) if word.eq_ignore_ascii_case("ESCAPE"));
    if escaped && cursor.at_words(&["LIKE"]) {
        return sql_pattern(cursor);
    }
    cursor.hive_pattern(true)
}

/// `LIKE 'p' [ESCAPE 'c']` in SQL's pattern language, as Trino's SHOW SESSION and SHOW FUNCTIONS take it.
fn sql_pattern(cursor: &mut Cursor) -> Result<Option<NamePattern>, DialectError> {
    if !cursor.accept(&["LIKE"]) {
        return Ok(None);
    }
    let place = cursor.location();
    let text = cursor.literal("a pattern in quotes")?;
    let mut escape = None;
    if cursor.accept(&["ESCAPE"]) {
        let place = cursor.location();
        let text = cursor.literal("one character in quotes")?;
        let mut chars = text.chars();
        escape = chars.next();
        if escape.is_none() || chars.next().is_some() {
            return Err(DialectError::syntax("ESCAPE takes exactly one character", place));
        }
    }
    NamePattern::sql_like(&text, escape).map(Some).map_err(|why| {
        DialectError::syntax(format!("pattern '{}' cannot be used: {why}", shown(&text)), place)
    })
}

/// `{DESCRIBE|DESC} [EXTENDED|FORMATTED] [db.]t [PARTITION (...)] [column[.field]]`
pub(super) fn describe(cursor: &mut Cursor) -> Result<Command, DialectError> {
    if !cursor.accept(&["DESCRIBE"]) {
        cursor.expect(&["DESC"])?;
    }
    // Each of these words is also a table's name when nothing follows it.
    let named = matches!(cursor.peek_at(1), Kind::Word(_) | Kind::Backtick(_));
    if named && cursor.at_words(&["TABLE"]) {
        return Err(cursor
            .unexpected("a table name")
            .with_hint("Leave the word TABLE out."));
    }
    let style = if named && cursor.accept(&["EXTENDED"]) {
        DescribeStyle::Extended
    } else if named && cursor.accept(&["FORMATTED"]) {
        DescribeStyle::Formatted
    } else {
        DescribeStyle::Columns
    };
    let table = cursor.table_name()?;
    let partition = cursor
        .at_words(&["PARTITION"])
        .then(|| cursor.partition_spec())
        .transpose()?;
    let mut column = Vec::new();
    if !matches!(cursor.peek(), Kind::End | Kind::Symbol(';')) {
        column.push(cursor.column_name()?);
        while cursor.accept_symbol('.') {
            column.push(cursor.column_name()?);
        }
    }
    Ok(Command::DescribeTable(DescribeTable {
        table,
        style,
        partition,
        column,
    }))
}
