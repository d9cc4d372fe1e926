//! `system.quota_usage`: what is used of each quota in its window of now.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::error::ArrowError;
use owlake_metering::QuotaUse;

use super::columns::Columns;

pub(super) fn batch(rows: &[QuotaUse]) -> Result<RecordBatch, ArrowError> {
    Columns::of(rows)
        .text("quota", |r| Some(&r.definition.name))
        .text("workgroup", |r| Some(&r.definition.workgroup))
        .text("principal", |r| r.principal.as_deref())
        .time("window_start", |r| Some(r.window_start))
        .time("window_end", |r| Some(r.window_end))
        .count("data_scanned_bytes", |r| r.data_scanned_bytes)
        .count("max_data_scanned_bytes", |r| r.definition.max_data_scanned_bytes)
        .money("cost_usd", |r| r.cost_usd)
        .money("max_cost_usd", |r| r.definition.max_cost_usd)
        .finish()
}
