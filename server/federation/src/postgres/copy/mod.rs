//! The binary format of COPY, straight to Arrow. Chunks may end anywhere; what is held is one batch and one
//! unfinished row.

mod column;
mod numeric;

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use bytes::{Buf, Bytes, BytesMut};

use self::column::Column;
use super::error::PostgresError;
use super::mapping::Decode;

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
            partial: BytesMut::new(),
            rows: 0,
            bytes: 0,
            ready: Vec::new(),
        }
    }

    /// Takes the next chunk; the batches that it completed are in [`Decoder::next_batch`].
    pub(super) fn push(&mut self, chunk: Bytes) -> Result<(), PostgresError> {
        if self.partial.is_empty() {
            let rest = self.read(&chunk)?;
            self.partial.extend_from_slice(&chunk[chunk.len() - rest..]);
        } else {
            self.partial.extend_from_slice(&chunk);
            let whole = std::mem::take(&mut self.partial);
            let rest = self.read(&whole)?;
            self.partial.extend_from_slice(&whole[whole.len() - rest..]);
        }
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

    /// Reads whole rows; the length of what is left of `data`.
    fn read(&mut self, mut data: &[u8]) -> Result<usize, PostgresError> {
        if self.state == State::Header {
            match header(data)? {
                None => return Ok(data.len()),
                Some(length) => data.advance(length),
            }
            self.state = State::Rows;
        }
        loop {
            if self.state == State::End && !data.is_empty() {
                return Err(malformed("data after the trailer"));
            }
            let Some(length) = self.row_length(data)? else {
                return Ok(data.len());
            };
            if length == 0 {
                self.state = State::End;
                data.advance(2);
                if data.is_empty() {
                    return Ok(0);
                }
                continue;
            }
            self.row(&data[2..length])?;
            data.advance(length);
            self.rows += 1;
            self.bytes += length;
            if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
                self.cut()?;
            }
        }
    }

    /// Bytes of the row at the front, 0 for the trailer, nothing where it is not complete.
    fn row_length(&self, data: &[u8]) -> Result<Option<usize>, PostgresError> {
        let Some(count) = data.first_chunk::<2>() else {
            return Ok(None);
        };
        match i16::from_be_bytes(*count) {
            -1 => return Ok(Some(0)),
            count if usize::try_from(count) == Ok(self.columns.len()) => {}
            count => {
                return Err(malformed(&format!(
                    "a row of {count} values for {} columns",
                    self.columns.len()
                )));
            }
        }
        let mut at = 2;
        for _ in &self.columns {
            let Some(length) = data.get(at..).and_then(<[u8]>::first_chunk::<4>) else {
                return Ok(None);
            };
            at += 4;
            match i32::from_be_bytes(*length) {
                -1 => {}
                length => {
                    at += usize::try_from(length).map_err(|_| malformed("a value of negative length"))?;
                }
            }
        }
        Ok((at <= data.len()).then_some(at))
    }

    /// One complete row, without its count.
    fn row(&mut self, mut data: &[u8]) -> Result<(), PostgresError> {
        for column in &mut self.columns {
            // Measured by `row_length`.
            let length = data.get_i32();
            match usize::try_from(length) {
                Ok(length) => {
                    column.value(&data[..length])?;
                    data.advance(length);
                }
                Err(_) => column.null(),
            }
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<(), PostgresError> {
        let arrays = self.columns.iter_mut().map(Column::finish).collect();
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
