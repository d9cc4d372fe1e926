//! Reads dumps of the AWS CLI (`aws glue get-databases`, `get-tables`, ...) into a catalog.
//!
//! Repeatable: what is there already is compared, not created again. A bad row is reported with its
//! place and the rest goes on. Asking Glue itself is not done here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::CatalogError;
use crate::hive_type::HiveType;
use crate::model::{Database, Partition, Table};
use crate::names::{self, NameOf};
use crate::store::CatalogStore;

/// Problems and notes that `Display` prints; the report holds all of them.
const SHOWN_LINES: usize = 50;

/// What happened to rows of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// New rows.
    pub created: usize,
    /// Rows whose definition differed and was replaced.
    pub updated: usize,
    /// Rows that were there as they are.
    pub unchanged: usize,
}

/// What an import did. `Display` is the report that users read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Databases.
    pub databases: Tally,
    /// Tables and views.
    pub tables: Tally,
    /// Registered partitions.
    pub partitions: Tally,
    /// Rows that are not in the catalog, each with its place and why.
    pub problems: Vec<String>,
    /// Rows that were imported but deserve a look.
    pub notes: Vec<String>,
}

/// Imports the documents of all files, in any mix and order: `DatabaseList`, `Database`, `TableList`,
/// `Table`, `Partitions`, `Partition`, several documents (pages) per file. Unknown fields are ignored,
/// names lower-cased, a table's missing database is created.
///
/// Databases go first, then tables, then each table's partitions in one transaction. Not cancel safe
/// as a whole: a dropped import leaves what it had done; run again, it does the rest.
pub async fn import_glue_json(store: &dyn CatalogStore, documents: Vec<(String, String)>) -> ImportReport {
    let mut import = Import {
        store,
        report: ImportReport::default(),
    };
    let mut rows = Rows::default();
    for (file, json) in documents {
        rows.read(&file, &json, &mut import.report.problems);
    }
    for row in rows.databases {
        import.database(row).await;
    }
    for row in rows.tables {
        import.table(row).await;
    }
    for ((database, table), partitions) in rows.partitions {
        import.partitions(&database, &table, partitions).await;
    }
    import.report
}

/// A row and the place it was read from: `tables.json: document 2, TableList[3]`.
struct Placed<T> {
    place: String,
    row: T,
}

#[derive(Default)]
struct Rows {
    databases: Vec<Placed<Database>>,
    tables: Vec<Placed<Table>>,
    /// By lower-case database and table, so that each table is read and changed once.
    partitions: BTreeMap<(String, String), Vec<Placed<Partition>>>,
}

impl Rows {
    fn read(&mut self, file: &str, json: &str, problems: &mut Vec<String>) {
        // Windows' consoles write a byte order mark.
        let json = json.trim_start_matches('\u{feff}');
        let mut count = 0;
        for document in serde_json::Deserializer::from_str(json).into_iter::<Value>() {
            count += 1;
            let place = format!("{file}: document {count}");
            match document {
                Ok(Value::Object(members)) => self.read_document(&place, members, problems),
                Ok(_) => problems.push(format!("{place}: not a JSON object")),
                // The reader cannot find the start of the next document.
                Err(e) => return problems.push(format!("{place}: {e}")),
            }
        }
        if count == 0 {
            problems.push(format!("{file}: empty"));
        }
    }

    fn read_document(
        &mut self,
        place: &str,
        members: serde_json::Map<String, Value>,
        problems: &mut Vec<String>,
    ) {
        let mut known = false;
        for (member, value) in members {
            let many = match member.as_str() {
                "DatabaseList" | "TableList" | "Partitions" => true,
                "Database" | "Table" | "Partition" => false,
                _ => continue,
            };
            known = true;
            let rows: Vec<(String, Value)> = match value {
                Value::Array(rows) if many => {
                    let places = rows.into_iter().enumerate();
                    places
                        .map(|(i, row)| (format!("{place}, {member}[{i}]"), row))
                        .collect()
                }
                row @ Value::Object(_) if !many => vec![(format!("{place}, {member}"), row)],
                _ => {
                    let expected = if many { "a list" } else { "an object" };
                    problems.push(format!("{place}, {member}: not {expected}"));
                    continue;
                }
            };
            for (place, row) in rows {
                if let Err(reason) = self.read_row(&member, &place, row) {
                    problems.push(format!("{place}: {reason}"));
                }
            }
        }
        if !known {
            let expected = "DatabaseList, Database, TableList, Table, Partitions, Partition";
            problems.push(format!("{place}: has none of {expected}"));
        }
    }

