//! Registered partitions as rows, and the lists of them kept in memory.
//!
//! What partitions of one table share (columns, formats, SerDe) is stored once, as a descriptor.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::rows::{self, TableRow, from_json, to_json};
use super::schema::CATALOG_ID;
use super::{Stamp, TableName};
use crate::error::CatalogError;
use crate::model::{Column, Partition, StorageDescriptor};
use crate::names;

/// Partitions kept in memory over all tables; a larger list is handed out but not kept.
pub(super) const CACHED_PARTITIONS: usize = 1_000_000;

/// Lists by table row, newest use last to go.
pub(super) struct PartitionCache {
    lists: HashMap<i64, Cached>,
    /// Partitions in all lists together.
    limit: usize,
    clock: u64,
}

struct Cached {
    /// Versions of the table row and of its partitions; both never repeat, even where row ids do.
    versions: (i64, i64),
    list: Arc<Vec<Partition>>,
    used: u64,
}

impl PartitionCache {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            lists: HashMap::new(),
            limit,
            clock: 0,
        }
    }

    pub(super) fn get(&mut self, table: &TableRow) -> Option<Arc<Vec<Partition>>> {
        self.clock += 1;
        let cached = self
            .lists
            .get_mut(&table.id)
            .filter(|c| c.versions == versions(table))?;
        cached.used = self.clock;
        Some(Arc::clone(&cached.list))
    }

    pub(super) fn put(&mut self, table: &TableRow, list: &Arc<Vec<Partition>>) {
        self.lists.remove(&table.id);
        if list.len() > self.limit {
            return;
        }
        let mut kept: usize = self.lists.values().map(|c| c.list.len()).sum();
        while kept + list.len() > self.limit {
            let Some((&oldest, _)) = self.lists.iter().min_by_key(|(_, c)| c.used) else {
                break;
            };
            kept -= self.lists.remove(&oldest).map_or(0, |c| c.list.len());
        }
        let cached = Cached {
            versions: versions(table),
            list: Arc::clone(list),
            used: self.clock,
        };
        self.lists.insert(table.id, cached);
    }
}

fn versions(table: &TableRow) -> (i64, i64) {
    (table.table.version, table.partitions_version)
}

fn table_of(conn: &Connection, name: &TableName) -> Result<TableRow, CatalogError> {
    rows::table(conn, name)?.ok_or_else(|| name.clone().not_found())
}

