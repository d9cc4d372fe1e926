//! [`QueryStream`]: the rows of one query, its id and its receipt, wherever the server put it.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::error::FlightError;
use arrow_flight::{CancelFlightInfoRequest, FlightData, FlightInfo, Ticket};
use futures::future::{BoxFuture, Either, select};
use futures::{FutureExt, Stream, StreamExt};
use owlake_proto::v1::QueryReceipt;
use prost::Message;
use tonic::{Response, Streaming};

use crate::client::Client;
use crate::error::ClientError;
use crate::wire;

/// Location that means "the connection you already have".
const REUSE_CONNECTION: &str = "arrow-flight-reuse-connection://";

/// Receipt found by [`Messages`], below the decoder.
type Seen = Arc<Mutex<Option<QueryReceipt>>>;
type Opened = Result<Response<Streaming<FlightData>>, ClientError>;

/// Rows of one query.
///
/// Batches without rows (keep-alive, receipt) are not yielded. After the first error the stream is over. Dropping it
/// cancels the query on the server.
pub struct QueryStream {
    client: Client,
    info: FlightInfo,
    tickets: VecDeque<Ticket>,
    state: State,
    schema: SchemaRef,
    /// The server announced the schema; else the first message of the data does.
    schema_announced: bool,
    query_id: Option<String>,
    receipt: Option<QueryReceipt>,
    seen: Seen,
}

enum State {
    Next,
    Opening(BoxFuture<'static, Opened>),
    Reading(Box<FlightDataDecoder>),
    Done,
}

impl std::fmt::Debug for QueryStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryStream")
            .field("query_id", &self.query_id)
            .finish_non_exhaustive()
    }
}

impl QueryStream {
    pub(crate) fn new(client: Client, response: Response<FlightInfo>) -> Result<Self, ClientError> {
        let query_id = wire::text(response.metadata(), wire::REQUEST_ID).map(str::to_owned);
        let receipt = wire::receipt_of_metadata(response.metadata());
        let info = response.into_inner();
        // No bytes at all is "not known yet"; a schema without fields is "no rows, it has run".
        let schema_announced = !info.schema.is_empty();
        let schema = if schema_announced {
            info.clone()
                .try_decode_schema()
                .map_err(|error| ClientError::decoding("the schema", error))?
        } else {
            Schema::empty()
        };
        let has_rows = !(schema_announced && schema.fields().is_empty());
        let tickets = if has_rows {
            tickets(&info)?
        } else {
            VecDeque::new()
        };
        let state = if tickets.is_empty() {
            State::Done
        } else {
            State::Next
        };
        Ok(Self {
            client,
            info,
            tickets,
            state,
            schema: Arc::new(schema),
            schema_announced,
            query_id,
            receipt,
            seen: Arc::default(),
        })
    }

    /// Columns of the result; none for a statement without rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether the statement returns rows, as opposed to DDL, which has run already.
    pub fn has_rows(&self) -> bool {
        !matches!(self.state, State::Done) || !self.schema.fields().is_empty()
    }

    /// The server's id of the query (response header `x-request-id`, else the receipt's).
    pub fn query_id(&self) -> Option<&str> {
        let of_receipt = self.receipt.as_ref().map(|receipt| receipt.query_id.as_str());
        self.query_id
            .as_deref()
            .or(of_receipt)
            .filter(|id| !id.is_empty())
    }

    /// What the query read and cost: after the end of the stream, also after an error. `None` before, or if the server
    /// sends no receipts.
    pub fn receipt(&self) -> Option<&QueryReceipt> {
        self.receipt.as_ref()
    }

    /// Asks the server to stop the query and waits up to `grace` for its receipt. Rows that still arrive are dropped;
    /// when this returns, the call is over in any case.
    pub async fn cancel(mut self, grace: Duration) -> Option<QueryReceipt> {
        let client = self.client.clone();
        let body = CancelFlightInfoRequest::new(self.info.clone()).encode_to_vec();
        let drain = async { while let Some(Ok(_)) = self.next().await {} };
        let _ = tokio::time::timeout(grace, async {
            let ask = pin!(client.action("CancelFlightInfo", body.into()));
            // A server without this action is not waited for: the drop stops the query.
            match select(ask, pin!(drain)).await {
                Either::Left((Ok(_), drain)) => drain.await,
                Either::Left((Err(_), _)) | Either::Right(_) => {}
            }
        })
        .await;
        self.receipt.take()
    }

