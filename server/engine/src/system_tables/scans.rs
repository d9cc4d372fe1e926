//! `system.scans`: one row per query and scan of a table.

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use owlake_fault::Fault;
use owlake_metering::{Ledger, LedgerFilter, LedgerPosition, QueryPart, TableScan};

use super::internal;
use super::ledger_table::{Family, of_parts};

#[derive(Debug)]
pub(super) struct Scans;

#[async_trait]
impl Family for Scans {
    async fn page(
        &self,
        ledger: &Ledger,
        filter: LedgerFilter,
    ) -> Result<(RecordBatch, Option<LedgerPosition>), Fault> {
        let page = ledger.scans(filter).await.map_err(internal)?;
        Ok((batch(&page.rows)?, page.next))
    }
}

pub(super) fn batch(rows: &[QueryPart<TableScan>]) -> Result<RecordBatch, Fault> {
    of_parts(rows)
        .text("catalog", |r| Some(&r.part.catalog))
        .text("database", |r| Some(&r.part.database))
        .text("table_name", |r| Some(&r.part.table_name))
        .count("partitions_total", |r| r.part.partitions_total)
        .count("partitions_read", |r| Some(r.part.partitions_read))
        .count("files_total", |r| Some(r.part.files_total))
        .count("files_read", |r| Some(r.part.files_read))
        .count("row_groups_total", |r| Some(r.part.row_groups_total))
        .count("row_groups_read", |r| Some(r.part.row_groups_read))
        .count("data_scanned_bytes", |r| Some(r.part.data_scanned_bytes))
        .count("metadata_bytes", |r| Some(r.part.metadata_bytes))
        .finish()
        .map_err(internal)
}
