//! Tables for Markdown documents. Columns are not padded, so rows can be written as they come.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::cell::{Cells, is_right_aligned, printable};
use super::{FormatError, RowWriter};

/// Header and rule, then one line per row.
pub(super) struct Markdown {
    cells: Cells,
    header: Option<String>,
}

impl Markdown {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let names = schema.fields().iter().map(|field| escaped(field.name().clone()));
        let rules = schema.fields().iter().map(|field| {
            if is_right_aligned(field.data_type()) {
                "---:".to_owned()
            } else {
                "---".to_owned()
            }
        });
        let header = line(names) + &line(rules);
        let cells = Cells::new(schema.fields().iter().map(AsRef::as_ref), true);
        Self {
            cells,
            header: Some(header),
        }
    }

    fn write_header(&mut self, out: &mut dyn Write) -> Result<(), FormatError> {
        if let Some(header) = self.header.take() {
            out.write_all(header.as_bytes())?;
        }
        Ok(())
    }
}

fn line(values: impl Iterator<Item = String>) -> String {
    let mut line = String::from("|");
    for value in values {
        line.push(' ');
        line.push_str(&value);
        line.push_str(" |");
    }
    line.push('\n');
    line
}

fn escaped(text: String) -> String {
    printable(text).replace('|', "\\|")
}

impl RowWriter for Markdown {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), FormatError> {
        self.write_header(out)?;
        let cells = self.cells.of(batch)?;
        for row in 0..batch.num_rows() {
            let mut values = Vec::with_capacity(batch.num_columns());
            for column in 0..batch.num_columns() {
                values.push(
                    cells
                        .text(row, column)?
                        .map_or_else(|| "NULL".to_owned(), escaped),
                );
            }
            out.write_all(line(values.into_iter()).as_bytes())?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<(), FormatError> {
        self.write_header(out)
    }
}
