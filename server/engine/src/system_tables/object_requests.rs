//! `system.object_requests`: requests to object stores, of queries in sessions with `log_object_requests`.

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use owlake_fault::Fault;
use owlake_metering::{Ledger, LedgerFilter, LedgerPosition, RequestRecord};

use super::columns::Columns;
use super::internal;
use super::ledger_table::Family;

#[derive(Debug)]
pub(super) struct ObjectRequests;

#[async_trait]
impl Family for ObjectRequests {
    async fn page(
        &self,
        ledger: &Ledger,
        filter: LedgerFilter,
    ) -> Result<(RecordBatch, Option<LedgerPosition>), Fault> {
        let page = ledger.object_requests(filter).await.map_err(internal)?;
        Ok((batch(&page.rows)?, page.next))
    }
}

pub(super) fn batch(rows: &[RequestRecord]) -> Result<RecordBatch, Fault> {
    Columns::of(rows)
        .text("query_id", |r| Some(&r.query_id))
        .time("submitted_at", |r| Some(r.submitted_at))
        .count("request", |r| Some(r.request.number))
        .count("started_ms", |r| Some(r.request.started_ms))
        .text("operation", |r| Some(&r.request.operation))
        .text("bucket", |r| Some(&r.request.bucket))
        .text("key", |r| Some(&r.request.key))
        .text("byte_range", |r| r.request.byte_range.as_deref())
        .count("bytes", |r| Some(r.request.bytes))
        .flag("retried", |r| r.request.retried)
        .count("status", |r| r.request.status.map(u64::from))
        .count("elapsed_ms", |r| Some(r.request.elapsed_ms))
        .finish()
        .map_err(internal)
}
