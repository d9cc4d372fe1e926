//! `FlightSqlService`: every command of the protocol that is offered, one line or two each.

use arrow::array::RecordBatch;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginTransactionRequest, ActionBeginTransactionResult, ActionCancelQueryRequest,
    ActionCancelQueryResult, ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, ActionEndTransactionRequest, CommandGetCatalogs,
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementQuery,
    CommandStatementUpdate, DoPutPreparedStatementResult, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{Action, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, Ticket};
use futures::Stream;
use owlake_fault::{Code, Fault};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use crate::flight::metadata::{self, NameFilter};
use crate::flight::state::{FlightSql, internal, to_status};
use crate::flight::statement::Parked;
use crate::flight::stream::{MessageStream, batch_stream, failure_status};
use crate::flight::{actions, metadata_rows, parameters};

/// `ActionCancelQueryResult.CancelResult`, which `arrow-flight` keeps to itself.
const CANCEL_RESULT_CANCELLED: i32 = 1;
const CANCEL_RESULT_NOT_CANCELLABLE: i32 = 3;

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
    ) -> Result<
        Response<std::pin::Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>>,
        Status,
    > {
        let bearer = self
            .sessions
            .authenticator()
            .handshake(request.metadata())
            .map_err(|f| to_status(&f))?;
        let answer = HandshakeResponse {
            protocol_version: 0,
            payload: bearer.token().to_owned().into(),
        };
        let mut response: Response<std::pin::Pin<Box<dyn Stream<Item = _> + Send>>> =
            Response::new(Box::pin(futures::stream::iter([Ok(answer)])));
        let header = format!("Bearer {}", bearer.token()).parse().map_err(internal)?;
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let caller = self.call(&request)?;
        let submitted = self.submit(&caller, &query.query).await;
        self.announce(&caller, &request, request.get_ref().clone(), submitted)
            .await
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let caller = self.call(&request)?;
        let submitted = self
            .submit_prepared(&caller, &query.prepared_statement_handle)
            .await;
        self.announce(&caller, &request, request.get_ref().clone(), submitted)
            .await
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.announce_command(request, &query, metadata::catalogs_schema())
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.announce_command(request, &query, metadata::db_schemas_schema())
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.announce_command(request, &query, metadata::tables_schema(query.include_schema))
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.announce_command(request, &query, metadata::table_types_schema())
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let schema = query.clone().into_builder(&self.sql_info).schema();
        self.announce_command(request, &query, schema)
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.announce_command(request, &query, metadata::primary_keys_schema())
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.announce_command(request, &query, metadata::foreign_keys_schema())
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.announce_command(request, &query, metadata::foreign_keys_schema())
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Info {
        self.announce_command(request, &query, metadata::foreign_keys_schema())
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let schema = query.into_builder(&self.xdbc).schema();
        self.announce_command(request, &query, schema)
    }

    async fn do_get_statement(&self, ticket: TicketStatementQuery, request: Request<Ticket>) -> Get {
        let caller = self.call(&request)?;
        self.fetch(&caller, &ticket.statement_handle).await.map(boxed)
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Get {
        let caller = self.call(&request)?;
        let submitted = self
            .submit_prepared(&caller, &query.prepared_statement_handle)
            .await;
        let submitted = submitted.map_err(|f| failure_status(&f))?;
        let handle = self
            .tickets
            .insert(&caller.session, Parked::Planned(Box::new(submitted)))
            .map_err(|f| to_status(&f))?;
        self.fetch(&caller, handle.as_bytes()).await.map(boxed)
    }

    async fn do_get_catalogs(&self, _query: CommandGetCatalogs, request: Request<Ticket>) -> Get {
        self.call(&request)?;
        self.answer(metadata::catalogs(self.engine.resolver().catalog_names()))
            .map(boxed)
    }

    async fn do_get_schemas(&self, query: CommandGetDbSchemas, request: Request<Ticket>) -> Get {
        let context = self.call(&request)?.context(self.engine.now());
        let rows = metadata_rows::databases(&self.engine, &context, &NameFilter::from(&query)).await;
        self.answer(metadata::db_schemas(&query, rows.map_err(|f| to_status(&f))?))
            .map(boxed)
    }

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> Get {
        let context = self.call(&request)?.context(self.engine.now());
        let filter = NameFilter::from(&query);
        let rows = metadata_rows::tables(&self.engine, &context, &filter, query.include_schema).await;
        self.answer(metadata::tables(&query, rows.map_err(|f| to_status(&f))?))
            .map(boxed)
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
        Ok(boxed(Response::new(batch_stream(RecordBatch::new_empty(
            metadata::primary_keys_schema(),
        )))))
    }

    async fn do_get_exported_keys(&self, _query: CommandGetExportedKeys, request: Request<Ticket>) -> Get {
        self.call(&request)?;
        Ok(boxed(Response::new(batch_stream(RecordBatch::new_empty(
            metadata::foreign_keys_schema(),
        )))))
    }

    async fn do_get_imported_keys(&self, _query: CommandGetImportedKeys, request: Request<Ticket>) -> Get {
        self.call(&request)?;
        Ok(boxed(Response::new(batch_stream(RecordBatch::new_empty(
            metadata::foreign_keys_schema(),
        )))))
    }

    async fn do_get_cross_reference(
        &self,
        _query: CommandGetCrossReference,
        request: Request<Ticket>,
    ) -> Get {
        self.call(&request)?;
        Ok(boxed(Response::new(batch_stream(RecordBatch::new_empty(
            metadata::foreign_keys_schema(),
        )))))
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
        let rows = parameters::read_rows(request.into_inner())
            .await
            .map_err(|f| to_status(&f))?;
        self.bind(&caller, &query.prepared_statement_handle, rows)
            .map_err(|f| to_status(&f))?;
        Ok(DoPutPreparedStatementResult {
            prepared_statement_handle: Some(query.prepared_statement_handle),
        })
    }

    /// Drivers send the values of an update in the same call; one row, as for a query.
    async fn do_put_prepared_statement_update(
        &self,
        query: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let caller = self.call(&request)?;
        let (metadata, extensions, messages) = request.into_parts();
        let handle = query.prepared_statement_handle;
        let rows = parameters::read_rows(messages).await.map_err(|f| to_status(&f))?;
        let submitted = self.submit_prepared_with(&caller, &handle, rows).await;
        self.update(&Request::from_parts(metadata, extensions, ()), submitted)
            .await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let caller = self.call(&request)?;
        self.prepare(&caller, &query.query)
            .await
            .map_err(|f| to_status(&f))
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        let caller = self.call(&request)?;
        self.close_prepared(&caller, &query.prepared_statement_handle)
            .map_err(|f| to_status(&f))
    }

    /// Read-only sessions need no transaction: a handle is given so that drivers connect without a warning.
    async fn do_action_begin_transaction(
        &self,
        _query: ActionBeginTransactionRequest,
        request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        self.call(&request)?;
        Ok(ActionBeginTransactionResult {
            transaction_id: "read-only".into(),
        })
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
        let malformed =
            |e| to_status(&Fault::new(Code::InvalidArguments, "the FlightInfo is malformed").with_source(e));
        let info = FlightInfo::decode(query.info.as_ref()).map_err(malformed)?;
        let result = if self.cancel(&caller, &info) {
            CANCEL_RESULT_CANCELLED
        } else {
            CANCEL_RESULT_NOT_CANCELLABLE
        };
        Ok(ActionCancelQueryResult { result })
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        let body = match actions::usage(self, &request).await {
            Some(answered) => answered?,
            None => actions::run(self, &request).map_err(|f| to_status(&f))?,
        };
        let result = arrow_flight::Result { body: body.into() };
        Ok(Response::new(Box::pin(futures::stream::iter([Ok(result)]))))
    }

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}
