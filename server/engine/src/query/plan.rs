//! From text to a plan: guard, parse, resolve, rewrite, on planning threads under a deadline. No object is touched,
//! except for commands that read a footer.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as DfStatement;
use owlake_dialect::{Command, ExplainFormat, ExplainKind, Query, Statement, StatementClass};
use owlake_fault::{Code, Fault};
use owlake_metering::StatementType;
use tokio::time::Instant;

use crate::commands::result_schema;
use crate::context::QueryContext;
use crate::engine::Shared;
use crate::error::fault_from;
use crate::query::estimate::estimate_schema;
use crate::query::{QueryAccount, QueryFailure};
use crate::runtime::caught;
use crate::wire::wire_schema;

/// What a statement gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementKind {
    /// A result set that is computed when its rows are asked for.
    Query,
    /// A result set of a statement that is cheap and runs at once (SHOW, DESCRIBE).
    Rows,
    /// No result set; runs at once (DDL, SET, USE).
    Nothing,
}

/// A parsed statement with what drivers want to know before it runs. Executed any number of times, planned
/// anew each time, so that it never works on a table definition that has gone.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(crate) sql: String,
    pub(crate) statement: Statement,
    /// Schema of the result; no fields for statements without one.
    pub schema: SchemaRef,
    /// Inferred types of the placeholders, in order; `Null` where nothing is known.
    pub parameters: Vec<DataType>,
    /// What it gives back.
    pub kind: StatementKind,
}

/// A query that has its plan and its ledger row, and waits to be run.
#[derive(Debug)]
pub struct Submitted {
    pub(crate) shared: Arc<Shared>,
    pub(crate) context: Arc<QueryContext>,
    pub(crate) account: QueryAccount,
    pub(crate) work: Work,
    pub(crate) schema: SchemaRef,
    pub(crate) deadline: Instant,
    pub(crate) kind: StatementKind,
}

/// What is left to do.
#[derive(Debug)]
pub(crate) enum Work {
    Plan {
        plan: LogicalPlan,
        state: Box<SessionState>,
    },
    Explain {
        plan: LogicalPlan,
        state: Box<SessionState>,
        analyze: bool,
        kind: ExplainKind,
        format: Option<ExplainFormat>,
    },
    Command(Box<Command>),
    /// A statement that reads nothing, answered by its estimate.
    Unread,
}

impl Submitted {
    /// Schema of the result, as the stream will have it; no fields for statements without one.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What it gives back.
    pub fn kind(&self) -> StatementKind {
        self.kind
    }

    /// The query id.
    pub fn query_id(&self) -> &str {
        &self.context.id
    }

    /// Cancels the query wherever it is, when cancelled.
    pub fn cancel_token(&self) -> tokio_util::sync::CancellationToken {
        self.context.cancel.clone()
    }
}

pub(crate) fn class(statement: &Statement) -> StatementType {
    match statement {
        // It runs its query, and is charged for it.
        Statement::Explain { analyze: true, .. } => StatementType::Dml,
        other => match other.class() {
            StatementClass::Ddl => StatementType::Ddl,
            StatementClass::Dml => StatementType::Dml,
            StatementClass::Utility => StatementType::Utility,
        },
    }
}

/// The statement that is answered in place of `statement` where nothing is to be run: queries become their
/// estimates. Statements of the session alone stay as they are.
fn dry(statement: Statement) -> Statement {
    match statement {
        Statement::Query(query)
        | Statement::Explain {
            analyze: true, query, ..
        } => Statement::Explain {
            analyze: false,
            kind: ExplainKind::Cost,
            format: None,
            query,
        },
        other => other,
    }
}

/// Whether a dry run answers the statement with the estimate of nothing.
fn unread(statement: &Statement, dry_run: bool) -> bool {
    let session = matches!(
        statement,
        Statement::Command(Command::Use { .. } | Command::SetSession { .. } | Command::ResetSession { .. })
    );
    dry_run && !session && matches!(statement, Statement::Command(_))
}

/// The result of an EXPLAIN that is not run.
fn explained_schema(kind: ExplainKind, format: Option<ExplainFormat>) -> Result<SchemaRef, Fault> {
    match kind {
        ExplainKind::Validate => Ok(validate_schema()),
        ExplainKind::Cost if format != Some(ExplainFormat::Json) => estimate_schema(),
        _ => Ok(explain_schema()),
    }
}

fn kind(statement: &Statement) -> StatementKind {
    match statement {
        Statement::Query(_) | Statement::Explain { .. } => StatementKind::Query,
        Statement::Command(command) if result_schema(command).is_some() => StatementKind::Rows,
        Statement::Command(_) => StatementKind::Nothing,
    }
}

fn explain_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("Query Plan", DataType::Utf8, true)]))
}

