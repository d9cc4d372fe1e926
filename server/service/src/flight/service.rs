//! `FlightSqlService`: every command of the protocol that is offered, one line or two each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginTransactionRequest, ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    ActionEndTransactionRequest, Any, Command, CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas,
    CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes,
    CommandGetTables, CommandGetXdbcTypeInfo, CommandPreparedStatementQuery, CommandPreparedStatementUpdate,
    CommandStatementQuery, CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo,
    TicketStatementQuery,
};
use arrow_flight::{
    Action, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, SchemaAsIpc,
    SchemaResult, Ticket,
};
use futures::Stream;
use owlake_engine::{Engine, QueryFailure, Submitted};
use owlake_fault::{Code, Fault};
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::flight::bounded::Handles;
use crate::flight::metadata::{self, NameFilter};
use crate::flight::prepared::PreparedEntry;
use crate::flight::sessions::{Caller, Sessions};
use crate::flight::statement::{Parked, info};
use crate::flight::status::status;
use crate::flight::stream::{MessageStream, batch_stream, failure_status};
use crate::flight::{actions, metadata_rows, parameters};

/// Announced queries that wait for their DoGet.
const MAX_TICKETS: usize = 1_000;
/// How long a ticket waits.
const TICKET_IDLE: Duration = Duration::from_secs(60);
/// Prepared statements of all sessions.
const MAX_PREPARED: usize = 10_000;
/// How long an unused prepared statement stays.
pub(crate) const PREPARED_IDLE: Duration = Duration::from_secs(1_800);
/// How often expired handles are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// `ActionCancelQueryResult.CancelResult`, which `arrow-flight` keeps to itself.
const CANCEL_RESULT_CANCELLED: i32 = 1;
const CANCEL_RESULT_NOT_CANCELLABLE: i32 = 3;

/// The Flight SQL service.
pub(crate) struct FlightSql {
    pub(crate) engine: Engine,
    pub(crate) sessions: Sessions,
    pub(crate) tickets: Handles<Parked>,
    pub(crate) statements: Handles<PreparedEntry>,
    running: Arc<Mutex<HashMap<String, (String, CancellationToken)>>>,
    sql_info: SqlInfoData,
    xdbc: XdbcTypeInfoData,
}

impl std::fmt::Debug for FlightSql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlightSql").field("sessions", &self.sessions).finish_non_exhaustive()
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
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.handle);
    }
}

