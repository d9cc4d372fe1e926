//! Facts about answers: text in, rows or a fault out, through a session set up as the engine sets it up.

use std::sync::{Arc, LazyLock};

use arrow::array::Array;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as DfStatement;
use owlake_fault::{Code, Fault};

use super::{apply, fault_from_datafusion, prepare, session_settings, type_planner};
use crate::functions::{expr_planners, function_set};
use crate::{GuardLimits, Statement, parse, relation_planners};

static CONTEXT: LazyLock<SessionContext> = LazyLock::new(context);

fn context() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(2);
    for (key, value) in session_settings() {
        config.options_mut().set(key, value).unwrap();
    }
    let functions = function_set();
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(Arc::new(RuntimeEnv::default()))
        .with_scalar_functions(functions.scalar)
        .with_aggregate_functions(functions.aggregate)
        .with_window_functions(functions.window)
        .with_expr_planners(expr_planners())
        .with_relation_planners(relation_planners())
        .with_type_planner(type_planner())
        .build();
    SessionContext::new_with_state(state)
}

fn unknown(error: datafusion::error::DataFusionError) -> Fault {
    fault_from_datafusion(&error).unwrap_or_else(|| Fault::new(Code::GenericInternalError, error.to_string()))
}

/// Rows as text; NULL is `NULL`.
fn rows(sql: &str) -> Result<Vec<Vec<String>>, Fault> {
    let sql = sql.to_owned();
    std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(run(&sql))
        })
        .unwrap()
        .join()
        .unwrap()
}

async fn plan(sql: &str) -> Result<LogicalPlan, Fault> {
    let Statement::Query(query) = parse(sql, &GuardLimits::default())? else {
        panic!("not a query: {sql}")
    };
    let mut statement = *query.statement;
    prepare(&mut statement)?;
    let plan = CONTEXT
        .state()
        .statement_to_plan(DfStatement::Statement(Box::new(statement)))
        .await
        .map_err(unknown)?;
    apply(plan)
}

async fn run(sql: &str) -> Result<Vec<Vec<String>>, Fault> {
    let batches = CONTEXT
        .execute_logical_plan(plan(sql).await?)
        .await
        .map_err(unknown)?
        .collect()
        .await
        .map_err(unknown)?;
    let options = FormatOptions::new().with_null("NULL");
    let mut out = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|c| (c, ArrayFormatter::try_new(c, &options).unwrap()))
            .collect();
        for row in 0..batch.num_rows() {
            out.push(
                columns
                    .iter()
                    .map(|(c, f)| {
                        if c.is_null(row) {
                            "NULL".to_owned()
                        } else {
                            f.value(row).to_string()
                        }
                    })
                    .collect(),
            );
        }
    }
    Ok(out)
}

/// The physical plan, as EXPLAIN shows it.
fn physical(sql: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let plan = plan(sql).await.unwrap();
        let physical = CONTEXT.state().create_physical_plan(&plan).await.unwrap();
        displayable(physical.as_ref()).indent(false).to_string()
    })
}

/// The one value of `SELECT expression`.
fn value(expression: &str) -> Result<String, Fault> {
    let rows = rows(&format!("SELECT {expression}"))?;
    assert_eq!(rows.len(), 1, "{expression}");
    Ok(rows[0][0].clone())
}

/// Checks a table of expressions and answers; `!CODE` is a refusal. All misses are reported together.
fn check(table: &[(&str, &str)]) {
    let mut misses = Vec::new();
    for (expression, expected) in table {
        let got = match value(expression) {
            Ok(text) => text,
            Err(fault) => format!("!{}", fault.code()),
        };
        if got != *expected {
            let detail = value(expression).err().map(|f| f.to_string()).unwrap_or_default();
            misses.push(format!(
                "{expression}\n    expected {expected}\n    got      {got} {detail}"
            ));
        }
    }
    assert!(
        misses.is_empty(),
        "{} of {}:\n{}",
        misses.len(),
        table.len(),
        misses.join("\n")
    );
}

mod arithmetic;
mod casts;
mod floats;
mod functions;
mod queries;
mod same_name;
mod texts;
mod times;
mod unnested;
