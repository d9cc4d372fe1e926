//! A column of a batch of Avro records as a column of the table.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field};
use datafusion::error::DataFusionError;

use crate::error::ScanError;
use crate::format::stored::RowFile;
use crate::nested::as_declared;
use crate::parquet_scan::schema::{file_column, readable_as};

/// The column that `want` names, without regard to case; NULL where the file has none.
pub(super) fn column(batch: &RecordBatch, want: &Field, file: &RowFile) -> Result<ArrayRef, DataFusionError> {
    let found = file_column(batch.schema_ref(), want.name()).map_err(|reason| file.bad(reason))?;
    let Some(index) = found else {
        return Ok(new_null_array(want.data_type(), batch.num_rows()));
    };
    let mut stored = Arc::clone(batch.column(index));
    // Enumerations come as dictionaries of their words.
    if let DataType::Dictionary(_, words) = stored.data_type() {
        stored = arrow::compute::cast(&stored, words)?;
    }
    if !readable_as(stored.data_type(), want.data_type()) {
        return Err(ScanError::SchemaMismatch {
            table: file.source.table().to_owned(),
            file: file.source.version().key().to_owned(),
            column: want.name().clone(),
            declared: want.data_type().to_string(),
            stored: stored.data_type().to_string(),
        }
        .into());
    }
    as_declared(&stored, want.data_type())
}
