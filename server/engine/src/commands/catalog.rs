//! CREATE, DROP, SHOW CREATE CATALOG and SHOW CATALOGS.

use owlake_dialect::{CatalogCommand, NamePattern};
use owlake_fault::{Code, Fault};

use super::{CommandOutcome, CommandRunner, text_rows};
use crate::authorizer::{Action, Resource};
use crate::resolve::SYSTEM_SCHEMA;

/// Column of SHOW CREATE CATALOG, as in Trino.
pub(super) const SHOW_CREATE_COLUMNS: [&str; 1] = ["Create Catalog"];

impl CommandRunner {
    /// Catalogs are changed by whom the authorizer lets change `system.catalogs`.
    pub(super) async fn catalogs(&self, command: CatalogCommand) -> Result<CommandOutcome, Fault> {
        let catalogs = self.resolver.remote();
        match command {
            CatalogCommand::Create {
                if_not_exists,
                name,
                connector,
                properties,
            } => {
                self.may_change("catalogs")?;
                let properties = properties.0.into_iter().collect();
                catalogs
                    .create(name, connector, properties, if_not_exists)
                    .await?;
            }
            CatalogCommand::Drop { if_exists, name } => {
                self.may_change("catalogs")?;
                catalogs.drop_catalog(&name, if_exists).await?;
            }
            CatalogCommand::ShowCreate { name } => return self.show_create_catalog(&name),
        }
        Ok(CommandOutcome::nothing())
    }

    pub(super) fn show_catalogs(&self, pattern: Option<&NamePattern>) -> Result<CommandOutcome, Fault> {
        let names = self.resolver.catalog_names().into_iter();
        let rows = names
            .filter(|name| pattern.is_none_or(|pattern| pattern.matches(name)))
            .map(|name| [Some(name)])
            .collect();
        Ok(CommandOutcome::rows(text_rows(["Catalog"], rows)?))
    }

    fn show_create_catalog(&self, name: &str) -> Result<CommandOutcome, Fault> {
        let resource = Resource {
            catalog: name,
            database: SYSTEM_SCHEMA,
            table: Some("catalogs"),
        };
        self.resolver.authorize(&self.context, Action::Read, resource)?;
        self.resolver.catalog(name)?;
        let connector = self.resolver.connector(name).ok_or_else(|| {
            let what = format!("catalog `{name}` is the lake's own, which no statement creates");
            Fault::new(Code::NotSupported, what)
        })?;
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        let properties = connector.properties();
        let properties: Vec<String> = properties
            .iter()
            .map(|(key, value)| format!("   {key} = {}", quoted(value)))
            .collect();
        let statement = format!(
            "CREATE CATALOG `{name}` USING {}\nWITH (\n{}\n)",
            connector.connector_name(),
            properties.join(",\n")
        );
        let rows = text_rows(SHOW_CREATE_COLUMNS, vec![[Some(statement)]])?;
        Ok(CommandOutcome::rows(rows))
    }
}
