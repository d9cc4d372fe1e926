//! [`PreparedStatement`]: plan once, bind parameters, run several times, close.

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, Any, CommandPreparedStatementQuery, DoPutPreparedStatementResult,
    ProstMessageExt,
};
use arrow_flight::{FlightData, FlightDescriptor, IpcMessage};
use bytes::Bytes;
use futures::{TryStreamExt, stream};
use prost::Message;

use crate::client::Client;
use crate::error::ClientError;
use crate::stream::QueryStream;

/// A statement that the server keeps until it is closed. Dropping it without [`close`](Self::close) leaves the server's
/// copy to its time-out.
#[derive(Debug)]
pub struct PreparedStatement {
    client: Client,
    handle: Bytes,
    dataset_schema: SchemaRef,
    parameter_schema: SchemaRef,
}

impl PreparedStatement {
    pub(crate) async fn create(client: Client, sql: &str) -> Result<Self, ClientError> {
        let request = ActionCreatePreparedStatementRequest {
            query: sql.to_owned(),
            transaction_id: None,
        };
        let body = client
            .action("CreatePreparedStatement", request.as_any().encode_to_vec().into())
            .await?;
        let decoding = |error| ClientError::decoding("the prepared statement", error);
        let any =
            Any::decode(body).map_err(|error| ClientError::decoding("the prepared statement", error))?;
        let created: ActionCreatePreparedStatementResult = any
            .unpack()
            .map_err(decoding)?
            .ok_or_else(|| ClientError::protocol("CreatePreparedStatement returned another message"))?;
        Ok(Self {
            client,
            handle: created.prepared_statement_handle,
            dataset_schema: decode_schema(created.dataset_schema)?,
            parameter_schema: decode_schema(created.parameter_schema)?,
        })
    }

    /// Columns of the result; none for a statement without rows.
    pub fn dataset_schema(&self) -> &SchemaRef {
        &self.dataset_schema
    }

    /// Parameters in placeholder order, with the types that the server inferred.
    pub fn parameter_schema(&self) -> &SchemaRef {
        &self.parameter_schema
    }

    /// Binds values for the executions that follow: one column per placeholder, in order.
    ///
    /// # Errors
    /// [`ClientError`]; the earlier binding then still holds, as far as the server is concerned.
    pub async fn bind(&mut self, parameters: &RecordBatch) -> Result<(), ClientError> {
        let descriptor = FlightDescriptor::new_cmd(self.command().as_any().encode_to_vec());
        let messages: Vec<FlightData> = FlightDataEncoderBuilder::new()
            .with_flight_descriptor(Some(descriptor))
            .with_schema(parameters.schema())
            .build(stream::iter([Ok(parameters.clone())]))
            .try_collect()
            .await
            .map_err(|error| self.client.flight_error(error))?;
        let response = self
            .client
            .call(messages, |mut flight, request| async move {
                flight.do_put(request.map(stream::iter)).await
            })
            .await?;
        let results: Vec<_> = response
            .into_inner()
            .try_collect()
            .await
            .map_err(|status| self.client.status(status))?;
        // A stateless server answers with a new handle that contains the values.
        if let Some(result) = results.into_iter().next() {
            let result = DoPutPreparedStatementResult::decode(result.app_metadata)
                .map_err(|error| ClientError::decoding("the answer to bound parameters", error))?;
            self.handle = result
                .prepared_statement_handle
                .unwrap_or_else(|| self.handle.clone());
        }
        Ok(())
    }

    /// Runs the statement with the values bound last; as [`Client::query`] otherwise.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn query(&self) -> Result<QueryStream, ClientError> {
        self.client.execute(self.command().as_any()).await
    }

    /// Frees the statement on the server.
    ///
    /// # Errors
    /// [`ClientError`]; the server's copy then lives until its time-out.
    pub async fn close(self) -> Result<(), ClientError> {
        let request = ActionClosePreparedStatementRequest {
            prepared_statement_handle: self.handle,
        };
        self.client
            .action("ClosePreparedStatement", request.as_any().encode_to_vec().into())
            .await
            .map(drop)
    }

    fn command(&self) -> CommandPreparedStatementQuery {
        CommandPreparedStatementQuery {
            prepared_statement_handle: self.handle.clone(),
        }
    }
}

fn decode_schema(bytes: Bytes) -> Result<SchemaRef, ClientError> {
    if bytes.is_empty() {
        return Ok(Schema::empty().into());
    }
    let schema =
        Schema::try_from(IpcMessage(bytes)).map_err(|error| ClientError::decoding("a schema", error))?;
    Ok(schema.into())
}
