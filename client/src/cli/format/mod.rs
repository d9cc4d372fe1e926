//! Output formats: each is a [`RowWriter`] that gets a schema and batches and writes text.

mod arrow_file;
mod cell;
mod delimited;
mod json;
mod markdown;
mod table;

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use clap::ValueEnum;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Boxes for people
    #[default]
    Table,
    /// RFC 4180 quoting, lines end with LF; NULL is empty, an empty string is ""
    Csv,
    /// Tabs; NULL is \N, tabs and line ends inside values are escaped with a backslash
    Tsv,
    /// One array of objects
    Json,
    /// One object per line
    Jsonl,
    /// Table for Markdown documents
    Markdown,
    /// Arrow IPC file, binary
    Arrow,
}

impl Format {
    /// The format that a file name's ending stands for.
    pub fn of_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "json" => Some(Self::Json),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "md" | "markdown" => Some(Self::Markdown),
            "arrow" | "feather" => Some(Self::Arrow),
            _ => None,
        }
    }

    /// A writer for one result.
    pub(crate) fn writer(self, schema: &SchemaRef, layout: Layout) -> Box<dyn RowWriter + Send> {
        match self {
            Self::Table => Box::new(table::Table::new(schema, layout)),
            Self::Csv => Box::new(delimited::Delimited::csv(schema)),
            Self::Tsv => Box::new(delimited::Delimited::tsv(schema)),
            Self::Json => Box::new(json::Json::array()),
            Self::Jsonl => Box::new(json::Json::lines()),
            Self::Markdown => Box::new(markdown::Markdown::new(schema)),
            Self::Arrow => Box::new(arrow_file::ArrowFile::new(schema)),
        }
    }
}

/// One value per line instead of one row per line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expanded {
    Off,
    On,
    /// When the columns would not fit the terminal.
    Auto,
}

/// What a table has to fit into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Terminal columns; without a terminal, none.
    pub(crate) width: Option<u16>,
    /// Rows to show; the others are counted.
    pub(crate) max_rows: Option<usize>,
    pub(crate) expanded: Expanded,
}

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormatError {
    #[error("cannot write rows: {0}")]
    Output(#[from] io::Error),
    #[error("cannot show a value: {0}")]
    Value(#[from] ArrowError),
}

/// Writes one result: `batch` any number of times, then `finish`.
pub(crate) trait RowWriter {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), FormatError>;

    /// Ends the result. Not called when the query failed: what is written then is visibly cut off.
    fn finish(&mut self, out: &mut dyn Write) -> Result<(), FormatError>;

    /// Whether `batch` writes at once, rather than `finish` everything.
    fn streams(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
