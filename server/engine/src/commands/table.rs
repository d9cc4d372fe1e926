//! CREATE EXTERNAL TABLE and DROP TABLE: a definition that cannot be queried is refused here, by name.

use std::collections::HashSet;

use owlake_catalog::projection::ProjectionSpec;
use owlake_catalog::{Column, HiveType, Table};
use owlake_dialect::{CreateTable, TableName};
use owlake_fault::{Code, Fault};
use owlake_scan::location::Location;

use super::{CommandOutcome, CommandRunner, refuse_reserved};
use crate::authorizer::{Action, Resource};

impl CommandRunner {
    pub(super) async fn create_table(&self, create: CreateTable) -> Result<CommandOutcome, Fault> {
        let settings = &self.context.settings;
        let catalog = create.catalog.clone().unwrap_or_else(|| settings.catalog.clone());
        let mut table = create.table;
        if table.database_name.is_empty() {
            table.database_name.clone_from(&settings.database);
        }
        refuse_reserved(&table.database_name)?;
        let resource = Resource {
            catalog: &catalog,
            database: &table.database_name,
            table: Some(&table.name),
        };
        self.resolver.authorize(&self.context, Action::Change, resource)?;
        let store = self.resolver.catalog(&catalog)?;
        if create.if_not_exists && store.table(&table.database_name, &table.name).await?.is_some() {
            return Ok(CommandOutcome::nothing());
        }
        owlake_scan::check_format(&table)?;
        let location = self.checked_location(&table)?;
        if !create.columns_declared {
            table.storage_descriptor.columns = self.columns_from_footer(&table, &location).await?;
        }
        check_columns(&table)?;
        owlake_scan::table_schema(&table)?;
        if ProjectionSpec::parse(&table)?.is_some() {
            self.check_template_roots(&table)?;
        }
        table
            .table_type
            .get_or_insert_with(|| "EXTERNAL_TABLE".to_owned());
        table
            .parameters
            .entry("EXTERNAL".to_owned())
            .or_insert_with(|| "TRUE".to_owned());
        store.create_table(table, create.if_not_exists).await?;
        Ok(CommandOutcome::nothing())
    }

    fn checked_location(&self, table: &Table) -> Result<Location, Fault> {
        let Some(text) = &table.storage_descriptor.location else {
            return Err(Fault::new(
                Code::SyntaxError,
                format!("table `{}` has no LOCATION", table.name),
            )
            .with_hint("Add LOCATION 's3://bucket/prefix/'."));
        };
        let location = Location::parse(text)?;
        self.roots.check(&location)?;
        Ok(location)
    }

    /// The literal part of a location template must lie under the allowed roots too.
    fn check_template_roots(&self, table: &Table) -> Result<(), Fault> {
        if let Some(template) = table.parameters.get("storage.location.template") {
            let literal = template.split("${").next().unwrap_or_default();
            let folder = literal.rfind('/').map_or(literal, |i| &literal[..=i]);
            self.roots.check(&Location::parse(folder)?)?;
        }
        Ok(())
    }

    async fn columns_from_footer(&self, table: &Table, location: &Location) -> Result<Vec<Column>, Fault> {
        let name = table.qualified_name();
        if !owlake_scan::describes_itself(table) {
            return Err(Fault::new(
                Code::HiveInvalidMetadata,
                format!("`{name}` has no column list, and files of its format do not say their columns"),
            )
            .with_hint("Write the columns."));
        }
        let found = owlake_scan::footer_schema(&self.scan, &name, location).await?;
        let Some(fields) = found else {
            return Err(Fault::new(
                Code::HiveInvalidMetadata,
                format!("`{name}` has no column list, and no Parquet file lies under its location to take one from"),
            )
            .with_hint("Write the columns, or check LOCATION."));
        };
        fields
            .into_iter()
            .map(|(column, data_type)| {
                let hive = HiveType::from_arrow(&data_type).ok_or_else(|| {
                    Fault::new(
                        Code::NotSupported,
                        format!(
                            "column `{column}` of `{name}` is stored as {data_type}, which has no Hive type"
                        ),
                    )
                    .with_hint("Write the column list without it.")
                })?;
                Ok(Column {
                    name: column.to_lowercase(),
                    data_type: hive.to_string(),
                    comment: None,
                })
            })
            .filter(|column: &Result<Column, Fault>| {
                !column
                    .as_ref()
                    .is_ok_and(|c| table.partition_keys.iter().any(|k| k.name == c.name))
            })
            .collect()
    }

    pub(super) async fn drop_table(
        &self,
        name: &TableName,
        if_exists: bool,
    ) -> Result<CommandOutcome, Fault> {
        let full = self.full_name(name);
        refuse_reserved(&full.database)?;
        let resource = Resource {
            catalog: &full.catalog,
            database: &full.database,
            table: Some(&full.table),
        };
        self.resolver.authorize(&self.context, Action::Change, resource)?;
        let store = self.resolver.catalog(&full.catalog)?;
        if if_exists && store.table(&full.database, &full.table).await?.is_none() {
            return Ok(CommandOutcome::nothing());
        }
        store.drop_table(&full.database, &full.table).await?;
        Ok(CommandOutcome::nothing())
    }
}

fn check_columns(table: &Table) -> Result<(), Fault> {
    let name = table.qualified_name();
    if table.storage_descriptor.columns.is_empty() {
        return Err(Fault::new(
            Code::InvalidArguments,
            format!("table `{name}` has no columns"),
        ));
    }
    let mut seen = HashSet::new();
    for column in table
        .storage_descriptor
        .columns
        .iter()
        .chain(&table.partition_keys)
    {
        if !seen.insert(column.name.as_str()) {
            return Err(Fault::new(
                Code::InvalidArguments,
                format!("column `{}` of `{name}` is declared twice", column.name),
            )
            .with_hint("A partition column may not repeat a data column."));
        }
    }
    for key in &table.partition_keys {
        if key.data_type.contains('<') {
            return Err(Fault::new(
                Code::InvalidArguments,
                format!(
                    "partition column `{}` of `{name}` has type {}; only primitive types can be one",
                    key.name, key.data_type
                ),
            ));
        }
    }
    Ok(())
}
