//! A remote table for the engine's planner: which filters the database takes over, and the scan.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::catalog::{RelationKind, RemoteTable};
use super::database::Database;
use super::exec::PostgresScan;
use super::filter;
use super::scan::ScanRequest;

/// A table or view of a PostgreSQL database.
#[derive(Debug)]
pub(super) struct PostgresTable {
    database: Arc<Database>,
    table: Arc<RemoteTable>,
}

impl PostgresTable {
    pub(super) fn new(database: Arc<Database>, table: Arc<RemoteTable>) -> Self {
        Self { database, table }
    }

    /// The table, where it is one of this database.
    pub(super) fn table_of(&self, database: &Arc<Database>) -> Option<&Arc<RemoteTable>> {
        let is_table = self.table.query.is_none() && !self.table.is_statement();
        (is_table && Arc::ptr_eq(&self.database, database)).then_some(&self.table)
    }
}

#[async_trait]
impl TableProvider for PostgresTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.table.schema())
    }

    fn table_type(&self) -> TableType {
        match self.table.kind {
            RelationKind::View | RelationKind::MaterializedView => TableType::View,
            RelationKind::Table | RelationKind::ForeignTable => TableType::Base,
        }
    }

    /// By the statistics of the database, for the order of joins; nothing where it has none.
    fn statistics(&self) -> Option<Statistics> {
        let rows = usize::try_from(self.table.estimated_rows?).ok()?;
        let mut statistics = Statistics::new_unknown(self.table.schema());
        statistics.num_rows = Precision::Inexact(rows);
        for (of, column) in statistics.column_statistics.iter_mut().zip(&self.table.columns) {
            if let Some(distinct) = column.known.distinct.filter(|known| *known != 0.0) {
                // Below 0 it is a part of the rows.
                let distinct = if distinct < 0.0 {
                    -distinct * rows as f64
                } else {
                    distinct
                };
                of.distinct_count = Precision::Inexact(distinct as usize);
            }
            if let Some(width) = column.known.width.and_then(|width| usize::try_from(width).ok()) {
                of.byte_size = Precision::Inexact(width.saturating_mul(rows));
            }
        }
        Some(statistics)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answer = |filter: &&Expr| match filter::condition(&self.table, filter) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let conditions: Option<Vec<String>> = filters
            .iter()
            .map(|filter| filter::condition(&self.table, filter))
            .collect();
        // Only those that were promised come here.
        let conditions = conditions.ok_or_else(|| {
            DataFusionError::Internal(
                "a filter that was not taken over was handed to a remote scan".to_owned(),
            )
        })?;
        let request = ScanRequest {
            table: Arc::clone(&self.table),
            projection: projection
                .cloned()
                .unwrap_or_else(|| (0..self.table.columns.len()).collect()),
            filter: (!conditions.is_empty()).then(|| conditions.join(" AND ")),
            limit: limit.map(|limit| limit as u64),
            timeout: None,
        };
        let rows = self.database.expected_rows(&request).await;
        let scan = PostgresScan::new(
            Arc::clone(&self.database),
            request,
            rows,
            state.config().target_partitions(),
        );
        Ok(Arc::new(
            scan.map_err(|fault| DataFusionError::External(Box::new(fault)))?,
        ))
    }
}
