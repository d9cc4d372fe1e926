//! Whether two engines gave the same answer: a benchmark of a wrong one would say nothing.

use owlake::arrow::array::RecordBatch;
use owlake::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::Failure;

/// Rows as text, sorted; numbers with four digits after the point, so that decimals and floats compare.
pub(crate) fn normal(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    for cell in rows.iter_mut().flatten() {
        if let Ok(number) = cell.parse::<f64>() {
            *cell = format!("{number:.4}");
        }
    }
    rows.sort_unstable();
    rows
}

/// Cells of batches as text; NULL is `NULL`.
pub(crate) fn text_rows(batches: &[RecordBatch]) -> Result<Vec<Vec<String>>, Failure> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|c| c.value(row).to_string()).collect());
        }
    }
    Ok(rows)
}
