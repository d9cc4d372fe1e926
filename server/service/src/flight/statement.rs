//! Statements: announced by GetFlightInfo, fetched by DoGet. DDL and SHOW run when announced, since drivers
//! never fetch what has no rows (peers 6.12).

use arrow::datatypes::SchemaRef;
use arrow_flight::sql::{ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use owlake_engine::{QueryFailure, RunningQuery, StatementKind, Submitted};
use owlake_fault::{Code, Fault};
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::metadata::{AsciiMetadataValue, BinaryMetadataValue};
use tonic::{Request, Response, Status};

use crate::flight::FlightSql;
use crate::flight::sessions::Caller;
use crate::flight::status::status;
use crate::flight::stream::{MessageStream, ReceiptSlot, failure_status, query_stream};
use crate::flight::{receipt, state::RunningEntry};

/// A query that waits for its DoGet.
#[derive(Debug)]
pub(crate) enum Parked {
    /// Planned, not started.
    Planned(Box<Submitted>),
    /// Run already (SHOW, DESCRIBE); its rows are in memory.
    Run(Box<RunningQuery>),
}

impl FlightSql {
    /// Announces a submitted statement, running it at once where it is a command.
    pub(crate) async fn announce<T>(
        &self,
        caller: &Caller,
        request: &Request<T>,
        descriptor: FlightDescriptor,
        submitted: Result<Submitted, QueryFailure>,
    ) -> Result<Response<FlightInfo>, Status> {
        let submitted = submitted.map_err(|f| failure_status(&f))?;
        let query_id = submitted.query_id().to_owned();
        let schema = submitted.schema().clone();
        let mut receipt = None;
        let parked = match submitted.kind() {
            StatementKind::Query => Some(Parked::Planned(Box::new(submitted))),
            kind => {
                let mut running = submitted.run().await.map_err(|f| failure_status(&f))?;
                if let Some(settings) = running.changed_settings() {
                    self.sessions
                        .store(request.metadata(), request.extensions(), settings.clone());
                }
                if kind == StatementKind::Rows {
                    Some(Parked::Run(Box::new(running)))
                } else {
                    running.next_batch().await.map_err(|f| failure_status(&f))?;
                    receipt = running.receipt().map(receipt::trailer_bytes);
                    None
                }
            }
        };
        let mut info = info(&schema, descriptor, &query_id)?;
        if let Some(parked) = parked {
            let handle = self
                .tickets
                .insert(&caller.session, parked)
                .map_err(|f| status(&f, Some(&query_id), None))?;
            let ticket = TicketStatementQuery {
                statement_handle: handle.into(),
            };
            info = info.with_endpoint(
                FlightEndpoint::new().with_ticket(Ticket::new(ticket.as_any().encode_to_vec())),
            );
        }
        let mut response = Response::new(info);
        name_query(&mut response, &query_id);
        if let Some(receipt) = receipt {
            response
                .metadata_mut()
                .insert_bin("owlake-receipt-bin", BinaryMetadataValue::from_bytes(&receipt));
        }
        Ok(response)
    }

    /// Serves a ticket, once.
    pub(crate) async fn fetch(
        &self,
        caller: &Caller,
        handle: &[u8],
    ) -> Result<Response<MessageStream>, Status> {
        let handle = std::str::from_utf8(handle).map_err(|_not_ours| {
            status(
                &Fault::new(Code::HandleNotFound, "ticket is unknown or has expired"),
                None,
                None,
            )
        })?;
        let parked = self
            .tickets
            .take(&caller.session, handle)
            .map_err(|f| status(&f, None, None))?;
        let (running, query_id, entry) = match parked {
            Parked::Planned(submitted) => {
                let query_id = submitted.query_id().to_owned();
                let entry = self.running(&caller.session, handle, submitted.cancel_token());
                (
                    submitted.run().await.map_err(|f| failure_status(&f))?,
                    query_id,
                    entry,
                )
            }
            Parked::Run(running) => {
                let query_id = running.query_id().to_owned();
                (
                    *running,
                    query_id,
                    self.running(&caller.session, handle, CancellationToken::new()),
                )
            }
        };
        let slot = ReceiptSlot::default();
        let messages = query_stream(running, slot.clone());
        let mut response = Response::new(held(messages, entry));
        response.extensions_mut().insert(slot);
        name_query(&mut response, &query_id);
        Ok(response)
    }
}

/// The stream, with the entry in the list of running queries alive as long as it.
fn held(messages: MessageStream, entry: RunningEntry) -> MessageStream {
    use futures::StreamExt;
    messages
        .map(move |message| {
            let _entry = &entry;
            message
        })
        .boxed()
}

/// A FlightInfo without endpoints. The number of rows is never known beforehand.
pub(crate) fn info(
    schema: &SchemaRef,
    descriptor: FlightDescriptor,
    query_id: &str,
) -> Result<FlightInfo, Status> {
    let info = FlightInfo::new().try_with_schema(schema).map_err(|e| {
        status(
            &Fault::new(Code::GenericInternalError, "internal error").with_source(e),
            Some(query_id),
            None,
        )
    })?;
    Ok(info
        .with_descriptor(descriptor)
        .with_total_records(-1)
        .with_total_bytes(-1)
        .with_ordered(true))
}

fn name_query<T>(response: &mut Response<T>, query_id: &str) {
    if let Ok(id) = AsciiMetadataValue::try_from(query_id) {
        response.metadata_mut().insert("x-request-id", id);
    }
    response.metadata_mut().insert(
        "x-server-version",
        AsciiMetadataValue::from_static(env!("CARGO_PKG_VERSION")),
    );
}
