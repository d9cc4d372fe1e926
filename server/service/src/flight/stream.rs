//! Results on the wire: schema first, batches, and the receipt on a last batch without rows.
//!
//! The last message is a record batch of zero rows rather than bare metadata: drivers choke on the latter.

use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::utils::batches_to_flight_data;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use owlake_engine::{QueryFailure, RunningQuery};
use owlake_fault::{Code, Fault};
use tonic::Status;

use crate::flight::receipt;
use crate::flight::status::status;

/// Rows of a finished batch are sent in messages of about this size.
const MESSAGE_BYTES: usize = 2 << 20;

/// Encoded messages of one DoGet.
pub(crate) type MessageStream = BoxStream<'static, Result<FlightData, Status>>;

/// Where a finished query leaves its receipt for the success trailers; travels as a response extension.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReceiptSlot(Arc<OnceLock<Vec<u8>>>);

impl ReceiptSlot {
    fn fill(&self, receipt: &owlake_metering::Receipt) {
        // Filled once: a query ends once.
        let _first_wins = self.0.set(receipt::trailer_bytes(receipt));
    }

    /// The encoded receipt, once the stream has ended well.
    pub(crate) fn get(&self) -> Option<&[u8]> {
        self.0.get().map(Vec::as_slice)
    }
}

/// The status for a failed query, with its bill.
pub(crate) fn failure_status(failure: &QueryFailure) -> Status {
    let receipt = failure.receipt.as_deref().map(receipt::trailer_bytes);
    status(&failure.fault, failure.query_id.as_deref(), receipt.as_deref())
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Status {
    status(
        &Fault::new(Code::GenericInternalError, "internal error").with_source(error),
        None,
        None,
    )
}

fn from_flight(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => internal(other),
    }
}

/// Streams a running query. Dropping the stream cancels the query.
pub(crate) fn query_stream(query: RunningQuery, slot: ReceiptSlot) -> MessageStream {
    let schema = Arc::clone(query.schema());
    let ended: Arc<OnceLock<FlightData>> = Arc::default();
    let leave = Arc::clone(&ended);
    let last_schema = Arc::clone(&schema);
    let batches = futures::stream::try_unfold(query, move |mut query| {
        let (leave, slot, schema) = (Arc::clone(&leave), slot.clone(), Arc::clone(&last_schema));
        async move {
            match query.next_batch().await {
                Ok(Some(batch)) => Ok(Some((batch, query))),
                Ok(None) => {
                    if let Some(receipt) = query.receipt() {
                        slot.fill(receipt);
                        let last =
                            last_message(&schema, receipt).map_err(|e| FlightError::Tonic(Box::new(e)))?;
                        let _first_wins = leave.set(last);
                    }
                    Ok(None)
                }
                Err(failure) => Err(FlightError::Tonic(Box::new(failure_status(&failure)))),
            }
        }
    });
    // The engine hands out pieces already; the encoder would count the whole buffers that they are slices of.
    let messages = encode(schema, batches, usize::MAX);
    let tail = futures::stream::once(async move { ended.get().cloned() })
        .filter_map(|last| async move { last.map(Ok) });
    messages.chain(tail).boxed()
}

/// Streams a batch that is there already (metadata commands).
pub(crate) fn batch_stream(batch: RecordBatch) -> MessageStream {
    let schema = batch.schema();
    encode(schema, futures::stream::iter([Ok(batch)]), MESSAGE_BYTES).boxed()
}

/// Streams batches of a statement that has run already, with its receipt.
fn encode(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, FlightError>> + Send + 'static,
    message_bytes: usize,
) -> impl Stream<Item = Result<FlightData, Status>> + Send + 'static {
    FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .with_max_flight_data_size(message_bytes)
        .build(batches)
        .map_err(from_flight)
}

fn last_message(schema: &SchemaRef, receipt: &owlake_metering::Receipt) -> Result<FlightData, Status> {
    let empty = RecordBatch::new_empty(Arc::clone(schema));
    let mut messages = batches_to_flight_data(schema, vec![empty]).map_err(internal)?;
    let last = messages
        .pop()
        .ok_or_else(|| internal(std::io::Error::other("no message for an empty batch")))?;
    Ok(last.with_app_metadata(receipt::app_metadata(receipt)))
}
