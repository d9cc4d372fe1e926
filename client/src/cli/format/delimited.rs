//! CSV and TSV. NULL and the empty string stay distinct in both.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::cell::Cells;
use super::{FormatError, RowWriter};

#[derive(Clone, Copy)]
enum Kind {
    Csv,
    Tsv,
}

/// Header line, then one line per row.
pub(super) struct Delimited {
    kind: Kind,
    cells: Cells,
    header: Option<String>,
    line: String,
}

impl Delimited {
    pub(super) fn csv(schema: &SchemaRef) -> Self {
        Self::new(Kind::Csv, schema)
    }

    pub(super) fn tsv(schema: &SchemaRef) -> Self {
        Self::new(Kind::Tsv, schema)
    }

    fn new(kind: Kind, schema: &SchemaRef) -> Self {
        let mut header = String::new();
        for (index, field) in schema.fields().iter().enumerate() {
            if index > 0 {
                header.push(kind.delimiter());
            }
            kind.push(Some(field.name()), &mut header);
        }
        header.push('\n');
        let cells = Cells::new(schema.fields().iter().map(AsRef::as_ref), false);
        Self {
            kind,
            cells,
            header: Some(header),
            line: String::new(),
        }
    }

    fn write_header(&mut self, out: &mut dyn Write) -> Result<(), FormatError> {
        if let Some(header) = self.header.take() {
            out.write_all(header.as_bytes())?;
        }
        Ok(())
    }
}

impl Kind {
    fn delimiter(self) -> char {
        match self {
            Self::Csv => ',',
            Self::Tsv => '\t',
        }
    }

    fn push(self, value: Option<&str>, line: &mut String) {
        match (self, value) {
            (Self::Csv, None) => {}
            (Self::Csv, Some(text)) if text.is_empty() || text.contains(['"', ',', '\n', '\r']) => {
                line.push('"');
                line.push_str(&text.replace('"', "\"\""));
                line.push('"');
            }
            (Self::Csv, Some(text)) => line.push_str(text),
            (Self::Tsv, None) => line.push_str("\\N"),
            (Self::Tsv, Some(text)) => {
                for letter in text.chars() {
                    match letter {
                        '\\' => line.push_str("\\\\"),
                        '\t' => line.push_str("\\t"),
                        '\n' => line.push_str("\\n"),
                        '\r' => line.push_str("\\r"),
                        plain => line.push(plain),
                    }
                }
            }
        }
    }
}

impl RowWriter for Delimited {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), FormatError> {
        self.write_header(out)?;
        let cells = self.cells.of(batch)?;
        for row in 0..batch.num_rows() {
            self.line.clear();
            for column in 0..batch.num_columns() {
                if column > 0 {
                    self.line.push(self.kind.delimiter());
                }
                self.kind
                    .push(cells.text(row, column)?.as_deref(), &mut self.line);
            }
            self.line.push('\n');
            out.write_all(self.line.as_bytes())?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<(), FormatError> {
        self.write_header(out)
    }
}
