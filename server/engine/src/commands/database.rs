//! CREATE, DROP DATABASE and USE.

use owlake_catalog::Database;
use owlake_dialect::{CreateDatabase, DatabaseName};
use owlake_fault::{Code, Fault};
use owlake_scan::location::Location;

use super::{CommandOutcome, CommandRunner, refuse_reserved};
use crate::authorizer::{Action, Resource};
use crate::context::DEFAULT_DATABASE;

impl CommandRunner {
    pub(super) async fn create_database(&self, create: CreateDatabase) -> Result<CommandOutcome, Fault> {
        let (catalog, name) = self.full_database(&create.database);
        refuse_reserved(&name)?;
        let resource = Resource {
            catalog: &catalog,
            database: &name,
            table: None,
        };
        self.resolver.authorize(&self.context, Action::Change, resource)?;
        if let Some(text) = &create.location {
            self.roots.check(&Location::parse(text)?)?;
        }
        let database = Database {
            name,
            description: create.comment,
            location_uri: create.location,
            parameters: create.properties,
            ..Database::default()
        };
        self.resolver
            .catalog(&catalog)?
            .create_database(database, create.if_not_exists)
            .await?;
        Ok(CommandOutcome::nothing())
    }

    pub(super) async fn drop_database(
        &self,
        database: &DatabaseName,
        if_exists: bool,
        cascade: bool,
    ) -> Result<CommandOutcome, Fault> {
        let (catalog, name) = self.full_database(database);
        refuse_reserved(&name)?;
        let resource = Resource {
            catalog: &catalog,
            database: &name,
            table: None,
        };
        self.resolver.authorize(&self.context, Action::Change, resource)?;
        if name == DEFAULT_DATABASE {
            // Hive's metastore refuses it too; sessions that name no database start in it.
            return Err(Fault::new(
                Code::InvalidArguments,
                format!("database `{name}` cannot be dropped"),
            )
            .with_hint("Drop its tables one by one."));
        }
        let store = self.resolver.catalog(&catalog)?;
        if if_exists && store.database(&name).await?.is_none() {
            return Ok(CommandOutcome::nothing());
        }
        store.drop_database(&name, cascade).await?;
        Ok(CommandOutcome::nothing())
    }

    pub(super) async fn use_database(&self, database: &DatabaseName) -> Result<CommandOutcome, Fault> {
        let (catalog, name) = self.full_database(database);
        let resource = Resource {
            catalog: &catalog,
            database: &name,
            table: None,
        };
        self.resolver.authorize(&self.context, Action::Read, resource)?;
        let reserved = refuse_reserved(&name).is_err();
        if !reserved && self.resolver.catalog(&catalog)?.database(&name).await?.is_none() {
            return Err(
                Fault::new(Code::SchemaNotFound, format!("database `{name}` does not exist"))
                    .with_hint("SHOW DATABASES lists them."),
            );
        }
        let mut settings = self.context.settings.clone();
        settings.catalog = catalog;
        settings.database = name;
        Ok(CommandOutcome {
            rows: None,
            settings: Some(settings),
        })
    }
}
