//! An Arrow IPC file (Feather 2): types and NULLs as the server sent them. Binary, for files and pipes.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::FileWriter;

use super::{FormatError, RowWriter};

/// Written batch by batch; only the footer waits for the end.
pub(super) struct ArrowFile {
    schema: SchemaRef,
    writer: Option<FileWriter<Vec<u8>>>,
}

impl ArrowFile {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self {
            schema: SchemaRef::clone(schema),
            writer: None,
        }
    }

    fn open(&mut self) -> Result<&mut FileWriter<Vec<u8>>, FormatError> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => FileWriter::try_new(Vec::new(), &self.schema)?,
        };
        Ok(self.writer.insert(writer))
    }
}

/// Moves what the encoder has made to where it belongs.
fn drain(writer: &mut FileWriter<Vec<u8>>, out: &mut dyn Write) -> Result<(), FormatError> {
    writer.flush()?;
    let bytes = std::mem::take(writer.get_mut());
    out.write_all(&bytes)?;
    Ok(())
}

impl RowWriter for ArrowFile {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), FormatError> {
        let writer = self.open()?;
        writer.write(batch)?;
        drain(writer, out)
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<(), FormatError> {
        let writer = self.open()?;
        writer.finish()?;
        drain(writer, out)
    }
}
