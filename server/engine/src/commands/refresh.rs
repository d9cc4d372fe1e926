//! REFRESH TABLE, and events of a bucket: what the caches hold is not used any more. Catalog and files stay as they are.

use owlake_catalog::Table;
use owlake_catalog::projection::LOCATION_TEMPLATE;
use owlake_dialect::TableName;
use owlake_fault::{Code, Fault};
use owlake_scan::location::Location;

use super::{CommandOutcome, CommandRunner};
use crate::authorizer::{Action, Resource};
use crate::context::QueryContext;
use crate::engine::Engine;
use crate::resolve::SYSTEM_SCHEMA;

impl CommandRunner {
    /// Listings, footers, indexes and data below every place where the table's files may lie.
    pub(super) async fn refresh_table(&self, name: &TableName) -> Result<CommandOutcome, Fault> {
        let full = self.full_name(name);
        if let Some(connector) = self.resolver.connector(&full.catalog) {
            connector.refresh();
            self.row(&full, Action::Read).await?;
            return Ok(CommandOutcome::nothing());
        }
        let table = self.row(&full, Action::Read).await?;
        let mut places = roots_of(&table)?;
        if places.is_empty() {
            return Err(Fault::new(
                Code::NotSupported,
                format!(
                    "`{}` has no location, so nothing of it is cached",
                    table.qualified_name()
                ),
            ));
        }
        if !table.partition_keys.is_empty() {
            let store = self.resolver.catalog(&full.catalog)?;
            for partition in store.partitions(&full.database, &full.table).await?.iter() {
                if let Some(location) = &partition.storage_descriptor.location {
                    let place = Location::parse(location)?;
                    if !places.iter().any(|root| place.is_under(root)) {
                        places.push(place);
                    }
                }
            }
        }
        for place in places {
            self.scan.caches.invalidate_listings(&place);
            self.scan.caches.forget_files(&place).await;
        }
        Ok(CommandOutcome::nothing())
    }
}

impl Engine {
    /// Something at or below `location` changed, or `location` is an object that did: no cached listing that may
    /// name it is used by a query that starts after this.
    ///
    /// # Errors
    /// A caller who may not change `system.caches`; text that is no location; one outside the allowed roots.
    pub fn invalidate_location(&self, context: &QueryContext, location: &str) -> Result<(), Fault> {
        let resource = Resource {
            catalog: &context.settings.catalog,
            database: SYSTEM_SCHEMA,
            table: Some("caches"),
        };
        self.shared
            .resolver
            .authorize(context, Action::Change, resource)?;
        let location = Location::parse(location)?;
        self.shared.stores.roots().check(&location)?;
        self.shared.caches.invalidate_listings(&location);
        Ok(())
    }
}

/// LOCATION, and what the location template starts with before its first column.
fn roots_of(table: &Table) -> Result<Vec<Location>, Fault> {
    let template = table.parameters.get(LOCATION_TEMPLATE).map(|text| {
        let fixed = text.split("${").next().unwrap_or_default();
        // Up to the last whole directory: what follows is the start of a name.
        fixed
            .rsplit_once('/')
            .map_or(fixed, |(directory, _name)| directory)
    });
    let location = table.storage_descriptor.location.as_deref();
    let mut roots: Vec<Location> = Vec::new();
    for text in location.into_iter().chain(template) {
        let root = Location::parse(text)?;
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_followed_up_to_its_first_column() {
        let mut table = Table::default();
        table.storage_descriptor.location = Some("s3://lake/t/".to_owned());
        let mut roots = |template: &str| -> Vec<String> {
            let key = LOCATION_TEMPLATE.to_owned();
            table.parameters.insert(key, template.to_owned());
            let roots = roots_of(&table).unwrap();
            roots.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            roots("s3://other/logs/day-${dt}/"),
            ["s3://lake/t/", "s3://other/logs/"]
        );
        assert_eq!(roots("s3://other/${dt}/x/"), ["s3://lake/t/", "s3://other/"]);
        assert_eq!(roots("s3://lake/t/${dt}/"), ["s3://lake/t/"]);
    }
}
