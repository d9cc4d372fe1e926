//! What a database holds: schemas, tables and views, their columns and how large they are, as its own catalog says.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use tokio_postgres::types::Oid;
use tokio_postgres::{Client, Row};

use super::config::PostgresConfig;
use super::error::PostgresError;
use super::mapping::{Element, Form, Mapping, PgType, mapping};
use super::quoting::identifier;
use super::value::Collation;

/// What a name in a schema stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// A table, partitioned or not.
    Table,
    /// A view.
    View,
    /// A view with rows of its own.
    MaterializedView,
    /// A table of yet another server.
    ForeignTable,
}

impl RelationKind {
    fn from_code(code: &str) -> Option<Self> {
        Some(match code {
            "r" | "p" => Self::Table,
            "v" => Self::View,
            "m" => Self::MaterializedView,
            "f" => Self::ForeignTable,
            _ => return None,
        })
    }
}

/// A table or view, as it was when it was described.
#[derive(Debug, Clone)]
pub struct RemoteTable {
    /// Its schema, as the database writes it.
    pub schema_name: String,
    /// Its name, as the database writes it.
    pub name: String,
    /// What it is.
    pub kind: RelationKind,
    /// Its columns that have a name here, in order.
    pub columns: Vec<RemoteColumn>,
    /// Columns that have none: their names differ from others only by case.
    pub hidden: Vec<String>,
    /// Rows as the database's statistics estimate them; views and new tables have none.
    pub estimated_rows: Option<u64>,
    /// Pages that it has, where the server can begin to read at any of them.
    pub(super) pages: Option<u32>,
    /// What stands behind FROM, where it is no table by its name.
    source: Option<String>,
    /// What it is made of, where it is no table of the database but a query over some.
    pub(super) query: Option<RemoteQuery>,
    schema: SchemaRef,
}

/// A query that stands for a table.
#[derive(Debug, Clone)]
pub(super) struct RemoteQuery {
    /// The statement.
    pub sql: String,
    /// The tables that it reads, and by position the columns that it was made for.
    pub reads: Vec<(Arc<RemoteTable>, Vec<usize>)>,
}

/// What is known of the values of a column.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    /// How many different ones; below 0, what part of the rows has one of its own.
    pub distinct: Option<f64>,
    /// Bytes of one of them.
    pub width: Option<i32>,
}

/// A column.
#[derive(Debug, Clone)]
pub struct RemoteColumn {
    /// Its name, as the database writes it.
    pub name: String,
    /// Its name here: lower case.
    pub shown: String,
    /// Its type, as the database writes it.
    pub type_name: String,
    /// What the database's statistics say of its values.
    pub(super) known: Known,
    /// How texts of it compare.
    pub(super) collation: Collation,
    pub(super) mapping: Mapping,
}

impl RemoteTable {
    /// Columns in Arrow's types, all nullable: a NOT NULL that is dropped in the database must not break a plan.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) fn new(
        schema_name: String,
        name: String,
        kind: RelationKind,
        rows: Option<u64>,
        all: Vec<RemoteColumn>,
    ) -> Self {
        let (mut columns, mut hidden) = (Vec::<RemoteColumn>::new(), Vec::new());
        for column in all {
            match columns.iter_mut().find(|known| known.shown == column.shown) {
                None => columns.push(column),
                // The one that is written as it is asked for keeps the name.
                Some(known) if column.name == column.shown => {
                    hidden.push(std::mem::replace(known, column).name);
                }
                Some(_) => hidden.push(column.name),
            }
        }
        let fields = columns
            .iter()
            .map(|column| Field::new(&column.shown, column.mapping.data_type.clone(), true));
        Self {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            schema_name,
            name,
            kind,
            columns,
            hidden,
            estimated_rows: rows,
            pages: None,
            source: None,
            query: None,
        }
    }

    /// The result of a statement, which is `source` behind FROM.
    pub(super) fn of_statement(source: String, columns: Vec<RemoteColumn>) -> Self {
        let name = ("system".to_owned(), "query".to_owned());
        Self {
            source: Some(source),
            ..Self::new(name.0, name.1, RelationKind::View, None, columns)
        }
    }

    /// Whether it is the result of a statement.
    pub(super) fn is_statement(&self) -> bool {
        self.source.is_some()
    }

    /// The rows of a query. Its columns are called `c0`, `c1` and so on.
    pub(super) fn of_query(
        query: RemoteQuery,
        columns: Vec<RemoteColumn>,
        schema: SchemaRef,
        rows: Option<u64>,
    ) -> Self {
        Self {
            schema_name: String::new(),
            name: String::new(),
            kind: RelationKind::View,
            columns,
            hidden: Vec::new(),
            estimated_rows: rows,
            pages: None,
            source: None,
            query: Some(query),
            schema,
        }
    }

    /// The tables of the database that it is, or is made of.
    pub(super) fn tables(&self) -> Vec<&RemoteTable> {
        match &self.query {
            Some(query) => query.reads.iter().map(|(table, _)| &**table).collect(),
            None => vec![self],
        }
    }

    /// `"schema"."table"`, or a query in parentheses.
    pub(super) fn quoted(&self) -> Result<String, PostgresError> {
        if let Some(query) = &self.query {
            return Ok(format!("({}) AS q", query.sql));
        }
        if let Some(source) = &self.source {
            return Ok(source.clone());
        }
        Ok(format!(
            "{}.{}",
            identifier(&self.schema_name)?,
            identifier(&self.name)?
        ))
    }
}

