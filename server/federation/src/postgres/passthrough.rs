//! Statements in the database's own SQL: described by the server that will run them, then read like a view. They run
//! as all others do: read only, one snapshot, limits of time, counted.

use std::collections::HashSet;

use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Client, Column};

use super::catalog::{Known, RemoteColumn, RemoteTable};
use super::config::NumericMapping;
use super::error::PostgresError;
use super::mapping::{Element, PgType, mapping};
use super::value::Collation;

/// Names are looked for where the role would look for them.
pub(super) const SEARCH_PATH: &str = "SET LOCAL search_path TO DEFAULT";

/// Asks the server what a statement gives. It takes one statement alone, and one that parses by itself stays inside of
/// the brackets that it is put into.
///
/// # Errors
/// What the server refuses; a statement without columns, which writes or controls.
pub(super) async fn describe(
    client: &Client,
    statement: &str,
    numeric: NumericMapping,
) -> Result<RemoteTable, PostgresError> {
    let statement = statement.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    client
        .batch_execute(SEARCH_PATH)
        .await
        .map_err(PostgresError::running)?;
    let prepared = client.prepare(statement).await.map_err(PostgresError::running)?;
    if prepared.columns().is_empty() || !prepared.params().is_empty() {
        return Err(PostgresError::NoRows);
    }
    let mut taken = HashSet::new();
    let columns = prepared.columns().iter().enumerate();
    let columns: Vec<RemoteColumn> = columns
        .map(|(at, announced)| column(at, announced, &mut taken, numeric))
        .collect();
    let names: Vec<String> = columns
        .iter()
        .map(|column| format!("\"{}\"", column.name))
        .collect();
    // A comment at its end ends with the line.
    let source = format!("({statement}\n) AS \"query\" ({})", names.join(", "));
    Ok(RemoteTable::of_statement(source, columns))
}

/// Names that are there twice, and such as `?column?`, are no names inside of the database: it gets numbers.
fn column(
    at: usize,
    announced: &Column,
    taken: &mut HashSet<String>,
    numeric: NumericMapping,
) -> RemoteColumn {
    let mut shown = announced.name().to_lowercase();
    let mut number = 2;
    while !taken.insert(shown.clone()) {
        shown = format!("{}_{number}", announced.name().to_lowercase());
        number += 1;
    }
    let of = announced.type_();
    let element = match of.kind() {
        Kind::Array(element) => Some(Element {
            oid: element.oid(),
            kind: kind(element),
            dimensions: 0,
        }),
        _ => None,
    };
    let pg_type = PgType {
        oid: of.oid(),
        modifier: announced.type_modifier(),
        element,
    };
    RemoteColumn {
        name: format!("c{at}"),
        shown,
        type_name: of.name().to_owned(),
        known: Known::default(),
        // Its collation is not announced.
        collation: Collation::mixed(false),
        mapping: mapping(&pg_type, numeric),
    }
}

fn kind(of: &Type) -> char {
    match of.kind() {
        Kind::Enum(_) => 'e',
        Kind::Domain(_) => 'd',
        Kind::Composite(_) => 'c',
        Kind::Range(_) => 'r',
        _ => 'b',
    }
}
