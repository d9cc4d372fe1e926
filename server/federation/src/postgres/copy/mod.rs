//! The binary format of COPY, straight to Arrow. Messages may end anywhere in a row; what is held is one batch and
//! one unfinished row.

mod column;
mod numeric;

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use bytes::{Buf, BytesMut};

use self::column::{Cell, Column};
use super::error::PostgresError;
use super::mapping::Decode;
use super::tap::next_message;

/// First bytes of every transfer.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the extension.
const HEADER: usize = SIGNATURE.len() + 8;
/// Flags that a reader must understand; none is in use.
const CRITICAL_FLAGS: u32 = 0xffff_0000;
/// A batch ends here.
const BATCH_ROWS: usize = 8_192;
/// Or here, counted in bytes as sent.
const BATCH_BYTES: usize = 4 << 20;

/// Turns chunks into batches.
#[derive(Debug)]
pub(super) struct Decoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    state: State,
    /// Values of rows that have been seen, row by row; they are decoded column by column.
    cells: Vec<Cell>,
    /// The beginning of a row (or of the header) whose end has not come yet.
    partial: BytesMut,
    rows: usize,
    bytes: usize,
    ready: Vec<RecordBatch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Rows,
    End,
}

impl Decoder {
    /// For rows of these columns; the schema's fields are theirs, in order.
    pub(super) fn new(schema: SchemaRef, decodes: &[Decode]) -> Self {
        let columns = schema
            .fields()
            .iter()
            .zip(decodes)
            .map(|(field, decode)| Column::new(field, decode))
            .collect();
        Self {
            schema,
            columns,
            state: State::Header,
            cells: Vec::new(),
            partial: BytesMut::new(),
            rows: 0,
            bytes: 0,
            ready: Vec::new(),
        }
    }

    /// Takes the next messages, with their tags and lengths; the batches that they completed are in
    /// [`Decoder::next_batch`].
    pub(super) fn messages(&mut self, bytes: &[u8]) -> Result<(), PostgresError> {
        let mut at = 0;
        while let Some(payload) = next_message(bytes, at) {
            at = payload.end;
            // As a rule a message is a row.
            if self.partial.is_empty() {
                let rest = self.read(&bytes[..at], payload.start)?;
                self.partial.extend_from_slice(&bytes[at - rest..at]);
            } else {
                self.decode(bytes)?;
                self.push(&bytes[payload])?;
            }
        }
        if at < bytes.len() {
            return Err(malformed("a message that ends too early"));
        }
        self.decode(bytes)
    }

    /// Takes the next bytes of the transfer.
    fn push(&mut self, bytes: &[u8]) -> Result<(), PostgresError> {
        self.partial.extend_from_slice(bytes);
        let whole = std::mem::take(&mut self.partial);
        let rest = self.read(&whole, 0)?;
        self.decode(&whole)?;
        self.partial.extend_from_slice(&whole[whole.len() - rest..]);
        Ok(())
    }

    /// A batch that is complete.
    pub(super) fn next_batch(&mut self) -> Option<RecordBatch> {
        (!self.ready.is_empty()).then(|| self.ready.remove(0))
    }

    /// The last rows, once there are no more chunks.
    pub(super) fn finish(&mut self) -> Result<Option<RecordBatch>, PostgresError> {
        if self.state != State::End || !self.partial.is_empty() {
            return Err(malformed("the transfer ended before its trailer"));
        }
        if self.rows > 0 {
            self.cut()?;
        }
        Ok(self.next_batch())
    }

    /// Finds the values of whole rows in `bytes`, from `at` on; the length of what is left.
    fn read(&mut self, bytes: &[u8], mut at: usize) -> Result<usize, PostgresError> {
        if self.state == State::Header {
            match header(&bytes[at..])? {
                None => return Ok(bytes.len() - at),
                Some(length) => at += length,
            }
            self.state = State::Rows;
        }
        loop {
            if self.state == State::End && at < bytes.len() {
                return Err(malformed("data after the trailer"));
            }
            let Some(end) = self.row(bytes, at)? else {
                return Ok(bytes.len() - at);
            };
            self.bytes += end - at;
            at = end;
            if self.state == State::End {
                continue;
            }
            self.rows += 1;
            if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
                self.decode(bytes)?;
                self.cut()?;
            }
        }
    }

    /// Finds the values of the row (or trailer) at `at`; where it ends, nothing where it is not complete.
    fn row(&mut self, bytes: &[u8], at: usize) -> Result<Option<usize>, PostgresError> {
        let Some(count) = bytes[at..].first_chunk::<2>() else {
            return Ok(None);
        };
        let mut at = at + 2;
        match i16::from_be_bytes(*count) {
            -1 => {
                self.state = State::End;
                return Ok(Some(at));
            }
            count if usize::try_from(count) == Ok(self.columns.len()) => {}
            count => {
                return Err(malformed(&format!(
                    "a row of {count} values for {} columns",
                    self.columns.len()
                )));
            }
        }
        let before = self.cells.len();
        for _ in &self.columns {
            let Some(length) = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>) else {
                self.cells.truncate(before);
                return Ok(None);
            };
            at += 4;
            let cell = Cell::new(at, i32::from_be_bytes(*length));
            let cell = cell.ok_or_else(|| malformed("a value of negative length"))?;
            at += cell.len();
            self.cells.push(cell);
        }
        if at > bytes.len() {
            self.cells.truncate(before);
            return Ok(None);
        }
        Ok(Some(at))
    }

    /// Decodes the values that have been found in `bytes`.
    fn decode(&mut self, bytes: &[u8]) -> Result<(), PostgresError> {
        let width = self.columns.len();
        for (at, column) in self.columns.iter_mut().enumerate() {
            let cells = self.cells.get(at..).unwrap_or_default().iter().step_by(width);
            column.extend(cells.map(|cell| cell.of(bytes)))?;
        }
        self.cells.clear();
        Ok(())
    }

    fn cut(&mut self) -> Result<(), PostgresError> {
        let arrays = self.columns.iter_mut().map(Column::finish);
        let arrays = arrays.collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
        self.ready.push(batch);
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

/// Length of the header, where it is complete.
fn header(data: &[u8]) -> Result<Option<usize>, PostgresError> {
    if data.len() < HEADER {
        return Ok(None);
    }
    let (signature, mut rest) = data.split_at(SIGNATURE.len());
    if signature != SIGNATURE {
        return Err(malformed("not a binary COPY"));
    }
    if rest.get_u32() & CRITICAL_FLAGS != 0 {
        return Err(malformed("a COPY of an unknown form"));
    }
    let extension = rest.get_u32() as usize;
    Ok((rest.len() >= extension).then_some(HEADER + extension))
}

fn malformed(what: &str) -> PostgresError {
    PostgresError::Malformed(what.to_owned())
}

#[cfg(test)]
mod tests;