impl RemoteColumn {
    /// The column in the list of what is selected.
    pub(super) fn selected(&self) -> Result<String, PostgresError> {
        let name = identifier(&self.name)?;
        Ok(match self.mapping.form {
            Form::Plain => name,
            Form::Cast(to) => format!("{name}::{to}"),
            Form::Abbreviated => format!("abbrev({name})"),
        })
    }
}

/// Everything but the system's own; what a catalog's property names is there, whatever it is.
const SCHEMAS: &str = "SELECT nspname FROM pg_namespace \
    WHERE nspname = ANY($1) OR ($1 IS NULL AND nspname !~ '^pg_' AND nspname <> 'information_schema') \
    ORDER BY nspname";

/// Tables and views of a schema. Of one by its name also a partition, which is else part of its table.
const RELATIONS: &str = "SELECT c.oid, c.relname, c.relkind::text, c.reltuples::float8, c.relpages, \
      c.relkind IN ('r', 'm') AND c.relam = 2 AND current_setting('server_version_num')::int >= 140000 \
    FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
      AND (c.relname = $2 OR ($2 IS NULL AND NOT c.relispartition)) \
    ORDER BY c.relname";

/// Domains are followed to what they are over; the modifier is the one of the last step.
const COLUMNS: &str = "WITH RECURSIVE step(relation, attnum, type, modifier) AS ( \
      SELECT attrelid, attnum, atttypid, atttypmod FROM pg_attribute \
      WHERE attrelid = ANY($1) AND attnum > 0 AND NOT attisdropped \
    UNION ALL \
      SELECT s.relation, s.attnum, t.typbasetype, t.typtypmod FROM step s JOIN pg_type t ON t.oid = s.type \
      WHERE t.typtype = 'd') \
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attndims::int4, \
      t.oid, s.modifier, e.oid, e.typtype::text, coalesce(c.collisdeterministic, true), a.attrelid, \
      a.attcollation, getdatabaseencoding() = 'UTF8' \
    FROM pg_attribute a \
    JOIN step s ON s.relation = a.attrelid AND s.attnum = a.attnum \
    JOIN pg_type t ON t.oid = s.type AND t.typtype <> 'd' \
    LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid \
    LEFT JOIN pg_collation c ON c.oid = a.attcollation \
    ORDER BY a.attrelid, a.attnum";

/// What ANALYZE has found, and which columns are unique by themselves. Where a table has others that inherit from it,
/// the line that counts these too comes last.
const KNOWN: &str = "SELECT a.attname, \
      CASE WHEN i.indrelid IS NULL THEN s.n_distinct ELSE -1 END::float8, s.avg_width \
    FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname \
    LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL \
      AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum \
    WHERE n.nspname = $1 AND c.relname = $2 \
    ORDER BY s.inherited NULLS FIRST";

