//! Databases and tables as rows. Partitions are in `partitions`.

use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::schema::CATALOG_ID;
use super::{Stamp, TableName};
use crate::error::CatalogError;
use crate::model::{Database, Table};

/// A table with what its row has beside the definition.
pub(super) struct TableRow {
    pub(super) id: i64,
    pub(super) partitions_version: i64,
    pub(super) table: Table,
}

pub(super) fn to_json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

pub(super) fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(e)))
}

const DATABASE: &str =
    "SELECT name, version, create_time, location_uri, description, parameters FROM databases";

fn database_of(row: &Row<'_>) -> rusqlite::Result<Arc<Database>> {
    Ok(Arc::new(Database {
        name: row.get(0)?,
        version: row.get(1)?,
        create_time: row.get(2)?,
        location_uri: row.get(3)?,
        description: row.get(4)?,
        parameters: from_json(row, 5)?,
    }))
}

pub(super) fn databases(conn: &Connection) -> Result<Vec<Arc<Database>>, CatalogError> {
    let mut query = conn.prepare_cached(&format!("{DATABASE} WHERE catalog_id = ?1 ORDER BY name"))?;
    let found = query
        .query_map([CATALOG_ID], database_of)?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

pub(super) fn database(conn: &Connection, name: &str) -> Result<Option<Arc<Database>>, CatalogError> {
    let mut query = conn.prepare_cached(&format!("{DATABASE} WHERE catalog_id = ?1 AND name = ?2"))?;
    Ok(query.query_row((CATALOG_ID, name), database_of).optional()?)
}

fn database_id(conn: &Connection, name: &str) -> Result<i64, CatalogError> {
    conn.prepare_cached("SELECT id FROM databases WHERE catalog_id = ?1 AND name = ?2")?
        .query_row((CATALOG_ID, name), |row| row.get(0))
        .optional()?
        .ok_or_else(|| CatalogError::DatabaseNotFound(name.to_owned()))
}

pub(super) fn create_database(
    tx: &Transaction<'_>,
    stamp: &Stamp,
    database: &Database,
    if_not_exists: bool,
) -> Result<(), CatalogError> {
    let new = tx
        .prepare_cached(
            "INSERT INTO databases (catalog_id, name, version, create_time, location_uri, description, parameters)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        )?
        .execute((
            CATALOG_ID,
            &database.name,
            stamp.version,
            stamp.now,
            &database.location_uri,
            &database.description,
            to_json(&database.parameters)?,
        ))?;
    if new == 0 && !if_not_exists {
        return Err(CatalogError::DatabaseExists(database.name.clone()));
    }
    Ok(())
}

pub(super) fn update_database(
    tx: &Transaction<'_>,
    stamp: &Stamp,
    database: &Database,
) -> Result<(), CatalogError> {
    let id = database_id(tx, &database.name)?;
    let changed = tx
        .prepare_cached(
            "UPDATE databases SET version = ?3, location_uri = ?4, description = ?5, parameters = ?6
             WHERE id = ?1 AND version = ?2",
        )?
        .execute((
            id,
            database.version,
            stamp.version,
            &database.location_uri,
            &database.description,
            to_json(&database.parameters)?,
        ))?;
    if changed == 0 {
        return Err(CatalogError::DatabaseChanged(database.name.clone()));
    }
    Ok(())
}

pub(super) fn drop_database(tx: &Transaction<'_>, name: String, cascade: bool) -> Result<(), CatalogError> {
    let id = database_id(tx, &name)?;
    let tables: u32 = tx
        .prepare_cached("SELECT count(*) FROM tables WHERE database_id = ?1")?
        .query_row([id], |r| r.get(0))?;
    if tables > 0 && !cascade {
        return Err(CatalogError::DatabaseNotEmpty(name, tables as usize));
    }
    tx.prepare_cached("DELETE FROM databases WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

pub(super) fn table_names(conn: &Connection, database: String) -> Result<Vec<String>, CatalogError> {
    let id = database_id(conn, &database)?;
    let mut query = conn.prepare_cached("SELECT name FROM tables WHERE database_id = ?1 ORDER BY name")?;
    let found = query
        .query_map([id], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

const TABLE: &str = "SELECT t.id, t.partitions_version, t.name, t.version, t.create_time, t.table_type, t.location, \
                     t.definition FROM tables t";

fn table_of(row: &Row<'_>, database: &str) -> rusqlite::Result<TableRow> {
    let mut table: Table = from_json(row, 7)?;
    table.database_name = database.to_owned();
    table.name = row.get(2)?;
    table.version = row.get(3)?;
    table.create_time = row.get(4)?;
    table.table_type = row.get(5)?;
    table.storage_descriptor.location = row.get(6)?;
    Ok(TableRow {
        id: row.get(0)?,
        partitions_version: row.get(1)?,
        table,
    })
}

pub(super) fn tables(conn: &Connection, database: String) -> Result<Vec<Arc<Table>>, CatalogError> {
    let id = database_id(conn, &database)?;
    let mut query = conn.prepare_cached(&format!("{TABLE} WHERE t.database_id = ?1 ORDER BY t.name"))?;
    let found = query
        .query_map([id], |row| table_of(row, &database).map(|r| Arc::new(r.table)))?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

pub(super) fn table(conn: &Connection, name: &TableName) -> Result<Option<TableRow>, CatalogError> {
    let mut query = conn.prepare_cached(&format!(
        "{TABLE} JOIN databases d ON d.id = t.database_id
         WHERE d.catalog_id = ?1 AND d.name = ?2 AND t.name = ?3"
    ))?;
    Ok(query
        .query_row((CATALOG_ID, &name.database, &name.table), |row| {
            table_of(row, &name.database)
        })
        .optional()?)
}

/// What a table row stores: columns for what is searched or shown alone, JSON for the rest.
struct Stored {
    table_type: Option<String>,
    location: Option<String>,
    definition: String,
}

/// Takes apart; [`table_of`] puts together again.
fn stored(mut table: Table) -> rusqlite::Result<Stored> {
    let table_type = table.table_type.take();
    let location = table.storage_descriptor.location.take();
    table.name.clear();
    table.database_name.clear();
    Ok(Stored {
        table_type,
        location,
        definition: to_json(&table)?,
    })
}

pub(super) fn create_table(
    tx: &Transaction<'_>,
    stamp: &Stamp,
    table: Table,
    if_not_exists: bool,
) -> Result<bool, CatalogError> {
    let name = TableName::new(&table.database_name, &table.name);
    let database = database_id(tx, &name.database)?;
    let row = stored(table)?;
    let new = tx
        .prepare_cached(
            "INSERT INTO tables (catalog_id, database_id, name, version, partitions_version, create_time, table_type,
                                 location, definition)
             VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        )?
        .execute((
            CATALOG_ID,
            database,
            &name.table,
            stamp.version,
            stamp.now,
            row.table_type,
            row.location,
            row.definition,
        ))?;
    match (new, if_not_exists) {
        (0, true) => Ok(false),
        (0, false) => Err(CatalogError::TableExists(name.database, name.table)),
        _ => Ok(true),
    }
}

pub(super) fn update_table(tx: &Transaction<'_>, stamp: &Stamp, table: Table) -> Result<(), CatalogError> {
    let name = TableName::new(&table.database_name, &table.name);
    let current = self::table(tx, &name)?.ok_or_else(|| name.clone().not_found())?;
    if current.table.version != table.version {
        return Err(CatalogError::TableChanged(name.database, name.table));
    }
    if current.table.partition_keys.len() != table.partition_keys.len() && has_partitions(tx, current.id)? {
        return Err(CatalogError::InvalidTable {
            table: name.qualified(),
            reason: "has registered partitions: the number of its partition keys cannot change".to_owned(),
        });
    }
    let row = stored(table)?;
    tx.prepare_cached(
        "UPDATE tables SET version = ?2, table_type = ?3, location = ?4, definition = ?5 WHERE id = ?1",
    )?
    .execute((
        current.id,
        stamp.version,
        row.table_type,
        row.location,
        row.definition,
    ))?;
    Ok(())
}

fn has_partitions(tx: &Transaction<'_>, table_id: i64) -> Result<bool, CatalogError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM partitions WHERE table_id = ?1 LIMIT 1")?
        .exists([table_id])?)
}

pub(super) fn drop_table(tx: &Transaction<'_>, name: TableName) -> Result<(), CatalogError> {
    let row = table(tx, &name)?.ok_or_else(|| name.not_found())?;
    tx.prepare_cached("DELETE FROM tables WHERE id = ?1")?
        .execute([row.id])?;
    Ok(())
}
