//! The first lines of EXPLAIN ANALYZE: the bill, then each table with its bytes by column, why they were read, and
//! what would make the next run cheaper; then the requests that took longest.

use std::fmt::Write;

use owlake_metering::{ObjectRequest, Receipt, decimal_bytes};
use owlake_scan::ScanAdvice;

/// Columns that are listed by name.
const COLUMNS: usize = 10;

/// Lines of the receipt, as the run stands after its last batch.
pub(super) fn bill(receipt: &Option<Receipt>) -> String {
    let Some(receipt) = receipt else {
        return String::new();
    };
    let c = &receipt.counters;
    let mut text = format!(
        "Receipt {}: scanned {}, metadata {}, {} from cache\n",
        receipt.query_id,
        decimal_bytes(c.data_scanned_bytes),
        decimal_bytes(c.metadata_bytes),
        decimal_bytes(c.cached_bytes)
    );
    // Writing to a String cannot fail.
    let _infallible = match (
        &receipt.estimate_confidence,
        receipt.estimate_min_bytes,
        receipt.estimate_max_bytes,
    ) {
        (Some(word), Some(min), Some(max)) if min == max => {
            writeln!(text, "  estimated {} ({word})", decimal_bytes(max))
        }
        (Some(word), Some(min), Some(max)) => {
            writeln!(
                text,
                "  estimated {} to {} ({word})",
                decimal_bytes(min),
                decimal_bytes(max)
            )
        }
        _ => Ok(()),
    };
    let _infallible = writeln!(
        text,
        "  {} GET, {} HEAD, {} LIST, {} repeated, {} transferred",
        c.get_requests,
        c.head_requests,
        c.list_requests,
        c.retried_requests,
        decimal_bytes(c.transferred_bytes)
    );
    let _infallible = writeln!(
        text,
        "  {} USD ({}), Athena: {} USD",
        receipt.cost_usd, receipt.price_plan, receipt.athena_cost_usd
    );
    text
}

/// Lines of the tables.
pub(super) fn tables(advice: &[ScanAdvice]) -> String {
    let mut text = String::new();
    for table in advice {
        let _infallible = of_table(&mut text, table);
    }
    text
}

/// Lines of requests, the slowest first.
pub(super) fn slowest(requests: &[ObjectRequest]) -> String {
    let mut text = String::new();
    if !requests.is_empty() {
        text.push_str("Slowest requests\n");
    }
    for request in requests {
        let range = request.byte_range.as_deref().unwrap_or_default();
        let _infallible = writeln!(
            text,
            "  {} ms: {} {}/{} {range}{}",
            request.elapsed_ms,
            request.operation.to_uppercase(),
            request.bucket,
            request.key,
            if request.retried { " (repeated)" } else { "" }
        );
    }
    text
}

fn of_table(text: &mut String, advice: &ScanAdvice) -> std::fmt::Result {
    let scan = &advice.scan;
    let partitions = scan.partitions_total.map_or("?".to_owned(), |n| n.to_string());
    writeln!(
        text,
        "Table {}.{}: {} of {partitions} partitions, {} of {} files, {} of {} row groups, {}",
        scan.database,
        scan.table_name,
        scan.partitions_read,
        scan.files_read,
        scan.files_total,
        scan.row_groups_read,
        scan.row_groups_total,
        decimal_bytes(scan.data_scanned_bytes)
    )?;
    for (name, bytes) in advice.columns.iter().take(COLUMNS) {
        writeln!(text, "  column \"{name}\": {}", decimal_bytes(*bytes))?;
    }
    if let Some(rest) = advice.columns.get(COLUMNS..).filter(|rest| !rest.is_empty()) {
        let bytes = rest.iter().map(|(_, bytes)| bytes).sum();
        writeln!(text, "  {} more columns: {}", rest.len(), decimal_bytes(bytes))?;
    }
    for sentence in &advice.kept {
        writeln!(text, "  {sentence}")?;
    }
    for hint in &advice.hints {
        writeln!(text, "  Hint: {hint}")?;
    }
    Ok(())
}