    fn read_row(&mut self, member: &str, place: &str, mut row: Value) -> Result<(), String> {
        drop_nulls(&mut row);
        let place = place.to_owned();
        match member {
            "DatabaseList" | "Database" => self.databases.push(Placed {
                place,
                row: typed(row)?,
            }),
            "TableList" | "Table" => self.tables.push(Placed {
                place,
                row: typed(row)?,
            }),
            _ => {
                let name = |member: &str| match row.get(member).and_then(Value::as_str) {
                    Some(name) => Ok(name.to_lowercase()),
                    None => Err(format!("{member} is missing")),
                };
                let table = (name("DatabaseName")?, name("TableName")?);
                self.partitions.entry(table).or_default().push(Placed {
                    place,
                    row: typed(row)?,
                });
            }
        }
        Ok(())
    }
}

fn typed<T: DeserializeOwned>(row: Value) -> Result<T, String> {
    serde_json::from_value(row).map_err(|e| e.to_string())
}

/// Some SDKs write absent members as null; the model knows them as missing.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(values) => values.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

enum Outcome {
    Created,
    Updated,
    Unchanged,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Created => self.created += 1,
            Outcome::Updated => self.updated += 1,
            Outcome::Unchanged => self.unchanged += 1,
        }
    }
}

struct Import<'a> {
    store: &'a dyn CatalogStore,
    report: ImportReport,
}