    fn open(&self, ticket: Ticket) -> State {
        let client = self.client.clone();
        let opening = async move {
            client
                .call(ticket, |mut flight, request| async move {
                    flight.do_get(request).await
                })
                .await
        };
        State::Opening(opening.boxed())
    }

    fn opened(&mut self, response: Response<Streaming<FlightData>>) -> State {
        if let Some(id) = wire::text(response.metadata(), wire::REQUEST_ID) {
            self.query_id = Some(id.to_owned());
        }
        let messages = Messages {
            inner: response.into_inner(),
            seen: Arc::clone(&self.seen),
        };
        State::Reading(Box::new(FlightDataDecoder::new(messages)))
    }

    /// Takes the receipt of the error, else of the messages and trailers.
    fn keep_receipt(&mut self, of_error: Option<QueryReceipt>) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(receipt) = of_error.or(seen) {
            self.receipt = Some(receipt);
        }
    }

    fn fail(&mut self, error: ClientError) -> Poll<Option<Result<RecordBatch, ClientError>>> {
        self.state = State::Done;
        self.keep_receipt(error.receipt().cloned());
        Poll::Ready(Some(Err(error)))
    }

    /// The data must have the types that were announced; its own schema is used from then on.
    fn check_schema(&mut self, actual: SchemaRef) -> Result<(), ClientError> {
        let types = |schema: &Schema| -> Vec<_> {
            schema
                .fields()
                .iter()
                .map(|field| field.data_type().clone())
                .collect()
        };
        if self.schema_announced && types(&self.schema) != types(&actual) {
            return Err(ClientError::protocol(
                "the data has other column types than the server announced",
            ));
        }
        self.schema_announced = true;
        self.schema = actual;
        Ok(())
    }
}

fn tickets(info: &FlightInfo) -> Result<VecDeque<Ticket>, ClientError> {
    let mut tickets = VecDeque::new();
    for endpoint in &info.endpoint {
        // Following a location means sending our credentials to a host that the user never named.
        let here = endpoint.location.is_empty()
            || endpoint
                .location
                .iter()
                .any(|location| location.uri.starts_with(REUSE_CONNECTION));
        if !here {
            return Err(ClientError::protocol(
                "the result is to be fetched from another server",
            ));
        }
        let ticket = endpoint.ticket.clone();
        tickets.push_back(ticket.ok_or_else(|| ClientError::protocol("an endpoint has no ticket"))?);
    }
    Ok(tickets)
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Done => return Poll::Ready(None),
                State::Next => {
                    this.state = match this.tickets.pop_front() {
                        Some(ticket) => this.open(ticket),
                        None => State::Done,
                    };
                }
                State::Opening(opening) => match ready!(opening.poll_unpin(context)) {
                    Ok(response) => this.state = this.opened(response),
                    Err(error) => return this.fail(error),
                },
                State::Reading(decoder) => match ready!(decoder.poll_next_unpin(context)) {
                    None => {
                        this.keep_receipt(None);
                        this.state = State::Next;
                    }
                    Some(Err(error)) => {
                        let error = this.client.flight_error(error);
                        return this.fail(error);
                    }
                    Some(Ok(message)) => match message.payload {
                        DecodedPayload::Schema(schema) => {
                            if let Err(error) = this.check_schema(schema) {
                                return this.fail(error);
                            }
                        }
                        DecodedPayload::RecordBatch(batch) if batch.num_rows() > 0 => {
                            return Poll::Ready(Some(Ok(batch)));
                        }
                        DecodedPayload::RecordBatch(_) | DecodedPayload::None => {}
                    },
                },
            }
        }
    }
}

/// The messages of one call on their way to the decoder: finds receipts in messages and trailers.
struct Messages {
    inner: Streaming<FlightData>,
    seen: Seen,
}

impl Messages {
    /// The first one counts: a message holds it whole, trailers what fits.
    fn found(&self, receipt: Option<QueryReceipt>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_none() {
            *seen = receipt;
        }
    }
}