fn validate_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("Valid", DataType::Boolean, true)]))
}

impl Shared {
    /// Parses on a planning thread under the planning deadline.
    async fn parse(self: &Arc<Self>, sql: &str) -> Result<Statement, Fault> {
        let (guard, text) = (self.config.guard, sql.to_owned());
        self.within_planning_time(async move { owlake_dialect::parse(&text, &guard).map_err(Fault::from) })
            .await
    }

    /// Runs `work` on a planning thread; a plan that takes too long is left behind there.
    async fn within_planning_time<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        let limit = self.config.planning_timeout;
        match tokio::time::timeout(limit, self.runtimes.plan(caught(work))).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Fault::new(
                Code::ExceededTimeLimit,
                format!("planning took longer than {} s", limit.as_secs_f64()),
            )
            .with_hint("Simplify the statement.")),
        }
    }

    /// Parses and plans a statement for repeated execution.
    pub(crate) async fn prepare(
        self: &Arc<Self>,
        context: QueryContext,
        sql: &str,
    ) -> Result<Prepared, Fault> {
        let mut statement = self.parse(sql).await?;
        if context.dry_run {
            statement = dry(statement);
        }
        let context = Arc::new(context);
        let unread = unread(&statement, context.dry_run);
        let (schema, parameters) = match &statement {
            Statement::Query(query) | Statement::Explain { query, .. } => {
                let (plan, state) = self.bind(&context, None, query.clone(), None).await?;
                let parameters = parameter_types(&plan, query.parameters)?;
                let schema = match &statement {
                    Statement::Explain { kind, format, .. } => explained_schema(*kind, *format)?,
                    _ => analyzed_schema(&plan, &state)?,
                };
                (schema, parameters)
            }
            Statement::Command(_) if unread => (estimate_schema()?, Vec::new()),
            Statement::Command(command) => (
                result_schema(command).unwrap_or_else(|| Arc::new(Schema::empty())),
                Vec::new(),
            ),
        };
        let kind = if unread {
            StatementKind::Query
        } else {
            kind(&statement)
        };
        Ok(Prepared {
            sql: sql.to_owned(),
            statement,
            schema,
            parameters,
            kind,
        })
    }

    /// Opens the account of a query and plans it. A failure is recorded too, with its receipt.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        context: QueryContext,
        sql: &str,
        prepared: Option<Prepared>,
        parameters: Option<Vec<ScalarValue>>,
    ) -> Result<Submitted, QueryFailure> {
        let context = Arc::new(context);
        let query_id = context.id.clone();
        let failed = |fault: Fault, receipt| QueryFailure {
            fault,
            receipt,
            query_id: Some(query_id.clone()),
        };
        let mut account = self
            .open_account(&context, sql)
            .await
            .map_err(|fault| failed(fault, None))?;
        let begun = Instant::now();
        let planned = self.plan(&context, &mut account, sql, prepared, parameters).await;
        account.add_planning(begun.elapsed());
        match planned {
            Ok((work, schema, kind)) => {
                let deadline = Instant::now() + self.time_limit(&context);
                Ok(Submitted {
                    shared: Arc::clone(self),
                    context,
                    account,
                    work,
                    schema,
                    deadline,
                    kind,
                })
            }
            Err(fault) => {
                let receipt = account.finish(Some(&fault)).await.map(Box::new);
                Err(failed(fault, receipt))
            }
        }
    }

    fn time_limit(&self, context: &QueryContext) -> Duration {
        [context.settings.query_timeout, context.client_timeout]
            .into_iter()
            .flatten()
            .fold(self.config.query_timeout, Duration::min)
    }

    async fn plan(
        self: &Arc<Self>,
        context: &Arc<QueryContext>,
        account: &mut QueryAccount,
        sql: &str,
        prepared: Option<Prepared>,
        parameters: Option<Vec<ScalarValue>>,
    ) -> Result<(Work, SchemaRef, StatementKind), Fault> {
        let mut statement = match prepared {
            Some(prepared) => prepared.statement,
            None => self.parse(sql).await?,
        };
        if context.dry_run {
            statement = dry(statement);
        }
        let hash = match &statement {
            Statement::Query(query) | Statement::Explain { query, .. } => Some(query.query_hash.clone()),
            Statement::Command(_) => None,
        };
        account.statement(class(&statement), hash);
        let kind = kind(&statement);
        let unread = unread(&statement, context.dry_run);
        let given = parameters.as_ref().map_or(0, Vec::len);
        if given != statement.parameters() {
            return Err(Fault::new(
                Code::InvalidParameterUsage,
                format!(
                    "the statement has {} parameters, {given} values were given",
                    statement.parameters()
                ),
            ));
        }
        match statement {
            Statement::Query(query) => {
                let (plan, state) = self.bind(context, Some(account), query, parameters).await?;
                let schema = analyzed_schema(&plan, &state)?;
                Ok((Work::Plan { plan, state }, schema, kind))
            }
            Statement::Explain {
                analyze,
                kind: what,
                format,
                query,
            } => {
                let json = format == Some(ExplainFormat::Json) && what == ExplainKind::Cost;
                if matches!(what, ExplainKind::Io | ExplainKind::Partitions)
                    || (!json && matches!(format, Some(ExplainFormat::Json | ExplainFormat::Graphviz)))
                {
                    return Err(
                        Fault::new(Code::NotSupported, "this form of EXPLAIN is not supported yet")
                            .with_hint("EXPLAIN and EXPLAIN ANALYZE print the plan as text."),
                    );
                }
                let (plan, state) = self.bind(context, Some(account), query, parameters).await?;
                let schema = explained_schema(what, format)?;
                Ok((
                    Work::Explain {
                        plan,
                        state,
                        analyze,
                        kind: what,
                        format,
                    },
                    schema,
                    kind,
                ))
            }
            Statement::Command(_) if unread => Ok((Work::Unread, estimate_schema()?, StatementKind::Query)),
            Statement::Command(command) => {
                let schema = result_schema(&command).unwrap_or_else(|| Arc::new(Schema::empty()));
                Ok((Work::Command(Box::new(command)), schema, kind))
            }
        }
    }

    /// Resolves names and builds the logical plan with Athena's semantics; parameters are cast to the types
    /// that their places ask for.
    async fn bind(
        self: &Arc<Self>,
        context: &Arc<QueryContext>,
        account: Option<&QueryAccount>,
        query: Query,
        parameters: Option<Vec<ScalarValue>>,
    ) -> Result<(LogicalPlan, Box<SessionState>), Fault> {
        let state = Box::new(self.session_state(context, account, query.hidden_columns));
        self.within_planning_time(async move {
            let mut tree = query.statement;
            owlake_dialect::semantics::prepare(&mut tree)?;
            let statement = DfStatement::Statement(tree);
            let mut plan = state.statement_to_plan(statement).await.map_err(fault_from)?;
            if let Some(values) = parameters {
                let types = parameter_types(&plan, values.len())?;
                let values = cast_parameters(values, &types)?;
                plan = plan.with_param_values(values).map_err(fault_from)?;
            }
            let plan = owlake_dialect::semantics::apply(plan)?;
            let plan = owlake_dialect::decorrelate(plan)?;
            Ok((plan, state))
        })
        .await
    }
}

