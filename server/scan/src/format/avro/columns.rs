//! A column of a batch of Avro records as a column of the table.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMillisecondArray, new_null_array};
use arrow::compute::CastOptions;
use arrow::datatypes::{DataType, Field, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType};
use datafusion::common::nested_struct::cast_column;
use datafusion::error::DataFusionError;

use crate::error::ScanError;
use crate::format::stored::RowFile;
use crate::format::text::rounded_millis;
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
    if want.data_type() == &DataType::Timestamp(TimeUnit::Millisecond, None) {
        stored = in_millis(stored);
    }
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_column(&stored, want.data_type(), &options)
}

/// Finer timestamps are rounded, as those of Parquet files are.
fn in_millis(stored: ArrayRef) -> ArrayRef {
    let millis: TimestampMillisecondArray = match stored.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => stored
            .as_primitive::<TimestampMicrosecondType>()
            .unary(|v| v.div_euclid(1_000) + rounded_millis(v.rem_euclid(1_000) * 1_000)),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => stored
            .as_primitive::<TimestampNanosecondType>()
            .unary(|v| v.div_euclid(1_000_000) + rounded_millis(v.rem_euclid(1_000_000))),
        _ => return stored,
    };
    Arc::new(millis)
}
