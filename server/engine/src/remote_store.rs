//! A connector's catalog in the shape of the others, so that SHOW, DESCRIBE and metadata calls need not tell them
//! apart. Read only: definitions are changed in the database itself.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::DataType;
use owlake_catalog::{CatalogError, CatalogStore, Column, Database, HiveType, Partition, Table};
use owlake_fault::{Code, Fault};

use crate::connector::{Connector, RemoteRelation};

#[derive(Debug)]
pub(crate) struct RemoteStore(pub(crate) Arc<dyn Connector>);

/// Athena's sentence.
fn refused<T>() -> Result<T, CatalogError> {
    let what = "This operation is currently not supported for external catalogs";
    let fault = Fault::new(Code::NotSupported, what).with_hint("Change it in the database itself.");
    Err(CatalogError::External(fault))
}

fn row(database: &str, relation: RemoteRelation) -> Arc<Table> {
    let columns = relation.schema.fields().iter().map(|field| Column {
        name: field.name().clone(),
        data_type: type_text(field.data_type()),
        comment: None,
    });
    let kind = if relation.is_view {
        "VIRTUAL_VIEW"
    } else {
        "EXTERNAL_TABLE"
    };
    let mut table = Table {
        name: relation.name,
        database_name: database.to_lowercase(),
        table_type: Some(kind.to_owned()),
        ..Table::default()
    };
    table.storage_descriptor.columns = columns.collect();
    Arc::new(table)
}

/// Hive's name of a type, or Trino's where Hive has no such type.
fn type_text(data_type: &DataType) -> String {
    match data_type {
        DataType::Time64(_) => "time(6)".to_owned(),
        DataType::Interval(_) => "interval".to_owned(),
        other => {
            HiveType::from_arrow(other).map_or_else(|| other.to_string().to_lowercase(), |t| t.to_string())
        }
    }
}

#[async_trait]
impl CatalogStore for RemoteStore {
    async fn databases(&self) -> Result<Vec<Arc<Database>>, CatalogError> {
        let names = self.0.databases().await.map_err(CatalogError::External)?;
        let database = |name| {
            Arc::new(Database {
                name,
                ..Database::default()
            })
        };
        Ok(names.into_iter().map(database).collect())
    }

    async fn database(&self, name: &str) -> Result<Option<Arc<Database>>, CatalogError> {
        let name = name.to_lowercase();
        Ok(self
            .databases()
            .await?
            .into_iter()
            .find(|database| database.name == name))
    }

    async fn create_database(&self, _database: Database, _if_not_exists: bool) -> Result<(), CatalogError> {
        refused()
    }

    async fn update_database(&self, _database: Database) -> Result<(), CatalogError> {
        refused()
    }

    async fn drop_database(&self, _name: &str, _cascade: bool) -> Result<(), CatalogError> {
        refused()
    }

    async fn table_names(&self, database: &str) -> Result<Vec<String>, CatalogError> {
        Ok(self
            .tables(database)
            .await?
            .iter()
            .map(|table| table.name.clone())
            .collect())
    }

    async fn tables(&self, database: &str) -> Result<Vec<Arc<Table>>, CatalogError> {
        let relations = self.0.relations(database).await.map_err(CatalogError::External)?;
        let relations = relations.ok_or_else(|| CatalogError::DatabaseNotFound(database.to_owned()))?;
        Ok(relations
            .into_iter()
            .map(|relation| row(database, relation))
            .collect())
    }

    async fn table(&self, database: &str, table: &str) -> Result<Option<Arc<Table>>, CatalogError> {
        let relation = self
            .0
            .relation(database, table)
            .await
            .map_err(CatalogError::External)?;
        Ok(relation.map(|relation| row(database, relation)))
    }

    async fn create_table(&self, _table: Table, _if_not_exists: bool) -> Result<bool, CatalogError> {
        refused()
    }

    async fn update_table(&self, _table: Table) -> Result<(), CatalogError> {
        refused()
    }

    async fn drop_table(&self, _database: &str, _table: &str) -> Result<(), CatalogError> {
        refused()
    }

    async fn partitions(&self, _database: &str, _table: &str) -> Result<Arc<Vec<Partition>>, CatalogError> {
        Ok(Arc::default())
    }

    async fn add_partitions(
        &self,
        _database: &str,
        _table: &str,
        _partitions: Vec<Partition>,
        _if_not_exists: bool,
    ) -> Result<usize, CatalogError> {
        refused()
    }

    async fn update_partitions(
        &self,
        _database: &str,
        _table: &str,
        _partitions: Vec<Partition>,
    ) -> Result<(), CatalogError> {
        refused()
    }

    async fn drop_partitions(
        &self,
        _database: &str,
        _table: &str,
        _values: Vec<Vec<String>>,
        _if_exists: bool,
    ) -> Result<usize, CatalogError> {
        refused()
    }
}