pub(super) fn list(
    conn: &Connection,
    cache: &mut PartitionCache,
    name: TableName,
) -> Result<Arc<Vec<Partition>>, CatalogError> {
    let table = table_of(conn, &name)?;
    if let Some(list) = cache.get(&table) {
        return Ok(list);
    }
    let descriptors = load_descriptors(conn, &table)?;
    let mut query = conn.prepare_cached(
        "SELECT partition_values, version, create_time, location, descriptor_id, parameters
         FROM partitions WHERE table_id = ?1",
    )?;
    let mut found = query
        .query_map([table.id], |row| {
            let mut storage_descriptor = descriptors
                .get(&row.get::<_, i64>(4)?)
                .cloned()
                .unwrap_or_default();
            storage_descriptor.location = row.get(3)?;
            Ok(Partition {
                values: from_json(row, 0)?,
                version: row.get(1)?,
                create_time: row.get(2)?,
                storage_descriptor,
                parameters: from_json(row, 5)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable_by(|a, b| a.values.cmp(&b.values));
    let found = Arc::new(found);
    cache.put(&table, &found);
    Ok(found)
}

/// The table's descriptors by id; columns that equal the table's are left out, as the trait promises.
fn load_descriptors(
    conn: &Connection,
    table: &TableRow,
) -> Result<HashMap<i64, StorageDescriptor>, CatalogError> {
    let mut query = conn.prepare_cached("SELECT id, content FROM descriptors WHERE table_id = ?1")?;
    let found = query.query_map([table.id], |row| {
        let mut descriptor: StorageDescriptor = from_json(row, 1)?;
        if descriptor.columns == table.table.storage_descriptor.columns {
            descriptor.columns = Vec::new();
        }
        Ok((row.get(0)?, descriptor))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub(super) fn add(
    tx: &Transaction<'_>,
    stamp: &Stamp,
    name: TableName,
    partitions: Vec<Partition>,
    if_not_exists: bool,
) -> Result<usize, CatalogError> {
    let table = table_of(tx, &name)?;
    let mut descriptors = Descriptors::new(tx, table.id)?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO partitions (catalog_id, table_id, partition_values, version, create_time, location, descriptor_id,
                                 parameters)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
    )?;
    let mut added = 0;
    for mut partition in partitions {
        check_arity(&name, &table.table.partition_keys, &partition.values)?;
        names::normalize_partition(&mut partition);
        let location = partition.storage_descriptor.location.take();
        let new = insert.execute((
            CATALOG_ID,
            table.id,
            to_json(&partition.values)?,
            stamp.version,
            stamp.now,
            location,
            descriptors.id_of(&partition.storage_descriptor)?,
            to_json(&partition.parameters)?,
        ))?;
        if new == 0 && !if_not_exists {
            let spec = Partition::spec(&table.table.partition_keys, &partition.values);
            return Err(CatalogError::PartitionExists(name.database, name.table, spec));
        }
        added += new;
    }
    if added > 0 {
        touch(tx, stamp, table.id)?;
    }
    Ok(added)
}

pub(super) fn update(
    tx: &Transaction<'_>,
    stamp: &Stamp,
    name: TableName,
    partitions: Vec<Partition>,
) -> Result<(), CatalogError> {
    let table = table_of(tx, &name)?;
    let mut descriptors = Descriptors::new(tx, table.id)?;
    let mut update = tx.prepare_cached(
        "UPDATE partitions SET version = ?3, location = ?4, descriptor_id = ?5, parameters = ?6
         WHERE table_id = ?1 AND partition_values = ?2",
    )?;
    for mut partition in partitions {
        names::normalize_partition(&mut partition);
        let location = partition.storage_descriptor.location.take();
        let changed = update.execute((
            table.id,
            to_json(&partition.values)?,
            stamp.version,
            location,
            descriptors.id_of(&partition.storage_descriptor)?,
            to_json(&partition.parameters)?,
        ))?;
        if changed == 0 {
            let spec = Partition::spec(&table.table.partition_keys, &partition.values);
            return Err(CatalogError::PartitionNotFound(name.database, name.table, spec));
        }
    }
    forget_unused_descriptors(tx, table.id)?;
    touch(tx, stamp, table.id)
}

pub(super) fn drop_all(
    tx: &Transaction<'_>,
    stamp: &Stamp,
    name: TableName,
    values: &[Vec<String>],
    if_exists: bool,
) -> Result<usize, CatalogError> {
    let table = table_of(tx, &name)?;
    let mut delete =
        tx.prepare_cached("DELETE FROM partitions WHERE table_id = ?1 AND partition_values = ?2")?;
    let mut dropped = 0;
    for values in values {
        check_arity(&name, &table.table.partition_keys, values)?;
        let gone = delete.execute((table.id, to_json(values)?))?;
        if gone == 0 && !if_exists {
            let spec = Partition::spec(&table.table.partition_keys, values);
            return Err(CatalogError::PartitionNotFound(name.database, name.table, spec));
        }
        dropped += gone;
    }
    if dropped > 0 {
        forget_unused_descriptors(tx, table.id)?;
        touch(tx, stamp, table.id)?;
    }
    Ok(dropped)
}

fn check_arity(name: &TableName, keys: &[Column], values: &[String]) -> Result<(), CatalogError> {
    if keys.len() == values.len() && !keys.is_empty() {
        return Ok(());
    }
    Err(CatalogError::PartitionArity {
        table: name.qualified(),
        given: values.len(),
        keys: keys.len(),
    })
}

/// Makes lists in memory stale. The table's own version stays: its definition did not change.
fn touch(tx: &Transaction<'_>, stamp: &Stamp, table_id: i64) -> Result<(), CatalogError> {
    tx.prepare_cached("UPDATE tables SET partitions_version = ?2 WHERE id = ?1")?
        .execute((table_id, stamp.version))?;
    Ok(())
}

fn forget_unused_descriptors(tx: &Transaction<'_>, table_id: i64) -> Result<(), CatalogError> {
    tx.prepare_cached(
        "DELETE FROM descriptors WHERE table_id = ?1
         AND NOT EXISTS (SELECT 1 FROM partitions p WHERE p.descriptor_id = descriptors.id)",
    )?
    .execute([table_id])?;
    Ok(())
}

/// Finds or stores descriptors of one table by content.
struct Descriptors<'a> {
    tx: &'a Transaction<'a>,
    table_id: i64,
    known: HashMap<String, i64>,
    /// Partitions of one statement mostly share one: saves writing its JSON each time.
    last: Option<(StorageDescriptor, i64)>,
}

impl<'a> Descriptors<'a> {
    fn new(tx: &'a Transaction<'a>, table_id: i64) -> Result<Self, CatalogError> {
        let mut query = tx.prepare_cached("SELECT content, id FROM descriptors WHERE table_id = ?1")?;
        let known = query
            .query_map([table_id], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        Ok(Self {
            tx,
            table_id,
            known,
            last: None,
        })
    }

    /// `descriptor` has no location: that one is the partition's own.
    fn id_of(&mut self, descriptor: &StorageDescriptor) -> Result<i64, CatalogError> {
        if let Some((last, id)) = &self.last
            && last == descriptor
        {
            return Ok(*id);
        }
        let content = to_json(descriptor)?;
        let id = match self.known.get(&content) {
            Some(id) => *id,
            None => {
                let id: Option<i64> = self
                    .tx
                    .prepare_cached(
                        "INSERT INTO descriptors (table_id, content) VALUES (?1, ?2) RETURNING id",
                    )?
                    .query_row((self.table_id, &content), |row| row.get(0))
                    .optional()?;
                let id = id.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
                self.known.insert(content, id);
                id
            }
        };
        self.last = Some((descriptor.clone(), id));
        Ok(id)
    }
}
