//! One range of one file as a stream of batches: fetch, unpack, cut into lines, decode. Cancelled by dropping it.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener};
use datafusion::error::{DataFusionError, Result};
use futures::{FutureExt, StreamExt};

use super::RowDecoder;
use super::avro::{Avro, AvroRows};
use super::codec::{Codec, Inflater};
use super::columns::ColumnBuilder;
use super::lines::{Lines, Step};
use super::stored::{RowFile, StoredBytes};
use crate::context::ScanContext;
use crate::error::ScanError;

/// Plain bytes that are unpacked at a time.
const UNPACK_BYTES: usize = 256 << 10;
/// A batch ends with the line that passes this, however few rows it has.
const BATCH_BYTES: usize = 8 << 20;

/// Opens ranges of files of lines.
pub(crate) struct RowOpener {
    pub context: Arc<ScanContext>,
    /// File columns to produce, ascending.
    pub wanted: Vec<usize>,
    /// Their schema.
    pub schema: SchemaRef,
    /// Rows of a batch.
    pub batch_rows: usize,
}

impl FileOpener for RowOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let Some(row_file) = file.extension::<Arc<RowFile>>() else {
            return Err(DataFusionError::Internal(
                "scan file without its source".to_owned(),
            ));
        };
        let row_file = Arc::clone(row_file);
        let size = row_file.size();
        let range = match file.range.as_ref() {
            Some(range) => {
                let bound = |at: i64| u64::try_from(at).unwrap_or(0).min(size);
                bound(range.start)..bound(range.end)
            }
            None => 0..size,
        };
        let decoder = match row_file.format.decoder(&self.wanted) {
            Ok(decoder) => decoder,
            Err(avro) => return Ok(self.open_avro(row_file, avro)),
        };
        let rows = Rows::new(self, row_file, range, decoder)?;
        Ok(async move {
            let batches = futures::stream::try_unfold(rows, |mut rows| async move {
                let batch = rows.next_batch().await?;
                Ok::<_, DataFusionError>(batch.map(|batch| (batch, rows)))
            });
            Ok(batches.boxed())
        }
        .boxed())
    }
}

impl RowOpener {
    fn open_avro(&self, file: Arc<RowFile>, serde: Avro) -> FileOpenFuture {
        let rows = AvroRows::new(
            Arc::clone(&self.context),
            file,
            serde,
            Arc::clone(&self.schema),
            self.batch_rows.max(1),
        );
        async move {
            let batches = futures::stream::try_unfold(rows, |mut rows| async move {
                let batch = rows.next_batch().await?;
                Ok::<_, DataFusionError>(batch.map(|batch| (batch, rows)))
            });
            Ok(batches.boxed())
        }
        .boxed()
    }
}

struct Rows {
    context: Arc<ScanContext>,
    file: Arc<RowFile>,
    stored: StoredBytes,
    inflater: Inflater,
    /// Fetched and not unpacked yet.
    chunk: Bytes,
    /// The last step filled its room, so there may be more without further input.
    full: bool,
    fetched_all: bool,
    lines: Lines,
    header_lines: u64,
    decoder: Box<dyn RowDecoder>,
    builders: Vec<ColumnBuilder>,
    schema: SchemaRef,
    batch_rows: usize,
}

impl Rows {
    fn new(
        opener: &RowOpener,
        file: Arc<RowFile>,
        range: Range<u64>,
        decoder: Box<dyn RowDecoder>,
    ) -> Result<Self, ScanError> {
        let config = &opener.context.config;
        let max_line = usize::try_from(config.max_line_bytes).unwrap_or(usize::MAX);
        // A compressed file is read whole; positions in it are those of the unpacked bytes.
        let (from, lines) = match file.codec {
            Codec::Plain => (Lines::first_byte(&range), range.clone()),
            _ => (0, 0..u64::MAX),
        };
        Ok(Self {
            context: Arc::clone(&opener.context),
            stored: StoredBytes::new(from..range.end, config.row_chunk_bytes),
            inflater: Inflater::new(file.codec).map_err(|e| file.bad(e))?,
            chunk: Bytes::new(),
            full: false,
            fetched_all: false,
            header_lines: if range.start == 0 {
                file.format.header_lines
            } else {
                0
            },
            lines: Lines::new(lines, max_line),
            decoder,
            builders: file.format.builders(&opener.wanted),
            schema: Arc::clone(&opener.schema),
            batch_rows: opener.batch_rows.max(1),
            file,
        })
    }

    /// The next rows; `None` after the last line of the range.
    async fn next_batch(&mut self) -> Result<Option<RecordBatch>, DataFusionError> {
        let mut rows = 0;
        let mut bytes = 0;
        while rows < self.batch_rows && bytes < BATCH_BYTES {
            let step = self
                .lines
                .next(self.fetched_all)
                .map_err(|e| self.too_long(e.offset))?;
            match step {
                Step::Line { .. } if self.header_lines > 0 => self.header_lines -= 1,
                Step::Line { bytes: line, offset } => {
                    bytes += line.len();
                    let line = &self.lines.bytes()[line];
                    if let Err(reason) = self.decoder.decode(line, &mut self.builders) {
                        let reason = format!("line at byte {offset}: {reason}");
                        return Err(self.file.bad(reason).into());
                    }
                    rows += 1;
                }
                Step::More => self.fill().await?,
                Step::End => break,
            }
        }
        if rows == 0 {
            return Ok(None);
        }
        let columns = self
            .builders
            .iter_mut()
            .map(ColumnBuilder::finish)
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(Some(batch))
    }

    /// Brings more plain bytes, or the end of the file.
    async fn fill(&mut self) -> Result<(), ScanError> {
        loop {
            let tail = self.lines.tail();
            let before = tail.len();
            if !self.chunk.is_empty() {
                let used = self
                    .inflater
                    .run(&self.chunk, tail, UNPACK_BYTES)
                    .map_err(|e| self.file.bad(format!("it cannot be unpacked: {e}")))?;
                if used == 0 && tail.len() == before {
                    return Err(self.file.bad("it cannot be unpacked: it makes no progress"));
                }
                let _used = self.chunk.split_to(used);
            } else if self.full {
                self.inflater
                    .drain(tail, UNPACK_BYTES)
                    .map_err(|e| self.file.bad(format!("it cannot be unpacked: {e}")))?;
            }
            let made = tail.len() - before;
            self.full = made == UNPACK_BYTES && self.file.codec != Codec::Plain;
            if made > 0 {
                return Ok(());
            }
            if !self.chunk.is_empty() {
                continue;
            }
            match self.stored.next(&self.context, &self.file).await? {
                Some(chunk) => self.chunk = chunk,
                None if self.inflater.is_complete() => {
                    self.fetched_all = true;
                    return Ok(());
                }
                None => return Err(self.file.bad("it cannot be unpacked: it is cut short")),
            }
        }
    }

    fn too_long(&self, offset: u64) -> ScanError {
        ScanError::LineTooLong {
            table: self.file.source.table().to_owned(),
            file: self.file.source.version().key().to_owned(),
            offset,
            limit: self.context.config.max_line_bytes,
        }
    }
}
