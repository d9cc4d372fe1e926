//! ALTER TABLE ADD and DROP PARTITION.

use owlake_catalog::projection::partition_values;
use owlake_catalog::{Partition, Table};
use owlake_dialect::{PartitionSpec, TableName};
use owlake_fault::{Code, Fault};
use owlake_scan::location::Location;

use super::{CommandOutcome, CommandRunner};
use crate::authorizer::Action;

impl CommandRunner {
    pub(super) async fn add_partitions(
        &self,
        name: &TableName,
        specs: Vec<PartitionSpec>,
        if_not_exists: bool,
    ) -> Result<CommandOutcome, Fault> {
        let full = self.full_name(name);
        let table = self.row(&full, Action::Change).await?;
        let mut partitions = Vec::with_capacity(specs.len());
        let mut places = Vec::with_capacity(specs.len());
        for spec in specs {
            let values = values_in_key_order(&table, &spec)?;
            partition_values(&table.partition_keys, &values)?;
            let base = table.storage_descriptor.location.as_deref().unwrap_or_default();
            let location = match spec.location {
                Some(location) => location,
                None => owlake_catalog::projection::hive_location(base, &table.partition_keys, &values),
            };
            let place = Location::parse(&location)?;
            self.roots.check(&place)?;
            places.push(place);
            let mut storage_descriptor = table.storage_descriptor.clone();
            storage_descriptor.location = Some(location);
            partitions.push(Partition {
                values,
                storage_descriptor,
                ..Partition::default()
            });
        }
        let store = self.resolver.catalog(&full.catalog)?;
        store
            .add_partitions(&full.database, &full.table, partitions, if_not_exists)
            .await?;
        // Somebody may have looked before the files came.
        for place in &places {
            self.scan.caches.invalidate_listings(place);
        }
        Ok(CommandOutcome::nothing())
    }

    pub(super) async fn drop_partitions(
        &self,
        name: &TableName,
        specs: Vec<PartitionSpec>,
        if_exists: bool,
    ) -> Result<CommandOutcome, Fault> {
        let full = self.full_name(name);
        let table = self.row(&full, Action::Change).await?;
        let values = specs
            .iter()
            .map(|s| values_in_key_order(&table, s))
            .collect::<Result<Vec<_>, _>>()?;
        let store = self.resolver.catalog(&full.catalog)?;
        store
            .drop_partitions(&full.database, &full.table, values, if_exists)
            .await?;
        Ok(CommandOutcome::nothing())
    }
}

/// The spec's values in the order of the partition keys; every key exactly once.
fn values_in_key_order(table: &Table, spec: &PartitionSpec) -> Result<Vec<String>, Fault> {
    let name = table.qualified_name();
    let keys = || {
        table
            .partition_keys
            .iter()
            .map(|k| k.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    if table.partition_keys.is_empty() {
        return Err(Fault::new(
            Code::InvalidArguments,
            format!("table `{name}` is not partitioned"),
        ));
    }
    for (column, _) in &spec.values {
        if !table.partition_keys.iter().any(|k| k.name == *column) {
            return Err(Fault::new(
                Code::ColumnNotFound,
                format!("`{column}` is no partition column of `{name}`"),
            )
            .with_hint(format!("Its partition columns are {}.", keys())));
        }
    }
    table
        .partition_keys
        .iter()
        .map(|key| {
            let mut given = spec.values.iter().filter(|(column, _)| *column == key.name);
            match (given.next(), given.next()) {
                (Some((_, value)), None) => Ok(value.clone()),
                (None, _) => Err(Fault::new(
                    Code::InvalidArguments,
                    format!("the partition of `{name}` lacks a value for `{}`", key.name),
                )
                .with_hint(format!("Name all of {}.", keys()))),
                (Some(_), Some(_)) => Err(Fault::new(
                    Code::InvalidArguments,
                    format!("partition column `{}` is given twice", key.name),
                )),
            }
        })
        .collect()
}
