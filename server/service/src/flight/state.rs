//! What the Flight SQL service keeps between calls: sessions, tickets, prepared statements, running queries.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use arrow_flight::sql::{Any, Command, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, SchemaAsIpc, SchemaResult, Ticket};
use owlake_engine::{Engine, QueryFailure, Submitted};
use owlake_fault::{Code, Fault};
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Response, Status};

use crate::flight::bounded::Handles;
use crate::flight::prepared::PreparedEntry;
use crate::flight::sessions::{Caller, Sessions};
use crate::flight::statement::{Parked, info};
use crate::flight::status::status;
use crate::flight::stream::{MessageStream, batch_stream, failure_status};

/// Announced queries that wait for their DoGet.
const MAX_TICKETS: usize = 1_000;
/// How long a ticket waits.
pub(crate) const TICKET_IDLE: Duration = Duration::from_secs(60);
/// Prepared statements of all sessions.
const MAX_PREPARED: usize = 10_000;
/// How long an unused prepared statement stays.
pub(crate) const PREPARED_IDLE: Duration = Duration::from_secs(1_800);
/// How often expired handles are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// The Flight SQL service.
///
/// Its state is behind a trait object for the compiler's sake: tonic wants every method's future to be `Send`, and
/// the proof would walk through all of the engine's and the SQL parser's types for each of some forty methods.
pub(crate) struct FlightSql(Box<dyn Deref<Target = FlightState> + Send + Sync>);

/// What [`FlightSql`] holds.
pub(crate) struct FlightState {
    pub(crate) engine: Engine,
    pub(crate) sessions: Sessions,
    pub(crate) tickets: Handles<Parked>,
    pub(crate) statements: Handles<PreparedEntry>,
    running: Arc<Mutex<HashMap<String, (String, CancellationToken)>>>,
    pub(crate) sql_info: SqlInfoData,
    pub(crate) xdbc: XdbcTypeInfoData,
}

impl Deref for FlightSql {
    type Target = FlightState;

    fn deref(&self) -> &FlightState {
        &self.0
    }
}

impl std::fmt::Debug for FlightSql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlightSql")
            .field("sessions", &self.sessions)
            .finish_non_exhaustive()
    }
}

/// A query in the list of running ones, until dropped.
#[derive(Debug)]
pub(crate) struct RunningEntry {
    handle: String,
    running: Arc<Mutex<HashMap<String, (String, CancellationToken)>>>,
}

impl Drop for RunningEntry {
    fn drop(&mut self) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.handle);
    }
}

pub(crate) fn to_status(fault: &Fault) -> Status {
    status(fault, None, None)
}

pub(crate) fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Status {
    to_status(&Fault::new(Code::GenericInternalError, "internal error").with_source(error))
}

impl FlightSql {
    /// A service over `engine`; expired handles are swept as long as it lives.
    pub(crate) fn new(
        engine: Engine,
        sessions: Sessions,
        sql_info: SqlInfoData,
        xdbc: XdbcTypeInfoData,
        ticket_idle: Duration,
    ) -> Arc<Self> {
        let state = FlightState {
            sessions,
            tickets: Handles::new("ticket", MAX_TICKETS, ticket_idle),
            statements: Handles::new("prepared statement", MAX_PREPARED, PREPARED_IDLE),
            running: Arc::default(),
            sql_info,
            xdbc,
            engine,
        };
        let service = Arc::new(Self(Box::new(Arc::new(state))));
        let weak = Arc::downgrade(&service);
        service
            .engine
            .runtimes()
            .spawn_io(sweep(weak, SWEEP_EVERY.min(ticket_idle)));
        service
    }

    /// The caller of a request.
    pub(crate) fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Fault> {
        self.sessions.caller(request.metadata(), request.extensions())
    }

