//! `system.*` and `information_schema.*`: our own state as tables, made when a query names them.
//!
//! One file per table family; a new table is a file, a line in `SYSTEM_TABLES` and an arm in `system_table`.

mod caches;
mod columns;
mod information_schema;
mod queries;
mod settings;

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::{MemTable, TableProvider};
use owlake_fault::{Code, Fault};
use owlake_metering::{Ledger, LedgerFilter};
use owlake_scan::cache::ScanCaches;

use crate::context::QueryContext;
use crate::resolve::{INFORMATION_SCHEMA, Resolver, SYSTEM_SCHEMA};

pub(crate) use information_schema::{visible_databases, visible_tables};

/// Tables of schema `system`.
pub const SYSTEM_TABLES: &[&str] = &["caches", "queries", "settings"];
/// Tables of schema `information_schema`.
pub const INFORMATION_TABLES: &[&str] = &["columns", "schemata", "tables"];

fn not_found(schema: &str, table: &str, known: &[&str]) -> Fault {
    Fault::new(
        Code::TableNotFound,
        format!("table `{schema}.{table}` does not exist"),
    )
    .with_hint(format!("Known are: {}.", known.join(", ")))
}

fn mem_table(batch: RecordBatch) -> Result<Arc<dyn TableProvider>, Fault> {
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(internal)?;
    Ok(Arc::new(table))
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    Fault::new(Code::GenericInternalError, "internal error").with_source(error)
}

/// A table of schema `system`.
pub(crate) async fn system_table(
    ledger: &Ledger,
    caches: &ScanCaches,
    context: &QueryContext,
    table: &str,
) -> Result<Arc<dyn TableProvider>, Fault> {
    match table {
        "caches" => mem_table(caches::batch(&caches.status().await).map_err(internal)?),
        "queries" => {
            let records = ledger.queries(LedgerFilter::default()).await.map_err(internal)?;
            mem_table(queries::batch(&records).map_err(internal)?)
        }
        "settings" => mem_table(settings::batch(context).map_err(internal)?),
        _ => Err(not_found(SYSTEM_SCHEMA, table, SYSTEM_TABLES)),
    }
}

/// A table of schema `information_schema`.
pub(crate) async fn information_schema(
    resolver: &Resolver,
    context: &QueryContext,
    catalog: &str,
    table: &str,
) -> Result<Arc<dyn TableProvider>, Fault> {
    let batch = match table {
        "schemata" => information_schema::schemata(resolver, context, catalog).await?,
        "tables" => information_schema::tables(resolver, context, catalog).await?,
        "columns" => information_schema::columns(resolver, context, catalog).await?,
        _ => return Err(not_found(INFORMATION_SCHEMA, table, INFORMATION_TABLES)),
    };
    mem_table(batch)
}
