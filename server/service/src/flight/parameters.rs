//! Bound parameters: Arrow rows from DoPut to scalar values, one statement execution per row.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::server::PeekableFlightDataStream;
use datafusion::common::ScalarValue;
use futures::TryStreamExt;
use owlake_fault::{Code, Fault};

/// Bytes of parameters that one bind may carry.
const MAX_BIND_BYTES: usize = 64 << 20;

fn bad(what: impl Into<String>) -> Fault {
    Fault::new(Code::InvalidParameterUsage, what)
}

/// Reads the rows of a bind. Cancel safe.
pub(crate) async fn read_rows(stream: PeekableFlightDataStream) -> Result<Vec<Vec<ScalarValue>>, Fault> {
    // A message that only names the command is legal, but the decoder does not take it.
    let messages = stream
        .map_err(|status| FlightError::Tonic(Box::new(status)))
        .try_filter(|message| std::future::ready(!message.data_header.is_empty()));
    let mut batches = FlightRecordBatchStream::new_from_flight_data(messages);
    let mut rows = Vec::new();
    let mut bytes = 0;
    loop {
        let next = std::panic::AssertUnwindSafe(batches.try_next());
        // The IPC decoder of this arrow release may panic on malformed bytes (reliability 0.6).
        let batch = match futures::FutureExt::catch_unwind(next).await {
            Ok(Ok(Some(batch))) => batch,
            Ok(Ok(None)) => return Ok(rows),
            Ok(Err(error)) => {
                return Err(bad("the parameters are not a valid Arrow stream").with_source(error));
            }
            Err(_panic) => return Err(bad("the parameters are not a valid Arrow stream")),
        };
        bytes += batch.get_array_memory_size();
        if bytes > MAX_BIND_BYTES {
            return Err(bad(format!(
                "the parameters have more than {MAX_BIND_BYTES} bytes"
            )));
        }
        for row in 0..batch.num_rows() {
            rows.push(values(&batch, row)?);
        }
    }
}

fn values(batch: &RecordBatch, row: usize) -> Result<Vec<ScalarValue>, Fault> {
    batch
        .columns()
        .iter()
        .enumerate()
        .map(|(i, column)| {
            if column.is_null(row) {
                return Ok(ScalarValue::Null);
            }
            ScalarValue::try_from_array(column, row)
                .map(plain)
                .map_err(|e| bad(format!("parameter {} has an unsupported type", i + 1)).with_source(e))
        })
        .collect()
}

/// Encodings that drivers choose by themselves become the plain types that SQL knows.
fn plain(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Dictionary(_, inner) => plain(*inner),
        ScalarValue::LargeUtf8(v) | ScalarValue::Utf8View(v) => ScalarValue::Utf8(v),
        ScalarValue::LargeBinary(v) | ScalarValue::BinaryView(v) => ScalarValue::Binary(v),
        other => other,
    }
}

/// The schema of a statement's placeholders; a type that is not known is announced as text.
pub(crate) fn schema(types: &[DataType]) -> SchemaRef {
    let wire = |t: &DataType| match t {
        DataType::Null => DataType::Utf8,
        other => other.clone(),
    };
    let fields: Vec<Field> = types
        .iter()
        .enumerate()
        .map(|(i, t)| Field::new(format!("parameter_{}", i + 1), wire(t), true))
        .collect();
    owlake_engine::wire::wire_schema(&Schema::new(fields))
}
