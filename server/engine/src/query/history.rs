//! Doors of the usage service: the estimate of a query to come, and the ledger of those past as a principal may see
//! it: the own queries, and those of others where the authorizer lets the principal read `system.queries`.

use owlake_fault::{Code, Fault};
use owlake_metering::{LedgerFilter, QueryRecord};

use crate::authorizer::{Action, Resource};
use crate::context::QueryContext;
use crate::engine::Engine;
use crate::query::{Estimate, QueryFailure};
use crate::resolve::SYSTEM_SCHEMA;

impl Engine {
    /// What a query would read and cost; no data byte is read. The estimate has a receipt and a ledger row of its
    /// own, as `EXPLAIN (TYPE COST)` has.
    pub async fn estimate(&self, mut context: QueryContext, sql: &str) -> Result<Estimate, QueryFailure> {
        context.dry_run = true;
        let mut running = self.submit(context, sql).await?.run().await?;
        while running.next_batch().await?.is_some() {}
        let mut estimate = running.estimate().cloned().ok_or_else(|| {
            Fault::new(Code::InvalidArguments, "this statement has no estimate")
                .with_hint("Estimate a query, DDL or EXPLAIN ANALYZE.")
        })?;
        estimate.receipt = running.receipt().cloned();
        Ok(estimate)
    }

    /// The ledger row of a query that has ended.
    ///
    /// # Errors
    /// `HANDLE_NOT_FOUND` where there is none, it still runs, or the principal may not see it: which of them is not
    /// told.
    pub async fn ended_query(&self, context: &QueryContext, query_id: &str) -> Result<QueryRecord, Fault> {
        let found = self.ledger().query(query_id).await.map_err(Fault::from)?;
        found
            .filter(|r| r.receipt.state.is_terminal())
            .filter(|r| r.principal == context.principal.0 || self.sees_all(context))
            .ok_or_else(|| {
                Fault::new(
                    Code::HandleNotFound,
                    format!("query `{query_id}` is unknown or has not ended"),
                )
            })
    }

    /// Ledger rows, newest first; those of others are left out where the principal may not see them.
    pub async fn past_queries(
        &self,
        context: &QueryContext,
        mut filter: LedgerFilter,
    ) -> Result<Vec<QueryRecord>, Fault> {
        let own = &context.principal.0;
        if !self.sees_all(context) {
            if filter.principal.as_ref().is_some_and(|asked| asked != own) {
                return Ok(Vec::new());
            }
            filter.principal = Some(own.clone());
        }
        self.ledger().queries(filter).await.map_err(Fault::from)
    }

    fn sees_all(&self, context: &QueryContext) -> bool {
        let queries = Resource {
            catalog: &context.settings.catalog,
            database: SYSTEM_SCHEMA,
            table: Some("queries"),
        };
        self.resolver().authorize(context, Action::Read, queries).is_ok()
    }
}
