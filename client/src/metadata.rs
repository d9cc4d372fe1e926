//! What the server's catalog holds, by Flight SQL's own metadata calls: no query, nothing is read or billed.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Schema;
use arrow_flight::IpcMessage;
use arrow_flight::sql::{CommandGetTables, ProstMessageExt};
use bytes::Bytes;
use futures::TryStreamExt;

use crate::client::Client;
use crate::error::ClientError;

/// A table of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// Its database.
    pub database: String,
    /// Its name.
    pub table: String,
    /// Its columns, partition columns last.
    pub columns: Vec<String>,
}

impl Client {
    /// Tables of all databases with their columns, `limit` at most. Cancel safe.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tables(&self, limit: usize) -> Result<Vec<TableName>, ClientError> {
        let command = CommandGetTables {
            include_schema: true,
            ..CommandGetTables::default()
        };
        let mut batches = self.execute(command.as_any()).await?;
        let mut tables = Vec::new();
        while let Some(batch) = batches.try_next().await? {
            read(&batch, &mut tables)?;
            if tables.len() >= limit {
                tables.truncate(limit);
                break;
            }
        }
        Ok(tables)
    }
}

fn read(batch: &RecordBatch, tables: &mut Vec<TableName>) -> Result<(), ClientError> {
    let column = |name| {
        batch
            .column_by_name(name)
            .ok_or_else(|| ClientError::protocol("the list of tables lacks a column"))
    };
    let text = |name| {
        column(name)?
            .as_string_opt::<i32>()
            .ok_or_else(|| ClientError::protocol("a name in the list of tables is no text"))
    };
    let (databases, names) = (text("db_schema_name")?, text("table_name")?);
    let schemas = column("table_schema")?
        .as_binary_opt::<i32>()
        .ok_or_else(|| ClientError::protocol("a schema in the list of tables is no binary"))?;
    for row in 0..batch.num_rows() {
        let message = IpcMessage(Bytes::copy_from_slice(schemas.value(row)));
        // A table whose schema cannot be told still has a name.
        let schema = Schema::try_from(message).unwrap_or_else(|_unreadable| Schema::empty());
        let database = if databases.is_null(row) {
            ""
        } else {
            databases.value(row)
        };
        tables.push(TableName {
            database: database.to_owned(),
            table: names.value(row).to_owned(),
            columns: schema.fields().iter().map(|f| f.name().clone()).collect(),
        });
    }
    Ok(())
}
