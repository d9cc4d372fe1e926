//! One Parquet object of the demo lake, as Athena's own writers would lay it out: optional columns, page index,
//! no Arrow schema in the footer.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

/// A file being written into memory.
pub(super) struct ParquetFile {
    writer: ArrowWriter<Vec<u8>>,
    schema: SchemaRef,
    rows: u64,
}

impl ParquetFile {
    /// Columns become nullable whatever `schema` says: Hive tables know no NOT NULL.
    pub(super) fn new(schema: &Schema, row_group_rows: usize) -> Result<Self, ParquetError> {
        let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
        let schema: SchemaRef = Arc::new(Schema::new(
            schema.fields().iter().map(nullable).collect::<Vec<_>>(),
        ));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(row_group_rows))
            .set_created_by("owlake demo".to_owned())
            .build();
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options)?;
        Ok(Self {
            writer,
            schema,
            rows: 0,
        })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        let batch = RecordBatch::try_new(self.schema.clone(), batch.columns().to_vec())?;
        self.rows += batch.num_rows() as u64;
        self.writer.write(&batch)
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Written bytes and the estimate of the open row group.
    pub(super) fn size_bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    pub(super) fn finish(self) -> Result<Bytes, ParquetError> {
        self.writer.into_inner().map(Bytes::from)
    }
}
