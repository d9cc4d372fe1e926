//! The estimate of a query as users see it: a row per table scan and one for all, as a table and as JSON.
//! How the numbers are found is the scan room's business.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use owlake_fault::{Code, Fault};
use owlake_metering::{
    AthenaBilling, Counters, PricePlan, QueryState, QuotaError, Receipt, StatementType, TableScan, Usd,
};
use owlake_scan::{Bounds, Confidence, EstimateDepth, Indexes, ScanContext, ScanEstimate};
use serde::Serialize;

use crate::system_tables::columns::Columns;

/// How far EXPLAIN (TYPE COST) looks: as far as the query itself would, row group by row group.
pub(super) const FULL: EstimateDepth = EstimateDepth {
    indexes: Indexes::All,
    openings: 20_000,
};

/// How far a query looks that runs anyway: it makes no request that it would not make right after, and takes no time
/// that anybody would notice. An opening is about half a millisecond of computing, before the first row.
pub(super) const AT_HAND: EstimateDepth = EstimateDepth {
    indexes: Indexes::Sure,
    openings: 8,
};

/// What a query will read and cost, before it runs.
#[derive(Debug, Clone, Serialize)]
pub struct Estimate {
    /// One entry per scan of a table, in planning order.
    pub tables: Vec<EstimateRow>,
    /// All of them together.
    pub total: EstimateRow,
    /// Name of the price plan that `cost_usd_max` is by.
    pub price_plan: String,
    /// What the estimate itself cost; missing until it has ended.
    #[serde(skip)]
    pub receipt: Option<Receipt>,
}

/// One row of an estimate, under the column names of `EXPLAIN (TYPE COST)`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EstimateRow {
    /// Catalog; `None` in the row for all.
    pub catalog: Option<String>,
    /// Database.
    pub database: Option<String>,
    /// Table.
    pub table_name: Option<String>,
    /// Partitions the table has; unknown where a projection was not enumerated to its end.
    pub partitions_total: Option<u64>,
    /// Partitions left after pruning.
    pub partitions_read: u64,
    /// Files listed in those partitions.
    pub files_total: u64,
    /// Files of which data may be needed.
    pub files_read: u64,
    /// Row groups of the files.
    pub row_groups_total: u64,
    /// Row groups of which data may be needed.
    pub row_groups_read: u64,
    /// The query reads at least this.
    pub data_scanned_bytes_min: u64,
    /// The query reads at most this.
    pub data_scanned_bytes_max: u64,
    /// Footers, page indexes and bloom filters.
    pub metadata_bytes: u64,
    /// Requests with the caches as they stand now.
    pub requests_min: u64,
    /// Requests with empty caches.
    pub requests_max: u64,
    /// Most that the requests and bytes cost by the price plan.
    pub cost_usd_max: Usd,
    /// Most that Athena would bill; minimum and rounding are in the row for all.
    pub athena_cost_usd_max: Usd,
    /// `exact`, `upper-bound` or `heuristic`.
    pub confidence: &'static str,
    /// Why.
    pub reason: String,
}

/// Bounds of what all scans read, for the ledger.
pub(super) fn bounds(scans: &[ScanEstimate]) -> (Bounds, Confidence) {
    let sum = scans.iter().fold(Bounds::default(), |sum, s| Bounds {
        min: sum.min.saturating_add(s.data_scanned_bytes.min),
        max: sum.max.saturating_add(s.data_scanned_bytes.max),
    });
    let confidence = scans.iter().map(|s| s.confidence).max();
    (sum, confidence.unwrap_or(Confidence::Exact))
}

fn counters(scan: &ScanEstimate, least: bool) -> Counters {
    let pick = |b: Bounds| if least { b.min } else { b.max };
    Counters {
        get_requests: pick(scan.get_requests),
        list_requests: pick(scan.list_requests),
        transferred_bytes: pick(scan.transferred_bytes),
        data_scanned_bytes: pick(scan.data_scanned_bytes),
        ..Counters::default()
    }
}

/// Refuses a plan whose reads surely cost more than the query's cap or a money quota leaves, before its first data byte.
pub(super) fn refuse_over_cost(
    scans: &[ScanEstimate],
    price: &PricePlan,
    context: &ScanContext,
) -> Result<(), QuotaError> {
    let ahead = |scan: &ScanEstimate| Counters {
        // Planning has listed what there is, and has paid for it.
        list_requests: 0,
        ..counters(scan, true)
    };
    let least = scans.iter().map(|s| price.cost(&ahead(s))).sum();
    context.budget.check_cost(least)
}