/// Schemas, as the database writes them, sorted.
pub(super) async fn schemas(client: &Client, config: &PostgresConfig) -> Result<Vec<String>, PostgresError> {
    let rows = client
        .query(SCHEMAS, &[&config.schemas])
        .await
        .map_err(PostgresError::running)?;
    rows.iter().map(|row| cell(row, 0)).collect()
}

/// Tables and views of a schema, sorted, or one of them by its exact name. Partitions are part of their table.
pub(super) async fn relations(
    client: &Client,
    config: &PostgresConfig,
    schema: &str,
    name: Option<&str>,
) -> Result<Vec<Arc<RemoteTable>>, PostgresError> {
    let rows = client
        .query(RELATIONS, &[&schema, &name])
        .await
        .map_err(PostgresError::running)?;
    let ids = rows
        .iter()
        .map(|row| cell::<Oid>(row, 0))
        .collect::<Result<Vec<_>, _>>()?;
    let mut columns: HashMap<Oid, Vec<RemoteColumn>> = HashMap::new();
    let (described, known) = futures::try_join!(
        async {
            client
                .query(COLUMNS, &[&ids])
                .await
                .map_err(PostgresError::running)
        },
        known(client, schema, name),
    )?;
    for row in &described {
        let mut column = column(row, config)?;
        column.known = known.get(&column.name).copied().unwrap_or_default();
        columns.entry(cell(row, 8)?).or_default().push(column);
    }
    let mut found = Vec::with_capacity(rows.len());
    for (row, id) in rows.iter().zip(ids) {
        if let Some(kind) = RelationKind::from_code(cell(row, 2)?) {
            let tuples = estimated_rows(cell(row, 3)?, cell(row, 4)?);
            let columns = columns.remove(&id).unwrap_or_default();
            let mut table = RemoteTable::new(schema.to_owned(), cell(row, 1)?, kind, tuples, columns);
            // A heap, of a server that reads ranges of it (14 and later).
            if cell(row, 5)? {
                table.pages = u32::try_from(cell::<i32>(row, 4)?).ok();
            }
            found.push(Arc::new(table));
        }
    }
    Ok(found)
}

/// What is known of the columns of one table; lists of many do without.
async fn known(
    client: &Client,
    schema: &str,
    table: Option<&str>,
) -> Result<HashMap<String, Known>, PostgresError> {
    let Some(table) = table else {
        return Ok(HashMap::new());
    };
    let rows = client.query(KNOWN, &[&schema, &table]).await;
    let rows = rows.map_err(PostgresError::running)?;
    let known = rows.iter().map(|row| {
        let known = Known {
            distinct: cell(row, 1)?,
            width: cell(row, 2)?,
        };
        Ok((cell(row, 0)?, known))
    });
    known.collect()
}

/// -1 says that nobody has counted; before PostgreSQL 14 an empty table says the same.
fn estimated_rows(tuples: f64, pages: i32) -> Option<u64> {
    (tuples > 0.0 || (tuples == 0.0 && pages > 0)).then_some(tuples as u64)
}

fn column(row: &Row, config: &PostgresConfig) -> Result<RemoteColumn, PostgresError> {
    let name: String = cell(row, 0)?;
    let dimensions = cell(row, 2)?;
    let element = match (cell::<Option<Oid>>(row, 5)?, cell::<Option<&str>>(row, 6)?) {
        (Some(oid), Some(kind)) => Some(Element {
            oid,
            kind: kind.chars().next().unwrap_or('b'),
            dimensions,
        }),
        _ => None,
    };
    let pg_type = PgType {
        oid: cell(row, 3)?,
        modifier: cell(row, 4)?,
        element,
    };
    Ok(RemoteColumn {
        shown: name.to_lowercase(),
        name,
        type_name: cell(row, 1)?,
        known: Known::default(),
        collation: Collation {
            oid: cell(row, 9)?,
            deterministic: cell(row, 7)?,
            utf8: cell(row, 10)?,
        },
        mapping: mapping(&pg_type, config.numeric),
    })
}

/// A value of a catalog query; another type than the one asked for is a server that is no PostgreSQL.
fn cell<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, PostgresError> {
    row.try_get(at)
        .map_err(|error| PostgresError::Malformed(format!("its own catalog is not readable: {error}")))
}