impl Stream for Messages {
    type Item = Result<FlightData, FlightError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.inner.poll_next_unpin(context)) {
                Some(Ok(message)) => {
                    self.found(wire::receipt_of_any(&message.app_metadata));
                    // A message of metadata alone is legal, but the decoder does not take it.
                    if !message.data_header.is_empty() {
                        return Poll::Ready(Some(Ok(message)));
                    }
                }
                Some(Err(status)) => return Poll::Ready(Some(Err(status.into()))),
                None => {
                    // After the last message the trailers are there already.
                    let trailers = self
                        .inner
                        .trailers()
                        .now_or_never()
                        .and_then(Result::ok)
                        .flatten();
                    self.found(trailers.and_then(|trailers| wire::receipt_of_metadata(&trailers)));
                    return Poll::Ready(None);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ConnectOptions;
    use arrow::datatypes::{DataType, Field};
    use arrow_flight::{FlightEndpoint, Location};
    use tonic::metadata::{BinaryMetadataValue, MetadataValue};
    use tonic::transport::Endpoint;

    /// What the client makes of a GetFlightInfo answer; nothing is ever connected to.
    async fn answered(info: FlightInfo) -> Result<QueryStream, ClientError> {
        let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let client = Client::from_channel(channel, ConnectOptions::default())
            .await
            .unwrap();
        let mut response = Response::new(info);
        response
            .metadata_mut()
            .insert(wire::REQUEST_ID, MetadataValue::from_static("q7"));
        let receipt = QueryReceipt {
            query_id: "q7".into(),
            ..QueryReceipt::default()
        };
        let receipt = BinaryMetadataValue::from_bytes(&receipt.encode_to_vec());
        response.metadata_mut().insert_bin(wire::RECEIPT, receipt);
        QueryStream::new(client, response)
    }

    fn one_column() -> FlightInfo {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
        FlightInfo::new().try_with_schema(&schema).unwrap()
    }

    fn endpoint(locations: &[&str]) -> FlightEndpoint {
        let location = locations
            .iter()
            .map(|uri| Location {
                uri: (*uri).to_owned(),
            })
            .collect();
        FlightEndpoint {
            location,
            ..FlightEndpoint::new().with_ticket(Ticket::new("t"))
        }
    }

    #[tokio::test]
    async fn a_statement_without_columns_has_run_and_fetches_nothing() {
        let info = FlightInfo::new()
            .try_with_schema(&Schema::empty())
            .unwrap()
            .with_endpoint(endpoint(&[]));
        let mut stream = answered(info).await.unwrap();
        assert!(!stream.has_rows());
        assert_eq!(stream.query_id(), Some("q7"));
        assert_eq!(stream.receipt().unwrap().query_id, "q7");
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn columns_without_an_endpoint_are_an_empty_result() {
        let mut stream = answered(one_column()).await.unwrap();
        assert!(stream.has_rows());
        assert_eq!(stream.schema().field(0).name(), "n");
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn credentials_are_never_carried_to_another_server() {
        for here in [
            &[][..],
            &["arrow-flight-reuse-connection://?"],
            &["grpc://far:1", REUSE_CONNECTION],
        ] {
            assert_eq!(
                answered(one_column().with_endpoint(endpoint(here)))
                    .await
                    .unwrap()
                    .tickets
                    .len(),
                1
            );
        }
        let error = answered(one_column().with_endpoint(endpoint(&["grpc://far:1"])))
            .await
            .unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
        assert!(
            answered(one_column().with_endpoint(FlightEndpoint::new()))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn data_of_other_types_than_announced_is_refused() {
        let schema = |data_type| Arc::new(Schema::new(vec![Field::new("n", data_type, false)]));
        let mut stream = answered(one_column()).await.unwrap();
        assert!(stream.check_schema(schema(DataType::Int64)).is_ok());
        assert!(stream.check_schema(schema(DataType::Utf8)).is_err());
        let mut unknown = answered(FlightInfo::new().with_endpoint(endpoint(&[])))
            .await
            .unwrap();
        assert!(unknown.has_rows());
        assert!(unknown.check_schema(schema(DataType::Utf8)).is_ok());
        assert_eq!(unknown.schema().field(0).data_type(), &DataType::Utf8);
    }
}
