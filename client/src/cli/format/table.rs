//! Tables for people: boxes that fit the terminal, or one value per line where columns do not fit.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement};

use super::cell::{Cells, is_right_aligned, printable};
use super::{Expanded, FormatError, Layout, RowWriter};
use crate::cli::receipt::grouped;

/// A column narrower than this is unreadable: `Auto` switches to one value per line.
const MIN_COLUMN_WIDTH: usize = 10;
/// At a terminal a single value does not fill the screen.
const MAX_VALUE_CHARS: usize = 1_000;
/// Shown for NULL; the text "NULL" in a string column looks the same, which the other formats tell apart.
const NULL: &str = "NULL";

/// Keeps the rows to show and counts the others.
pub(super) struct Table {
    names: Vec<String>,
    right: Vec<bool>,
    cells: Cells,
    layout: Layout,
    rows: Vec<Vec<String>>,
    more: usize,
}

impl Table {
    pub(super) fn new(schema: &SchemaRef, layout: Layout) -> Self {
        let fields = schema.fields();
        Self {
            names: fields
                .iter()
                .map(|field| printable(field.name().clone()))
                .collect(),
            right: fields
                .iter()
                .map(|field| is_right_aligned(field.data_type()))
                .collect(),
            cells: Cells::new(fields.iter().map(AsRef::as_ref), true),
            layout,
            rows: Vec::new(),
            more: 0,
        }
    }

    fn is_expanded(&self) -> bool {
        match (self.layout.expanded, self.layout.width) {
            (Expanded::On, _) => true,
            (Expanded::Auto, Some(width)) => self.names.len() * (MIN_COLUMN_WIDTH + 3) > usize::from(width),
            (Expanded::Auto, None) | (Expanded::Off, _) => false,
        }
    }

    fn boxes(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(UTF8_FULL_CONDENSED).force_no_tty();
        if let Some(width) = self.layout.width {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width);
        }
        table.set_header(self.names.iter().map(Cell::new));
        for row in &self.rows {
            table.add_row(row.iter().map(Cell::new));
        }
        for (column, right) in table.column_iter_mut().zip(&self.right) {
            if *right {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.to_string()
    }

    fn records(&self) -> String {
        let width = self
            .names
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or_default();
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            text.push_str(&format!("-[ row {} ]-\n", index + 1));
            for (name, value) in self.names.iter().zip(row) {
                text.push_str(&format!("{name:<width$} | {value}\n"));
            }
        }
        text.truncate(text.trim_end_matches('\n').len());
        text
    }
}

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_VALUE_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl RowWriter for Table {
    fn batch(&mut self, batch: &RecordBatch, _out: &mut dyn Write) -> Result<(), FormatError> {
        let room = self
            .layout
            .max_rows
            .map_or(usize::MAX, |max| max.saturating_sub(self.rows.len()));
        let shown = room.min(batch.num_rows());
        self.more += batch.num_rows() - shown;
        let cells = self.cells.of(batch)?;
        for row in 0..shown {
            let mut values = Vec::with_capacity(batch.num_columns());
            for column in 0..batch.num_columns() {
                let value = cells
                    .text(row, column)?
                    .map_or_else(|| NULL.to_owned(), printable);
                values.push(if self.layout.width.is_some() {
                    shortened(value)
                } else {
                    value
                });
            }
            self.rows.push(values);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<(), FormatError> {
        let text = if self.is_expanded() && !self.rows.is_empty() {
            self.records()
        } else {
            self.boxes()
        };
        writeln!(out, "{text}")?;
        if self.more > 0 {
            let s = if self.more == 1 { "" } else { "s" };
            writeln!(
                out,
                "... {} more row{s} (--max-rows, \\rows)",
                grouped(self.more as u64)
            )?;
        }
        Ok(())
    }

    fn streams(&self) -> bool {
        false
    }
}