/// The wire schema of the plan once operand types are settled.
fn analyzed_schema(plan: &LogicalPlan, state: &SessionState) -> Result<SchemaRef, Fault> {
    let analyzed = state
        .analyzer()
        .execute_and_check(plan.clone(), state.config_options(), |_, _| {})
        .map_err(fault_from)?;
    Ok(wire_schema(analyzed.schema().as_arrow()))
}

fn parameter_types(plan: &LogicalPlan, count: usize) -> Result<Vec<DataType>, Fault> {
    let inferred = plan.get_parameter_types().map_err(fault_from)?;
    Ok((1..=count)
        .map(|i| {
            inferred
                .get(&format!("${i}"))
                .cloned()
                .flatten()
                .unwrap_or(DataType::Null)
        })
        .collect())
}

/// 7.5 for a bigint would silently ask another question. A double for a real is rounded, as Athena does.
fn loses_digits(value: &ScalarValue, cast: &ScalarValue) -> bool {
    let (from, to) = (value.data_type(), cast.data_type());
    from.is_numeric()
        && to.is_numeric()
        && !(from.is_floating() && to.is_floating())
        && cast.cast_to(&from).map_or(true, |back| back != *value)
}

fn cast_parameters(values: Vec<ScalarValue>, types: &[DataType]) -> Result<Vec<ScalarValue>, Fault> {
    values
        .into_iter()
        .zip(types)
        .enumerate()
        .map(|(i, (value, wanted))| {
            if *wanted == DataType::Null || value.data_type() == *wanted {
                return Ok(value);
            }
            if value.is_null() {
                return ScalarValue::try_new_null(wanted).map_err(fault_from);
            }
            let refused = || {
                Fault::new(
                    Code::TypeMismatch,
                    format!(
                        "parameter {} has type {}, its place asks for {wanted}",
                        i + 1,
                        value.data_type()
                    ),
                )
            };
            // A number that would lose digits, or text that is no number, is the caller's mistake.
            let cast = value.cast_to(wanted).map_err(|e| refused().with_source(e))?;
            if cast.is_null() || loses_digits(&value, &cast) {
                return Err(refused());
            }
            Ok(cast)
        })
        .collect()
}
