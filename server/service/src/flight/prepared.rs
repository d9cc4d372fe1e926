//! Prepared statements: reusable until closed, owned by their session, planned anew for each execution.

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::sql::ActionCreatePreparedStatementResult;
use arrow_flight::{IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use datafusion::common::ScalarValue;
use owlake_engine::{Prepared, QueryFailure, StatementKind, Submitted};
use owlake_fault::{Code, Fault};

use crate::flight::FlightSql;
use crate::flight::parameters;
use crate::flight::sessions::Caller;

/// A statement and the parameters bound to it last.
#[derive(Debug, Clone)]
pub(crate) struct PreparedEntry {
    pub prepared: Prepared,
    pub rows: Vec<Vec<ScalarValue>>,
}

fn text_handle(handle: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(handle).map_err(|_not_ours| {
        Fault::new(
            Code::HandleNotFound,
            "prepared statement is unknown or has expired",
        )
    })
}

impl FlightSql {
    /// Prepares a statement. Nothing runs.
    pub(crate) async fn prepare(
        &self,
        caller: &Caller,
        sql: &str,
    ) -> Result<ActionCreatePreparedStatementResult, Fault> {
        let prepared = self
            .engine
            .prepare(caller.context(self.engine.now()), sql)
            .await?;
        // A dataset schema without fields tells drivers that this is an update (peers 6.11).
        let dataset_schema = ipc_schema(&prepared.schema)?;
        let parameter_schema = ipc_schema(&parameters::schema(&prepared.parameters))?;
        let entry = PreparedEntry {
            prepared,
            rows: Vec::new(),
        };
        let handle = self.statements.insert(&caller.session, entry)?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle.into(),
            dataset_schema,
            parameter_schema,
        })
    }

    /// Replaces the bound parameters.
    pub(crate) fn bind(
        &self,
        caller: &Caller,
        handle: &[u8],
        rows: Vec<Vec<ScalarValue>>,
    ) -> Result<(), Fault> {
        self.statements
            .with(&caller.session, text_handle(handle)?, |entry| entry.rows = rows)
    }

    /// The statement behind a handle.
    pub(crate) fn prepared(&self, caller: &Caller, handle: &[u8]) -> Result<PreparedEntry, Fault> {
        self.statements
            .with(&caller.session, text_handle(handle)?, |entry| entry.clone())
    }

    /// Forgets a statement; closing twice is no error.
    pub(crate) fn close_prepared(&self, caller: &Caller, handle: &[u8]) -> Result<(), Fault> {
        let _gone_already = self.statements.take(&caller.session, text_handle(handle)?);
        Ok(())
    }

    /// Submits a prepared statement with its bound parameters.
    pub(crate) async fn submit_prepared(
        &self,
        caller: &Caller,
        handle: &[u8],
    ) -> Result<Submitted, QueryFailure> {
        self.submit_prepared_with(caller, handle, Vec::new()).await
    }

    /// Submits a prepared statement with `given` rows of parameters, if there are any, instead of the bound ones.
    pub(crate) async fn submit_prepared_with(
        &self,
        caller: &Caller,
        handle: &[u8],
        given: Vec<Vec<ScalarValue>>,
    ) -> Result<Submitted, QueryFailure> {
        let PreparedEntry {
            prepared,
            rows: bound,
        } = self.prepared(caller, handle)?;
        let mut rows = if given.is_empty() { bound } else { given };
        let values = match rows.len() {
            0 => Vec::new(),
            1 => rows.remove(0),
            n => {
                return Err(Fault::new(
                    Code::InvalidParameterUsage,
                    format!(
                        "{n} rows of parameters are bound, a statement takes one; run it once for each row"
                    ),
                )
                .into());
            }
        };
        self.engine
            .submit_prepared(caller.context(self.engine.now()), &prepared, values)
            .await
    }

    /// The schema a prepared statement announces.
    pub(crate) fn prepared_schema(&self, caller: &Caller, handle: &[u8]) -> Result<SchemaRef, Fault> {
        let entry = self.prepared(caller, handle)?;
        Ok(match entry.prepared.kind {
            StatementKind::Nothing => SchemaRef::new(Schema::empty()),
            _ => entry.prepared.schema,
        })
    }
}

/// An encapsulated IPC schema message.
pub(crate) fn ipc_schema(schema: &Schema) -> Result<Bytes, Fault> {
    let options = IpcWriteOptions::default();
    let IpcMessage(bytes) =
        SchemaAsIpc::new(schema, &options)
            .try_into()
            .map_err(|e: arrow::error::ArrowError| {
                Fault::new(Code::GenericInternalError, "internal error").with_source(e)
            })?;
    Ok(bytes)
}
