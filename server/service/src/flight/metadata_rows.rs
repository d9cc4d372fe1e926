//! What the metadata commands list: from the catalog through the resolve door, never from files.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use owlake_catalog::Table;
use owlake_engine::resolve::{INFORMATION_SCHEMA, SYSTEM_SCHEMA};
use owlake_engine::{Action, Engine, INFORMATION_TABLES, QueryContext, Resource, SYSTEM_TABLES};
use owlake_fault::Fault;

use crate::flight::metadata::{COMMENT_KEY, NameFilter, TableRow, TableType};

/// `(catalog, database)` pairs that the caller may see.
pub(crate) async fn databases(
    engine: &Engine,
    context: &QueryContext,
    filter: &NameFilter,
) -> Result<Vec<(String, String)>, Fault> {
    let resolver = engine.resolver();
    let mut rows = Vec::new();
    for catalog in resolver.catalog_names() {
        if !filter.catalog(&catalog) {
            continue;
        }
        // Dropped since its name was read.
        let Ok(store) = resolver.catalog(&catalog) else {
            continue;
        };
        let found = match store.databases().await.map_err(Fault::from) {
            Ok(found) => found,
            // Another database that is down hides itself, and nothing else.
            Err(fault) if resolver.connector(&catalog).is_some() => {
                tracing::warn!(catalog, %fault, "a catalog is left out of a list");
                continue;
            }
            Err(fault) => return Err(fault),
        };
        for database in found {
            let resource = Resource {
                catalog: &catalog,
                database: &database.name,
                table: None,
            };
            if resolver.authorize(context, Action::Read, resource).is_ok() {
                rows.push((catalog.clone(), database.name.clone()));
            }
        }
        for system in [INFORMATION_SCHEMA, SYSTEM_SCHEMA] {
            rows.push((catalog.clone(), system.to_owned()));
        }
    }
    Ok(rows)
}

/// Tables that the caller may see, with their schemas where asked for.
pub(crate) async fn tables(
    engine: &Engine,
    context: &QueryContext,
    filter: &NameFilter,
    include_schema: bool,
) -> Result<Vec<TableRow>, Fault> {
    let resolver = engine.resolver();
    let mut rows = Vec::new();
    for (catalog, database) in databases(engine, context, filter).await? {
        if !filter.database(&database) {
            continue;
        }
        let system: &[&str] = match database.as_str() {
            SYSTEM_SCHEMA => SYSTEM_TABLES,
            INFORMATION_SCHEMA => INFORMATION_TABLES,
            _ => &[],
        };
        for name in system {
            if !filter.table(name, TableType::System) {
                continue;
            }
            let schema = if include_schema {
                let table = resolver.table(context, &catalog, &database, name).await?;
                Some(owlake_engine::wire::wire_schema(&table.schema()))
            } else {
                None
            };
            rows.push(TableRow {
                catalog: catalog.clone(),
                database: database.clone(),
                name: (*name).to_owned(),
                table_type: TableType::System,
                schema,
            });
        }
        if !system.is_empty() {
            continue;
        }
        let Ok(store) = resolver.catalog(&catalog) else {
            continue;
        };
        for table in store.tables(&database).await? {
            let table_type = if table.table_type.as_deref() == Some("VIRTUAL_VIEW") {
                TableType::View
            } else {
                TableType::Table
            };
            let resource = Resource {
                catalog: &catalog,
                database: &database,
                table: Some(&table.name),
            };
            if filter.table(&table.name, table_type)
                && resolver.authorize(context, Action::Read, resource).is_ok()
            {
                rows.push(TableRow {
                    catalog: catalog.clone(),
                    database: database.clone(),
                    name: table.name.clone(),
                    table_type,
                    schema: match resolver.connector(&catalog) {
                        _ if !include_schema => None,
                        None => Some(schema_of(&table)),
                        Some(_) => {
                            let provider = resolver.table(context, &catalog, &database, &table.name);
                            Some(owlake_engine::wire::wire_schema(&provider.await?.schema()))
                        }
                    },
                });
            }
        }
    }
    Ok(rows)
}

/// The wire schema of a table; a definition that cannot be read shows the columns that can.
fn schema_of(table: &Table) -> SchemaRef {
    let columns = table
        .storage_descriptor
        .columns
        .iter()
        .chain(&table.partition_keys);
    let fields: Vec<Field> = columns
        .filter_map(|column| {
            let hive = owlake_catalog::HiveType::parse(&column.data_type).ok()?;
            let mut field = Field::new(&column.name, hive.to_arrow(), true);
            if let Some(comment) = &column.comment {
                field = field.with_metadata([(COMMENT_KEY.to_owned(), comment.clone())].into());
            }
            Some(field)
        })
        .collect();
    let wire = owlake_engine::wire::wire_schema(&Schema::new(fields.clone()));
    let kept = wire
        .fields()
        .iter()
        .zip(fields)
        .map(|(wire, field)| wire.as_ref().clone().with_metadata(field.metadata().clone()))
        .collect::<Vec<_>>();
    Arc::new(Schema::new(kept))
}