    pub(crate) fn call<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        self.caller(request).map_err(|f| to_status(&f))
    }

    /// Refuses a request without an identity, before any of it is decoded.
    pub(crate) async fn admit(&self, metadata: &MetadataMap, extensions: &Extensions) -> Result<(), Status> {
        let admitted = self.sessions.admit(metadata, extensions).await;
        admitted.map_err(|f| to_status(&f))
    }

    /// Lists a query as running, so that it can be cancelled from another connection of its session.
    pub(crate) fn running(&self, owner: &str, handle: &str, cancel: CancellationToken) -> RunningEntry {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(handle.to_owned(), (owner.to_owned(), cancel));
        RunningEntry {
            handle: handle.to_owned(),
            running: Arc::clone(&self.running),
        }
    }

    /// Cancels the queries behind a FlightInfo's tickets; true when there was one.
    pub(crate) fn cancel(&self, caller: &Caller, info: &FlightInfo) -> bool {
        let mut cancelled = false;
        for endpoint in &info.endpoint {
            let Some(handle) = endpoint.ticket.as_ref().and_then(ticket_handle) else {
                continue;
            };
            cancelled |= self.tickets.take(&caller.session, &handle).is_ok();
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((owner, cancel)) = running.get(&handle)
                && *owner == caller.session
            {
                cancel.cancel();
                cancelled = true;
            }
        }
        cancelled
    }

    /// Drops what belongs to a session and ends its queries: nobody else could fetch or cancel them any more.
    pub(crate) fn close_session(&self, session: &str) {
        drop(self.statements.take_owner(session));
        drop(self.tickets.take_owner(session));
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for (owner, cancel) in running.values() {
            if owner == session {
                cancel.cancel();
            }
        }
    }

    /// GetSchema: the schema a statement would have, without running it.
    pub(crate) async fn schema_of(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        let caller = self.call(&request)?;
        let malformed =
            |e| to_status(&Fault::new(Code::InvalidArguments, "the descriptor is malformed").with_source(e));
        let any = Any::decode(request.get_ref().cmd.as_ref()).map_err(malformed)?;
        let schema = match Command::try_from(any).map_err(internal)? {
            Command::CommandStatementQuery(command) => {
                let prepared = self
                    .engine
                    .prepare(caller.context(self.engine.now()), &command.query)
                    .await;
                prepared.map_err(|f| to_status(&f))?.schema
            }
            Command::CommandPreparedStatementQuery(command) => self
                .prepared_schema(&caller, &command.prepared_statement_handle)
                .map_err(|f| to_status(&f))?,
            _ => {
                let info = self.get_flight_info(request).await?.into_inner();
                return Ok(Response::new(SchemaResult { schema: info.schema }));
            }
        };
        let options = arrow::ipc::writer::IpcWriteOptions::default();
        let result = SchemaResult::try_from(SchemaAsIpc::new(&schema, &options)).map_err(internal)?;
        Ok(Response::new(result))
    }

    /// Announces a metadata command: its ticket is the command itself.
    pub(crate) fn announce_command(
        &self,
        request: Request<FlightDescriptor>,
        command: &impl ProstMessageExt,
        schema: SchemaRef,
    ) -> Result<Response<FlightInfo>, Status> {
        self.call(&request)?;
        let ticket = Ticket::new(command.as_any().encode_to_vec());
        let info = info(&schema, request.into_inner(), "")?;
        Ok(Response::new(
            info.with_endpoint(FlightEndpoint::new().with_ticket(ticket)),
        ))
    }

    pub(crate) fn answer(
        &self,
        batch: Result<RecordBatch, impl std::error::Error + Send + Sync + 'static>,
    ) -> Result<Response<MessageStream>, Status> {
        Ok(Response::new(batch_stream(batch.map_err(internal)?)))
    }

    pub(crate) async fn submit(&self, caller: &Caller, sql: &str) -> Result<Submitted, QueryFailure> {
        self.engine.submit(caller.context(self.engine.now()), sql).await
    }

    /// Runs a statement to its end for its effect; the number of rows it changed.
    pub(crate) async fn update<T>(
        &self,
        request: &Request<T>,
        submitted: Result<Submitted, QueryFailure>,
    ) -> Result<i64, Status> {
        let fail = |f: QueryFailure| failure_status(&f);
        let mut running = submitted.map_err(fail)?.run().await.map_err(fail)?;
        if let Some(settings) = running.changed_settings() {
            self.sessions
                .store(request.metadata(), request.extensions(), settings.clone());
        }
        while running.next_batch().await.map_err(fail)?.is_some() {}
        Ok(0)
    }
}

fn ticket_handle(ticket: &Ticket) -> Option<String> {
    let any = Any::decode(ticket.ticket.as_ref()).ok()?;
    let query: TicketStatementQuery = any.unpack().ok()??;
    String::from_utf8(query.statement_handle.to_vec()).ok()
}

/// Drops expired handles until the service is gone.
async fn sweep(service: Weak<FlightSql>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(service) = service.upgrade() else {
            return;
        };
        drop(service.tickets.take_expired());
        drop(service.statements.take_expired());
    }
}