impl Import<'_> {
    async fn database(&mut self, Placed { place, row }: Placed<Database>) {
        match self.put_database(row).await {
            Ok(outcome) => self.report.databases.count(&outcome),
            Err(e) => self.problem(&place, &e),
        }
    }

    async fn table(&mut self, Placed { place, row }: Placed<Table>) {
        let oddities = type_oddities(&row);
        match self.put_table(&place, row).await {
            Ok(outcome) => {
                self.report.tables.count(&outcome);
                self.report
                    .notes
                    .extend(oddities.into_iter().map(|note| format!("{place}: {note}")));
            }
            Err(e) => self.problem(&place, &e),
        }
    }

    async fn put_database(&self, mut row: Database) -> Result<Outcome, CatalogError> {
        row.name = names::normalize(NameOf::Database, &row.name)?;
        let Some(old) = self.store.database(&row.name).await? else {
            self.store.create_database(row, false).await?;
            return Ok(Outcome::Created);
        };
        row.version = old.version;
        row.create_time = old.create_time;
        if *old == row {
            return Ok(Outcome::Unchanged);
        }
        self.store.update_database(row).await?;
        Ok(Outcome::Updated)
    }

    async fn put_table(&mut self, place: &str, mut row: Table) -> Result<Outcome, CatalogError> {
        names::normalize_table(&mut row)?;
        let Some(old) = self.store.table(&row.database_name, &row.name).await? else {
            if self.store.database(&row.database_name).await?.is_none() {
                let database = Database {
                    name: row.database_name.clone(),
                    ..Database::default()
                };
                let note = format!(
                    "{place}: its database `{}` was in no document so far; created",
                    database.name
                );
                self.store.create_database(database, true).await?;
                self.report.databases.created += 1;
                self.report.notes.push(note);
            }
            self.store.create_table(row, false).await?;
            return Ok(Outcome::Created);
        };
        row.version = old.version;
        row.create_time = old.create_time;
        if *old == row {
            return Ok(Outcome::Unchanged);
        }
        self.store.update_table(row).await?;
        Ok(Outcome::Updated)
    }

    /// All partitions of one table: those that fit are written together.
    async fn partitions(&mut self, database: &str, table: &str, rows: Vec<Placed<Partition>>) {
        let count = rows.len();
        let place = rows.first().map(|r| r.place.clone()).unwrap_or_default();
        match self.put_partitions(database, table, rows).await {
            Ok(tally) => {
                let total = &mut self.report.partitions;
                total.created += tally.created;
                total.updated += tally.updated;
                total.unchanged += tally.unchanged;
            }
            Err(e) => {
                let more = if count > 1 {
                    format!(" and {} more", count - 1)
                } else {
                    String::new()
                };
                self.problem(&format!("{place}{more}"), &e);
            }
        }
    }

    async fn put_partitions(
        &mut self,
        database: &str,
        table: &str,
        rows: Vec<Placed<Partition>>,
    ) -> Result<Tally, CatalogError> {
        let definition = self
            .store
            .table(database, table)
            .await?
            .ok_or_else(|| CatalogError::TableNotFound(database.to_owned(), table.to_owned()))?;
        let old = self.store.partitions(database, table).await?;
        let old: BTreeMap<&[String], &Partition> = old.iter().map(|p| (p.values.as_slice(), p)).collect();
        let keys = definition.partition_keys.len();
        let (mut new, mut changed, mut tally) = (BTreeMap::new(), BTreeMap::new(), Tally::default());
        let mut same = BTreeSet::new();
        for Placed { place, mut row } in rows {
            if row.values.len() != keys || keys == 0 {
                let given = row.values.len();
                let error = CatalogError::PartitionArity {
                    table: definition.qualified_name(),
                    given,
                    keys,
                };
                self.problem(&place, &error);
                continue;
            }
            names::normalize_partition(&mut row);
            let Some(old) = old.get(row.values.as_slice()) else {
                new.insert(row.values.clone(), row);
                continue;
            };
            if same_partition(&definition, old, &row) {
                changed.remove(&row.values);
                same.insert(row.values);
            } else {
                same.remove(&row.values);
                changed.insert(row.values.clone(), row);
            }
        }
        tally.unchanged = same.len();
        if !changed.is_empty() {
            tally.updated = changed.len();
            self.store
                .update_partitions(database, table, changed.into_values().collect())
                .await?;
        }
        if !new.is_empty() {
            let new: Vec<Partition> = new.into_values().collect();
            tally.created = self.store.add_partitions(database, table, new, true).await?;
        }
        Ok(tally)
    }

    fn problem(&mut self, place: &str, error: &CatalogError) {
        let mut text = format!("{place}: {error}");
        let mut cause = std::error::Error::source(error);
        while let Some(source) = cause {
            text.push_str(&format!(": {source}"));
            cause = source.source();
        }
        self.report.problems.push(text);
    }
}

/// Whether the stored partition says what the dump says; the store leaves columns out that equal the table's.
fn same_partition(table: &Table, old: &Partition, new: &Partition) -> bool {
    let mut new = new.clone();
    new.version = old.version;
    new.create_time = old.create_time;
    if new.storage_descriptor.columns == table.storage_descriptor.columns {
        new.storage_descriptor.columns.clear();
    }
    *old == new
}

/// Columns whose type no query will be able to read; the table is kept, since others may do.
fn type_oddities(table: &Table) -> Vec<String> {
    let columns = table
        .storage_descriptor
        .columns
        .iter()
        .chain(&table.partition_keys);
    let refused = columns.filter_map(|c| HiveType::parse(&c.data_type).err().map(|e| (c, e)));
    refused
        .map(|(column, e)| format!("column `{}`: {e}", column.name.to_lowercase()))
        .collect()
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tallies = [
            ("databases", self.databases),
            ("tables", self.tables),
            ("partitions", self.partitions),
        ];
        for (
            what,
            Tally {
                created,
                updated,
                unchanged,
            },
        ) in tallies
        {
            writeln!(
                f,
                "{what:<11}{created} created, {updated} updated, {unchanged} unchanged"
            )?;
        }
        for (what, lines) in [("problems", &self.problems), ("notes", &self.notes)] {
            if lines.is_empty() {
                continue;
            }
            writeln!(f, "{} {what}:", lines.len())?;
            for line in lines.iter().take(SHOWN_LINES) {
                writeln!(f, "  {line}")?;
            }
            if lines.len() > SHOWN_LINES {
                writeln!(f, "  ... and {} more", lines.len() - SHOWN_LINES)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
