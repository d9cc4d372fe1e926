//! `system.queries`: the ledger's rows, one per query. The columns are in the order of the documentation.

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::error::ArrowError;
use owlake_fault::Fault;
use owlake_metering::{Counter, Ledger, LedgerFilter, LedgerPosition, QueryRecord};

use super::columns::Columns;
use super::internal;
use super::ledger_table::Family;

#[derive(Debug)]
pub(super) struct Queries;

#[async_trait]
impl Family for Queries {
    async fn page(
        &self,
        ledger: &Ledger,
        filter: LedgerFilter,
    ) -> Result<(RecordBatch, Option<LedgerPosition>), Fault> {
        let limit = filter.limit;
        let records = ledger.queries(filter).await.map_err(internal)?;
        let next = records
            .last()
            .filter(|_| records.len() == limit)
            .map(|last| (last.receipt.submitted_at, last.receipt.query_id.clone()));
        Ok((batch(&records).map_err(internal)?, next))
    }
}

pub(super) fn batch(records: &[QueryRecord]) -> Result<RecordBatch, ArrowError> {
    let mut columns = Columns::of(records)
        .text("query_id", |r| Some(&r.receipt.query_id))
        .text("query", |r| Some(&r.query))
        .text("query_hash", |r| Some(&r.query_hash))
        .text("statement_type", |r| Some(r.receipt.statement_type.as_str()))
        .text("state", |r| Some(r.receipt.state.as_str()))
        .text("error_code", |r| r.receipt.error_code.as_deref())
        .text("error_message", |r| r.receipt.error_message.as_deref())
        .time("submitted_at", |r| Some(r.receipt.submitted_at))
        .time("started_at", |r| r.started_at)
        .time("finished_at", |r| r.finished_at)
        .millis("queued_ms", |r| r.receipt.queue_time)
        .millis("planning_ms", |r| r.receipt.planning_time)
        .millis("execution_ms", |r| r.receipt.execution_time)
        .millis("total_ms", |r| r.receipt.total_time)
        .text("principal", |r| Some(&r.principal))
        .text("workgroup", |r| Some(&r.receipt.workgroup))
        .text("source", |r| r.source.as_deref())
        .tags("tags", |r| &r.tags)
        .text("catalog", |r| Some(&r.catalog))
        .text("database", |r| Some(&r.database))
        .count("rows_returned", |r| Some(r.receipt.rows_returned))
        .count("bytes_returned", |r| Some(r.receipt.bytes_returned));
    for counter in Counter::ALL {
        columns = columns.count(counter.as_str(), |r| Some(r.receipt.counters.get(*counter)));
    }
    columns
        .count("billed_bytes", |r| Some(r.receipt.billed_bytes))
        .count("glue_requests", |r| Some(r.glue_requests))
        .money("cost_usd", |r| Some(r.receipt.cost_usd))
        .money("athena_cost_usd", |r| Some(r.receipt.athena_cost_usd))
        .text("price_plan", |r| Some(&r.receipt.price_plan))
        .flag("timing_dependent", |r| r.receipt.timing_dependent)
        .count("max_data_scanned_bytes", |r| r.receipt.max_data_scanned_bytes)
        .count("estimate_min_bytes", |r| r.receipt.estimate_min_bytes)
        .count("estimate_max_bytes", |r| r.receipt.estimate_max_bytes)
        .text("estimate_confidence", |r| {
            r.receipt.estimate_confidence.as_deref()
        })
        .text("reused_query_id", |r| r.receipt.reused_query_id.as_deref())
        .count("peak_memory_bytes", |r| Some(r.receipt.peak_memory_bytes))
        .count("spilled_bytes", |r| Some(r.receipt.spilled_bytes))
        .text("trace_id", |r| r.trace_id.as_deref())
        .text("server_version", |r| Some(&r.receipt.server_version))
        .finish()
}
