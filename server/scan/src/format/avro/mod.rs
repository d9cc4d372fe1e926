//! `AvroSerDe`: object container files, read block by block; columns are matched by name.
//!
//! The crate arrow-avro decodes records. Containers are taken apart here, because that crate unpacks a block without a
//! bound and fetches a whole range at once: blocks are unpacked within a limit and handed over uncompressed.

mod block;
mod columns;

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow_avro::errors::AvroError;
use arrow_avro::reader::{ReaderBuilder, read_header_info};
use arrow_avro::schema::AvroSchema;
use bytes::{Buf, BytesMut};
use datafusion::error::DataFusionError;

use self::block::{BlockCodec, Container};
use super::properties::Properties;
use super::stored::{RowFile, StoredBytes};
use crate::context::ScanContext;
use crate::error::ScanError;

/// Unpacked bytes that are decoded together: a decoder is made for each such part.
const PART_BYTES: usize = 1 << 20;
/// A header with a larger schema is refused.
const MAX_HEADER_BYTES: usize = 16 << 20;

/// The SerDe's properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Avro {
    /// The schema to read as; without one, that of each file.
    schema: Option<String>,
}

impl Avro {
    /// Reads the properties.
    pub(crate) fn parse(properties: &Properties<'_>) -> Result<Self, ScanError> {
        properties.refuse(&["avro.schema.url"])?;
        let schema = properties
            .first(&["avro.schema.literal"], |text| {
                serde_json::from_str::<serde::de::IgnoredAny>(text)
                    .map(|_| text.to_owned())
                    .map_err(|e| format!("is no JSON: {e}"))
            })?
            .filter(|text| text != "none");
        Ok(Self { schema })
    }
}

/// The rows of one file, as a stream pulls them.
pub(crate) struct AvroRows {
    context: Arc<ScanContext>,
    file: Arc<RowFile>,
    serde: Avro,
    stored: StoredBytes,
    buffer: BytesMut,
    container: Option<Container>,
    ready: VecDeque<RecordBatch>,
    schema: SchemaRef,
    batch_rows: usize,
}

impl AvroRows {
    /// No I/O happens here. `schema` is that of the wanted columns.
    pub(crate) fn new(
        context: Arc<ScanContext>,
        file: Arc<RowFile>,
        serde: Avro,
        schema: SchemaRef,
        batch_rows: usize,
    ) -> Self {
        Self {
            stored: StoredBytes::new(0..file.size(), context.config.row_chunk_bytes),
            context,
            file,
            serde,
            buffer: BytesMut::new(),
            container: None,
            ready: VecDeque::new(),
            schema,
            batch_rows,
        }
    }

    /// The next rows; `None` at the end of the file.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<RecordBatch>, DataFusionError> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return self.adapted(&batch).map(Some);
            }
            if self.container.is_none() {
                let container = self.header().await?;
                self.container = Some(container);
            }
            if !self.part().await? {
                return Ok(None);
            }
        }
    }

    /// Brings more stored bytes; false at the end of the file.
    async fn more(&mut self) -> Result<bool, ScanError> {
        match self.stored.next(&self.context, &self.file).await? {
            Some(chunk) => {
                self.buffer.extend_from_slice(&chunk);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    async fn header(&mut self) -> Result<Container, ScanError> {
        loop {
            let more = self.more().await?;
            match read_header_info(self.buffer.as_ref()) {
                Ok(info) => {
                    let container = Container::new(&info).map_err(|e| self.file.bad(e))?;
                    let length = usize::try_from(info.header_len()).unwrap_or(usize::MAX);
                    self.buffer.advance(length.min(self.buffer.len()));
                    return Ok(container);
                }
                Err(AvroError::EOF(_)) if more && self.buffer.len() <= MAX_HEADER_BYTES => {}
                Err(e) => return Err(self.file.bad(format!("it is no Avro file: {e}"))),
            }
        }
    }

    /// Makes the next blocks into batches; false when there are none.
    async fn part(&mut self) -> Result<bool, DataFusionError> {
        let Some(container) = self.container.as_ref() else {
            return Ok(false);
        };
        let container = container.clone();
        let limit = usize::try_from(self.context.config.max_line_bytes).unwrap_or(usize::MAX);
        let mut part = container.header.clone();
        let empty = part.len();
        while part.len() - empty < PART_BYTES {
            let block = loop {
                match container
                    .block(&self.buffer, limit)
                    .map_err(|e| self.file.bad(e))?
                {
                    Some(block) => break Some(block),
                    None if self.more().await? => {}
                    None if self.buffer.is_empty() => break None,
                    None => return Err(self.file.bad("its last block is cut short").into()),
                }
            };
            let Some(block) = block else {
                break;
            };
            container
                .unpack(&self.buffer, &block, limit, &mut part)
                .map_err(|e| self.file.bad(e))?;
            self.buffer.advance(block.end);
        }
        if part.len() == empty {
            return Ok(false);
        }
        let mut builder = ReaderBuilder::new().with_batch_size(self.batch_rows);
        if let Some(schema) = &self.serde.schema {
            builder = builder.with_reader_schema(AvroSchema::new(schema.clone()));
        }
        let wrong = |e: arrow::error::ArrowError| self.file.bad(format!("its records cannot be read: {e}"));
        for batch in builder.build(part.as_slice()).map_err(wrong)? {
            let batch = batch.map_err(wrong)?;
            if batch.num_rows() > 0 {
                self.ready.push_back(batch);
            }
        }
        Ok(true)
    }

    /// The wanted columns of a batch, in the types of the table.
    fn adapted(&self, batch: &RecordBatch) -> Result<RecordBatch, DataFusionError> {
        let columns = self
            .schema
            .fields()
            .iter()
            .map(|want| columns::column(batch, want, &self.file))
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &options,
        )?)
    }
}

impl BlockCodec {
    /// By the name in the header; `Err` names one that is not read.
    pub(crate) fn of(name: Option<&arrow_avro::compression::CompressionCodec>) -> Result<Self, String> {
        use arrow_avro::compression::CompressionCodec as C;
        match name {
            None => Ok(Self::Plain),
            Some(C::Deflate) => Ok(Self::Deflate),
            Some(C::Snappy) => Ok(Self::Snappy),
            Some(C::ZStandard) => Ok(Self::Zstd),
            Some(C::Bzip2) => Ok(Self::Bzip2),
            Some(C::Xz) => Err("its blocks are compressed with xz, which is not read".to_owned()),
        }
    }
}