impl Estimate {
    /// Prices what scans will read.
    pub(super) fn new(scans: &[ScanEstimate], price: &PricePlan, billing: &AthenaBilling) -> Self {
        let tables: Vec<EstimateRow> = scans.iter().map(|s| EstimateRow::of(s, price, billing)).collect();
        let (data, confidence) = bounds(scans);
        let sum = |f: fn(&EstimateRow) -> u64| tables.iter().map(f).fold(0, u64::saturating_add);
        let reason = match scans {
            [] => "no table of the lake is read".to_owned(),
            _ => tables
                .iter()
                .find(|t| t.confidence == confidence.as_str())
                .map(|t| t.reason.clone())
                .unwrap_or_default(),
        };
        let billed = billing.billed_bytes(StatementType::Dml, QueryState::Succeeded, false, data.max);
        let total = EstimateRow {
            catalog: None,
            database: None,
            table_name: None,
            partitions_total: tables.iter().map(|t| t.partitions_total).sum(),
            partitions_read: sum(|t| t.partitions_read),
            files_total: sum(|t| t.files_total),
            files_read: sum(|t| t.files_read),
            row_groups_total: sum(|t| t.row_groups_total),
            row_groups_read: sum(|t| t.row_groups_read),
            data_scanned_bytes_min: data.min,
            data_scanned_bytes_max: data.max,
            metadata_bytes: sum(|t| t.metadata_bytes),
            requests_min: sum(|t| t.requests_min),
            requests_max: sum(|t| t.requests_max),
            cost_usd_max: tables.iter().map(|t| t.cost_usd_max).sum(),
            athena_cost_usd_max: billing.cost(billed),
            confidence: confidence.as_str(),
            reason,
        };
        Self {
            tables,
            total,
            price_plan: price.name.clone(),
            receipt: None,
        }
    }

    /// The estimate of a statement that reads nothing and was not run.
    pub(super) fn of_command(price: &PricePlan, billing: &AthenaBilling) -> Self {
        let mut estimate = Self::new(&[], price, billing);
        estimate.total.athena_cost_usd_max = Usd::ZERO;
        estimate.total.reason = "the statement reads no data; it was not run".to_owned();
        estimate
    }

    /// The table: one row per scan, then the row for all, whose `table_name` is NULL.
    pub(super) fn batch(&self) -> Result<RecordBatch, Fault> {
        let rows: Vec<EstimateRow> = self.tables.iter().chain([&self.total]).cloned().collect();
        batch(&rows)
    }

    /// One JSON document; money is text.
    pub(super) fn json(&self) -> Result<String, Fault> {
        serde_json::to_string_pretty(self)
            .map_err(|e| Fault::new(Code::GenericInternalError, "internal error").with_source(e))
    }
}

impl EstimateRow {
    fn of(estimate: &ScanEstimate, price: &PricePlan, billing: &AthenaBilling) -> Self {
        let TableScan {
            catalog,
            database,
            table_name,
            partitions_total,
            partitions_read,
            files_total,
            files_read,
            row_groups_total,
            row_groups_read,
            metadata_bytes,
            ..
        } = estimate.scan.clone();
        Self {
            catalog: Some(catalog),
            database: Some(database),
            table_name: Some(table_name),
            partitions_total,
            partitions_read,
            files_total,
            files_read,
            row_groups_total,
            row_groups_read,
            data_scanned_bytes_min: estimate.data_scanned_bytes.min,
            data_scanned_bytes_max: estimate.data_scanned_bytes.max,
            metadata_bytes,
            requests_min: estimate.get_requests.min + estimate.list_requests.min,
            requests_max: estimate.get_requests.max + estimate.list_requests.max,
            cost_usd_max: price.cost(&counters(estimate, false)),
            athena_cost_usd_max: billing.cost(estimate.data_scanned_bytes.max),
            confidence: estimate.confidence.as_str(),
            reason: estimate.reason.clone(),
        }
    }
}

/// The columns of `EXPLAIN (TYPE COST)`.
pub(super) fn estimate_schema() -> Result<SchemaRef, Fault> {
    Ok(batch(&[])?.schema())
}

fn batch(rows: &[EstimateRow]) -> Result<RecordBatch, Fault> {
    Columns::of(rows)
        .text("catalog", |r| r.catalog.as_deref())
        .text("database", |r| r.database.as_deref())
        .text("table_name", |r| r.table_name.as_deref())
        .count("partitions_total", |r| r.partitions_total)
        .count("partitions_read", |r| Some(r.partitions_read))
        .count("files_total", |r| Some(r.files_total))
        .count("files_read", |r| Some(r.files_read))
        .count("row_groups_total", |r| Some(r.row_groups_total))
        .count("row_groups_read", |r| Some(r.row_groups_read))
        .count("data_scanned_bytes_min", |r| Some(r.data_scanned_bytes_min))
        .count("data_scanned_bytes_max", |r| Some(r.data_scanned_bytes_max))
        .count("metadata_bytes", |r| Some(r.metadata_bytes))
        .count("requests_min", |r| Some(r.requests_min))
        .count("requests_max", |r| Some(r.requests_max))
        .money("cost_usd_max", |r| Some(r.cost_usd_max))
        .money("athena_cost_usd_max", |r| Some(r.athena_cost_usd_max))
        .text("confidence", |r| Some(r.confidence))
        .text("reason", |r| Some(&r.reason))
        .finish()
        .map_err(|e| Fault::new(Code::GenericInternalError, "internal error").with_source(e))
}