fn to_status(fault: &Fault) -> Status {
    status(fault, None, None)
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Status {
    to_status(&Fault::new(Code::GenericInternalError, "internal error").with_source(error))
}

impl FlightSql {
    /// A service over `engine`; expired handles are swept as long as it lives.
    pub(crate) fn new(
        engine: Engine,
        sessions: Sessions,
        sql_info: SqlInfoData,
        xdbc: XdbcTypeInfoData,
    ) -> Arc<Self> {
        let service = Arc::new(Self {
            sessions,
            tickets: Handles::new("ticket", MAX_TICKETS, TICKET_IDLE),
            statements: Handles::new("prepared statement", MAX_PREPARED, PREPARED_IDLE),
            running: Arc::default(),
            sql_info,
            xdbc,
            engine,
        });
        let weak = Arc::downgrade(&service);
        service.engine.runtimes().spawn_io(sweep(weak));
        service
    }

    /// The caller of a request.
    pub(crate) fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Fault> {
        self.sessions.caller(request.metadata(), request.extensions())
    }

    fn call<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        self.caller(request).map_err(|f| to_status(&f))
    }

    /// Refuses a request without an identity, before any of it is decoded.
    pub(crate) fn authenticated<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.call(request).map(|_caller| ())
    }

    /// Lists a query as running, so that it can be cancelled from another connection of its session.
    pub(crate) fn running(&self, owner: &str, handle: &str, cancel: CancellationToken) -> RunningEntry {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(handle.to_owned(), (owner.to_owned(), cancel));
        RunningEntry { handle: handle.to_owned(), running: Arc::clone(&self.running) }
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

    /// Drops what belongs to a session.
    pub(crate) fn close_session(&self, session: &str) {
        drop(self.statements.take_owner(session));
        drop(self.tickets.take_owner(session));
    }

    /// GetSchema: the schema a statement would have, without running it.
    pub(crate) async fn schema_of(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let caller = self.call(&request)?;
        let malformed = |e| to_status(&Fault::new(Code::InvalidArguments, "the descriptor is malformed").with_source(e));
        let any = Any::decode(request.get_ref().cmd.as_ref()).map_err(malformed)?;
        let schema = match Command::try_from(any).map_err(internal)? {
            Command::CommandStatementQuery(command) => {
                let prepared = self.engine.prepare(caller.context(self.engine.now()), &command.query).await;
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
    fn announce_command(
        &self,
        request: Request<FlightDescriptor>,
        command: &impl ProstMessageExt,
        schema: SchemaRef,
    ) -> Result<Response<FlightInfo>, Status> {
        self.call(&request)?;
        let ticket = Ticket::new(command.as_any().encode_to_vec());
        let info = info(&schema, request.into_inner(), "")?;
        Ok(Response::new(info.with_endpoint(FlightEndpoint::new().with_ticket(ticket))))
    }

    fn answer(
        &self,
        batch: Result<RecordBatch, impl std::error::Error + Send + Sync + 'static>,
    ) -> Result<Response<MessageStream>, Status> {
        Ok(Response::new(batch_stream(batch.map_err(internal)?)))
    }

    async fn submit(&self, caller: &Caller, sql: &str) -> Result<Submitted, QueryFailure> {
        self.engine.submit(caller.context(self.engine.now()), sql).await
    }

    /// Runs a statement to its end for its effect; the number of rows it changed.
    async fn update<T>(&self, request: &Request<T>, submitted: Result<Submitted, QueryFailure>) -> Result<i64, Status> {
        let fail = |f: QueryFailure| failure_status(&f);
        let mut running = submitted.map_err(fail)?.run().await.map_err(fail)?;
        if let Some(settings) = running.changed_settings() {
            self.sessions.store(request.metadata(), request.extensions(), settings.clone());
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
async fn sweep(service: Weak<FlightSql>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(service) = service.upgrade() else {
            return;
        };
        drop(service.tickets.take_expired());
        drop(service.statements.take_expired());
    }
}

type Info = Result<Response<FlightInfo>, Status>;
type Get = Result<Response<<FlightSql as FlightService>::DoGetStream>, Status>;

fn boxed(response: Response<MessageStream>) -> Response<<FlightSql as FlightService>::DoGetStream> {
    response.map(|stream| Box::pin(stream) as _)
}

#[tonic::async_trait]
impl FlightSqlService for FlightSql {
    type FlightService = Self;

    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<std::pin::Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>>, Status> {
        let bearer = self.sessions.authenticator().handshake(request.metadata()).map_err(|f| to_status(&f))?;
        let answer = HandshakeResponse { protocol_version: 0, payload: bearer.token().to_owned().into() };
        let mut response: Response<std::pin::Pin<Box<dyn Stream<Item = _> + Send>>> =
            Response::new(Box::pin(futures::stream::iter([Ok(answer)])));
        let header = format!("Bearer {}", bearer.token()).parse().map_err(internal)?;
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    async fn get_flight_info_statement(&self, query: CommandStatementQuery, request: Request<FlightDescriptor>) -> Info {
        let caller = self.call(&request)?;
        let submitted = self.submit(&caller, &query.query).await;
        self.announce(&caller, &request, request.get_ref().clone(), submitted).await
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let caller = self.call(&request)?;
        let submitted = self.submit_prepared(&caller, &query.prepared_statement_handle).await;
        self.announce(&caller, &request, request.get_ref().clone(), submitted).await
    }

    async fn get_flight_info_catalogs(&self, query: CommandGetCatalogs, request: Request<FlightDescriptor>) -> Info {
        self.announce_command(request, &query, metadata::catalogs_schema())
    }

    async fn get_flight_info_schemas(&self, query: CommandGetDbSchemas, request: Request<FlightDescriptor>) -> Info {
        self.announce_command(request, &query, metadata::db_schemas_schema())
    }

    async fn get_flight_info_tables(&self, query: CommandGetTables, request: Request<FlightDescriptor>) -> Info {
        self.announce_command(request, &query, metadata::tables_schema(query.include_schema))
    }

    async fn get_flight_info_table_types(&self, query: CommandGetTableTypes, request: Request<FlightDescriptor>) -> Info {
        self.announce_command(request, &query, metadata::table_types_schema())
    }

    async fn get_flight_info_sql_info(&self, query: CommandGetSqlInfo, request: Request<FlightDescriptor>) -> Info {
        let schema = query.clone().into_builder(&self.sql_info).schema();
        self.announce_command(request, &query, schema)
    }

    async fn get_flight_info_primary_keys(&self, query: CommandGetPrimaryKeys, request: Request<FlightDescriptor>) -> Info {
        self.announce_command(request, &query, metadata::primary_keys_schema())
    }

    async fn get_flight_info_exported_keys(&self, query: CommandGetExportedKeys, request: Request<FlightDescriptor>) -> Info {
        self.announce_command(request, &query, metadata::foreign_keys_schema())
    }

    async fn get_flight_info_imported_keys(&self, query: CommandGetImportedKeys, request: Request<FlightDescriptor>) -> Info {
        self.announce_command(request, &query, metadata::foreign_keys_schema())
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.announce_command(request, &query, metadata::foreign_keys_schema())
    }

    async fn get_flight_info_xdbc_type_info(&self, query: CommandGetXdbcTypeInfo, request: Request<FlightDescriptor>) -> Info {
        let schema = query.into_builder(&self.xdbc).schema();
        self.announce_command(request, &query, schema)
    }

    async fn do_get_statement(&self, ticket: TicketStatementQuery, request: Request<Ticket>) -> Get {
        let caller = self.call(&request)?;
        self.fetch(&caller, &ticket.statement_handle).await.map(boxed)
    }

    async fn do_get_prepared_statement(&self, query: CommandPreparedStatementQuery, request: Request<Ticket>) -> Get {
        let caller = self.call(&request)?;
        let submitted = self.submit_prepared(&caller, &query.prepared_statement_handle).await;
        let submitted = submitted.map_err(|f| failure_status(&f))?;
        let handle = self
            .tickets
            .insert(&caller.session, Parked::Planned(Box::new(submitted)))
            .map_err(|f| to_status(&f))?;
        self.fetch(&caller, handle.as_bytes()).await.map(boxed)
    }

    async fn do_get_catalogs(&self, _query: CommandGetCatalogs, request: Request<Ticket>) -> Get {
        self.call(&request)?;
        self.answer(metadata::catalogs(self.engine.resolver().catalog_names())).map(boxed)
    }

    async fn do_get_schemas(&self, query: CommandGetDbSchemas, request: Request<Ticket>) -> Get {
        let context = self.call(&request)?.context(self.engine.now());
        let rows = metadata_rows::databases(&self.engine, &context, &NameFilter::from(&query)).await;
        self.answer(metadata::db_schemas(&query, rows.map_err(|f| to_status(&f))?)).map(boxed)
    }

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> Get {
        let context = self.call(&request)?.context(self.engine.now());
        let filter = NameFilter::from(&query);
        let rows = metadata_rows::tables(&self.engine, &context, &filter, query.include_schema).await;
        self.answer(metadata::tables(&query, rows.map_err(|f| to_status(&f))?)).map(boxed)
    }

    async fn do_get_table_types(&self, _query: CommandGetTableTypes, request: Request<Ticket>) -> Get {
        self.call(&request)?;
        self.answer(metadata::table_types()).map(boxed)
    }

    async fn do_get_sql_info(&self, query: CommandGetSqlInfo, request: Request<Ticket>) -> Get {
        self.call(&request)?;
        self.answer(query.into_builder(&self.sql_info).build()).map(boxed)
    }

    async fn do_get_primary_keys(&self, _query: CommandGetPrimaryKeys, request: Request<Ticket>) -> Get {
        self.call(&request)?;
        Ok(boxed(Response::new(batch_stream(RecordBatch::new_empty(metadata::primary_keys_schema())))))
    }

    async fn do_get_exported_keys(&self, _query: CommandGetExportedKeys, request: Request<Ticket>) -> Get {
        self.call(&request)?;
        Ok(boxed(Response::new(batch_stream(RecordBatch::new_empty(metadata::foreign_keys_schema())))))
    }

    async fn do_get_imported_keys(&self, _query: CommandGetImportedKeys, request: Request<Ticket>) -> Get {
        self.call(&request)?;
        Ok(boxed(Response::new(batch_stream(RecordBatch::new_empty(metadata::foreign_keys_schema())))))
    }

    async fn do_get_cross_reference(&self, _query: CommandGetCrossReference, request: Request<Ticket>) -> Get {
        self.call(&request)?;
        Ok(boxed(Response::new(batch_stream(RecordBatch::new_empty(metadata::foreign_keys_schema())))))
    }

    async fn do_get_xdbc_type_info(&self, query: CommandGetXdbcTypeInfo, request: Request<Ticket>) -> Get {
        self.call(&request)?;
        self.answer(query.into_builder(&self.xdbc).build()).map(boxed)
    }

    async fn do_put_statement_update(
        &self,
        command: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let caller = self.call(&request)?;
        let submitted = self.submit(&caller, &command.query).await;
        self.update(&request, submitted).await
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let caller = self.call(&request)?;
        let rows = parameters::read_rows(request.into_inner()).await.map_err(|f| to_status(&f))?;
        self.bind(&caller, &query.prepared_statement_handle, rows).map_err(|f| to_status(&f))?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(query.prepared_statement_handle) })
    }

    async fn do_put_prepared_statement_update(
        &self,
        query: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let caller = self.call(&request)?;
        let submitted = self.submit_prepared(&caller, &query.prepared_statement_handle).await;
        self.update(&request, submitted).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let caller = self.call(&request)?;
        self.prepare(&caller, &query.query).await.map_err(|f| to_status(&f))
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        let caller = self.call(&request)?;
        self.close_prepared(&caller, &query.prepared_statement_handle).map_err(|f| to_status(&f))
    }

    /// Read-only sessions need no transaction: a handle is given so that drivers connect without a warning.
    async fn do_action_begin_transaction(
        &self,
        _query: ActionBeginTransactionRequest,
        request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        self.call(&request)?;
        Ok(ActionBeginTransactionResult { transaction_id: "read-only".into() })
    }

    async fn do_action_end_transaction(
        &self,
        _query: ActionEndTransactionRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        self.call(&request)?;
        Ok(())
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let caller = self.call(&request)?;
        let malformed = |e| to_status(&Fault::new(Code::InvalidArguments, "the FlightInfo is malformed").with_source(e));
        let info = FlightInfo::decode(query.info.as_ref()).map_err(malformed)?;
        let result = if self.cancel(&caller, &info) { CANCEL_RESULT_CANCELLED } else { CANCEL_RESULT_NOT_CANCELLABLE };
        Ok(ActionCancelQueryResult { result })
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        let body = actions::run(self, &request).map_err(|f| to_status(&f))?;
        let result = arrow_flight::Result { body: body.into() };
        Ok(Response::new(Box::pin(futures::stream::iter([Ok(result)]))))
    }

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
