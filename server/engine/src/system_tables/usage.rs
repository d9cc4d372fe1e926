//! `system.usage`: what each principal used in each workgroup on each day.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::error::ArrowError;
use owlake_metering::UsageRecord;

use super::columns::Columns;

pub(super) fn batch(rows: &[UsageRecord]) -> Result<RecordBatch, ArrowError> {
    Columns::of(rows)
        .text("workgroup", |r| Some(&r.workgroup))
        .text("principal", |r| Some(&r.principal))
        .date("day", |r| r.day)
        .count("queries", |r| Some(r.queries))
        .count("data_scanned_bytes", |r| Some(r.data_scanned_bytes))
        .money("cost_usd", |r| Some(r.cost_usd))
        .money("athena_cost_usd", |r| Some(r.athena_cost_usd))
        .count("refused", |r| Some(r.refused))
        .finish()
}
