//! `system.remote_queries`: one row per query and statement that another database answered for it.

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use owlake_fault::Fault;
use owlake_metering::{Ledger, LedgerFilter, LedgerPosition, QueryPart, RemoteQuery};

use super::internal;
use super::ledger_table::{Family, of_parts};

#[derive(Debug)]
pub(super) struct RemoteQueries;

#[async_trait]
impl Family for RemoteQueries {
    async fn page(
        &self,
        ledger: &Ledger,
        filter: LedgerFilter,
    ) -> Result<(RecordBatch, Option<LedgerPosition>), Fault> {
        let page = ledger.remote_queries(filter).await.map_err(internal)?;
        Ok((batch(&page.rows)?, page.next))
    }
}

pub(super) fn batch(rows: &[QueryPart<RemoteQuery>]) -> Result<RecordBatch, Fault> {
    of_parts(rows)
        .text("catalog", |r| Some(&r.part.catalog))
        .text("remote_query", |r| Some(&r.part.remote_query))
        .count("remote_rows", |r| Some(r.part.remote_rows))
        .count("remote_bytes", |r| Some(r.part.remote_bytes))
        .count("elapsed_ms", |r| Some(r.part.elapsed_ms))
        .finish()
        .map_err(internal)
}
