//! `information_schema.*`: databases, tables and columns that the principal may see.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Builder, RecordBatch, StringBuilder};
use owlake_catalog::HiveType;
use owlake_fault::Fault;

use super::internal;
use crate::authorizer::{Action, Resource};
use crate::context::QueryContext;
use crate::resolve::{INFORMATION_SCHEMA, Resolver, SYSTEM_SCHEMA};

/// Databases of a catalog that the principal may see.
pub(crate) async fn visible_databases(
    resolver: &Resolver,
    context: &QueryContext,
    catalog: &str,
) -> Result<Vec<String>, Fault> {
    let all = resolver.catalog(catalog)?.databases().await?;
    Ok(all
        .iter()
        .filter(|d| {
            let resource = Resource {
                catalog,
                database: &d.name,
                table: None,
            };
            resolver.authorize(context, Action::Read, resource).is_ok()
        })
        .map(|d| d.name.clone())
        .collect())
}

/// Tables of a database that the principal may see.
pub(crate) async fn visible_tables(
    resolver: &Resolver,
    context: &QueryContext,
    catalog: &str,
    database: &str,
) -> Result<Vec<Arc<owlake_catalog::Table>>, Fault> {
    let all = resolver.catalog(catalog)?.tables(database).await?;
    Ok(all
        .into_iter()
        .filter(|t| {
            let resource = Resource {
                catalog,
                database,
                table: Some(&t.name),
            };
            resolver.authorize(context, Action::Read, resource).is_ok()
        })
        .collect())
}

pub(super) async fn schemata(
    resolver: &Resolver,
    context: &QueryContext,
    catalog: &str,
) -> Result<RecordBatch, Fault> {
    let (mut catalogs, mut names) = (StringBuilder::new(), StringBuilder::new());
    let databases = visible_databases(resolver, context, catalog).await?;
    let system = [INFORMATION_SCHEMA.to_owned(), SYSTEM_SCHEMA.to_owned()];
    for name in databases.iter().chain(&system) {
        catalogs.append_value(catalog);
        names.append_value(name);
    }
    RecordBatch::try_from_iter_with_nullable([
        ("catalog_name", Arc::new(catalogs.finish()) as ArrayRef, true),
        ("schema_name", Arc::new(names.finish()) as ArrayRef, true),
    ])
    .map_err(internal)
}

pub(super) async fn tables(
    resolver: &Resolver,
    context: &QueryContext,
    catalog: &str,
) -> Result<RecordBatch, Fault> {
    let mut builders: [StringBuilder; 4] = Default::default();
    for database in visible_databases(resolver, context, catalog).await? {
        for table in visible_tables(resolver, context, catalog, &database).await? {
            let kind = if table.table_type.as_deref() == Some("VIRTUAL_VIEW") {
                "VIEW"
            } else {
                "BASE TABLE"
            };
            for (builder, value) in builders.iter_mut().zip([catalog, &database, &table.name, kind]) {
                builder.append_value(value);
            }
        }
    }
    let [a, b, c, d] = builders.map(|mut b| Arc::new(b.finish()) as ArrayRef);
    RecordBatch::try_from_iter_with_nullable([
        ("table_catalog", a, true),
        ("table_schema", b, true),
        ("table_name", c, true),
        ("table_type", d, true),
    ])
    .map_err(internal)
}

pub(super) async fn columns(
    resolver: &Resolver,
    context: &QueryContext,
    catalog: &str,
) -> Result<RecordBatch, Fault> {
    let mut texts: [StringBuilder; 6] = Default::default();
    let (mut positions, mut comments) = (Int32Builder::new(), StringBuilder::new());
    for database in visible_databases(resolver, context, catalog).await? {
        for table in visible_tables(resolver, context, catalog, &database).await? {
            let all = table
                .storage_descriptor
                .columns
                .iter()
                .chain(&table.partition_keys);
            for (index, column) in all.enumerate() {
                let data_type = HiveType::parse(&column.data_type)
                    .map_or_else(|_unreadable| column.data_type.clone(), |t| t.trino_name());
                let row = [catalog, &database, &table.name, &column.name, &data_type, "YES"];
                for (builder, value) in texts.iter_mut().zip(row) {
                    builder.append_value(value);
                }
                positions.append_value(i32::try_from(index + 1).unwrap_or(i32::MAX));
                comments.append_option(column.comment.as_deref());
            }
        }
    }
    let [a, b, c, d, e, f] = texts.map(|mut b| Arc::new(b.finish()) as ArrayRef);
    RecordBatch::try_from_iter_with_nullable([
        ("table_catalog", a, true),
        ("table_schema", b, true),
        ("table_name", c, true),
        ("column_name", d, true),
        ("ordinal_position", Arc::new(positions.finish()) as ArrayRef, true),
        ("is_nullable", f, true),
        ("data_type", e, true),
        ("comment", Arc::new(comments.finish()) as ArrayRef, true),
    ])
    .map_err(internal)
}
