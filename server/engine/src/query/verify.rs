//! `verify_pushdown`: a query over another database is run once with all of its work done here, then as planned, and
//! the two answers are compared as far as the query determines them.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, ExprSchemable, FetchType, LogicalPlan, TableScan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use owlake_fault::{Code, Fault};

use crate::connector::remote_catalog;
use crate::error::fault_from;
use crate::query::run::{RunningQuery, ended};

/// Aggregates whose results do not depend on the order of rows, unless they are over floats.
const ORDERLESS: [&str; 9] = [
    "count",
    "min",
    "max",
    "sum",
    "avg",
    "count_if",
    "bool_and",
    "bool_or",
    "approx_distinct",
];

/// What of an answer its query determines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Determined {
    /// Its rows, but not their order.
    Rows,
    /// Only how many they are.
    Count,
    /// Nothing: a limit below decides which rows are counted or joined.
    Nothing,
}

/// An answer as rows without order, in little memory.
#[derive(Debug)]
struct Digest {
    hashers: [RandomState; 2],
    rows: u64,
    /// Sums of the rows' hashes.
    sums: [u64; 2],
}

impl Digest {
    /// Comparable with `self`, of no rows.
    fn again(&self) -> Self {
        Self {
            hashers: self.hashers.clone(),
            rows: 0,
            sums: [0; 2],
        }
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        self.rows += batch.num_rows() as u64;
        let fields = batch
            .schema()
            .fields()
            .iter()
            .map(|f| SortField::new(f.data_type().clone()))
            .collect();
        let internal =
            |error| Fault::new(Code::GenericInternalError, "rows cannot be compared").with_source(error);
        let converter = RowConverter::new(fields).map_err(internal)?;
        if batch.num_columns() == 0 {
            return Ok(());
        }
        let rows = converter.convert_columns(batch.columns()).map_err(internal)?;
        for row in &rows {
            for (sum, hasher) in self.sums.iter_mut().zip(&self.hashers) {
                *sum = sum.wrapping_add(hasher.hash_one(row));
            }
        }
        Ok(())
    }
}

/// The answer that was computed here, and the one that is leaving.
#[derive(Debug)]
pub(super) struct Verification {
    determined: Determined,
    here: Digest,
    leaving: Digest,
}

impl Verification {
    /// A batch of the answer leaves.
    pub(super) fn leaves(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        self.leaving.add(batch)
    }

    /// Whether all that left is what was computed here; what to tell then.
    fn outcome(&self) -> Result<String, Fault> {
        let (here, leaving) = (&self.here, &self.leaving);
        let same = match self.determined {
            Determined::Rows => here.rows == leaving.rows && here.sums == leaving.sums,
            Determined::Count => here.rows == leaving.rows,
            Determined::Nothing => true,
        };
        if !same {
            let what = if here.rows == leaving.rows {
                format!("{} rows each, not the same ones", here.rows)
            } else {
                format!("{} rows instead of {}", leaving.rows, here.rows)
            };
            return Err(Fault::new(
                Code::JdbcNonTransientError,
                format!(
                    "verify_pushdown: with the work of other databases the answer is another one: {what}"
                ),
            ));
        }
        Ok(match self.determined {
            Determined::Rows => format!("verify_pushdown: {} rows are the same", here.rows),
            Determined::Count => format!(
                "verify_pushdown: {} rows in both forms; which ones the query leaves open",
                here.rows
            ),
            Determined::Nothing => "verify_pushdown: the query leaves open what its answer is".to_owned(),
        })
    }
}

impl RunningQuery {
    /// Runs the query with all of its work done here, where the session asks for that and the plan has tables of
    /// another database.
    pub(super) async fn run_here(&mut self) -> Result<(), Fault> {
        let wanted = self.context.settings.verify_pushdown;
        let current = self.context.settings.catalog.clone();
        let resolver = Arc::clone(&self.shared.resolver);
        let source = self.open()?.source.as_mut().ok_or_else(ended)?;
        if !wanted || remote_catalog(&source.plan, &resolver, &current).is_none() {
            return Ok(());
        }
        let determined = determined(&source.plan).map_err(fault_from)?;
        let is_remote = |scan: &TableScan| {
            resolver
                .connector(scan.table_name.catalog().unwrap_or(&current))
                .is_some()
        };
        let here_only = plain(source.plan.clone(), is_remote).map_err(fault_from)?;
        let planned = std::mem::replace(&mut source.plan, here_only);
        let state = source.state.clone();
        let optimizer = &mut source.state.config_mut().options_mut().optimizer;
        optimizer.enable_join_dynamic_filter_pushdown = false;
        optimizer.enable_topk_dynamic_filter_pushdown = false;
        let mut here = Digest {
            hashers: [RandomState::new(), RandomState::new()],
            rows: 0,
            sums: [0; 2],
        };
        self.start_attempt().await?;
        loop {
            let before = self.open()?.replanned;
            let next = self.pull().await;
            match next {
                Ok(Some(batch)) => here.add(&batch)?,
                Ok(None) if !self.open()?.proved => self.prove().await?,
                Ok(None) => break,
                Err(fault) => {
                    if !self.may_replan(&fault) && !self.may_narrow() {
                        return Err(fault);
                    }
                    here = here.again();
                    self.replan().await?;
                }
            }
            if before != self.open()?.replanned {
                here = here.again();
            }
        }
        let open = self.open()?;
        let source = open.source.as_mut().ok_or_else(ended)?;
        (source.plan, source.state) = (planned, state);
        (open.attempt, open.held, open.proved, open.replanned) = (None, None, false, false);
        open.ready.clear();
        open.account.scan.restart();
        open.verification = Some(Verification {
            determined,
            leaving: here.again(),
            here,
        });
        Ok(())
    }

    /// At the end of all rows.
    pub(super) fn verified(&mut self) -> Result<(), Fault> {
        let Some(verification) = self.open()?.verification.take() else {
            return Ok(());
        };
        let scan = self.scan()?;
        match verification.outcome() {
            Ok(notice) => {
                scan.notice(notice);
                Ok(())
            }
            Err(fault) => {
                let sent: Vec<String> = scan
                    .notices()
                    .into_iter()
                    .filter(|n| n.starts_with("catalog "))
                    .collect();
                Err(fault.with_hint(format!(
                    "Was data changed meanwhile, or does a view give other rows each time? If not, report these statements: {}",
                    sent.join("; ")
                )))
            }
        }
    }
}

fn determined(plan: &LogicalPlan) -> DfResult<Determined> {
    let (mut limits, mut orderless) = (0, true);
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Limit(limit) => {
                limits += usize::from(
                    !matches!(limit.get_fetch_type()?, FetchType::Literal(None)) || limit.skip.is_some(),
                )
            }
            LogicalPlan::Sort(sort) if sort.fetch.is_some() => limits += 1,
            LogicalPlan::Window(_) => orderless = false,
            LogicalPlan::Aggregate(aggregate) => {
                for expr in &aggregate.aggr_expr {
                    orderless &= is_orderless(expr, aggregate.input.schema())?;
                }
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let top = top_limit(plan);
    Ok(match (limits, top) {
        (0, _) if orderless => Determined::Rows,
        (1, Some(true)) if orderless => Determined::Rows,
        (0, _) | (1, Some(_)) => Determined::Count,
        _ => Determined::Nothing,
    })
}

fn is_orderless(expr: &Expr, schema: &datafusion::common::DFSchema) -> DfResult<bool> {
    let mut orderless = true;
    expr.apply(|part| {
        if let Expr::AggregateFunction(call) = part {
            let name = call.func.name();
            orderless &= ORDERLESS.contains(&name);
            if matches!(name, "sum" | "avg") {
                for argument in &call.params.args {
                    // An average of integers is one of doubles.
                    let data_type = argument.get_type(schema)?;
                    orderless &= !data_type.is_floating() && (name == "sum" || data_type.is_decimal());
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(orderless)
}

/// The limit on top of a plan: whether it takes rows by an order in which none but equal rows are equal.
fn top_limit(plan: &LogicalPlan) -> Option<bool> {
    let total = |plan: &LogicalPlan| match plan {
        LogicalPlan::Sort(sort) => {
            let columns = sort.input.schema().columns();
            columns.iter().all(|column| {
                sort.expr
                    .iter()
                    .any(|key| matches!(&key.expr, Expr::Column(found) if found == column))
            })
        }
        _ => false,
    };
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
            plan.inputs().first().and_then(|p| top_limit(p))
        }
        LogicalPlan::Limit(limit) => Some(total(&limit.input)),
        LogicalPlan::Sort(sort) if sort.fetch.is_some() => Some(total(plan)),
        _ => None,
    }
}

/// The plan with remote tables that do nothing but give their rows.
fn plain(plan: LogicalPlan, is_remote: impl Fn(&TableScan) -> bool) -> DfResult<LogicalPlan> {
    let plain = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else {
            return Ok(Transformed::no(node));
        };
        if !is_remote(&scan) {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        }
        let provider = source_as_provider(&scan.source)?;
        let source = provider_as_source(Arc::new(Plain(provider)));
        Ok(Transformed::yes(LogicalPlan::TableScan(TableScan {
            source,
            ..scan
        })))
    })?;
    Ok(plain.data)
}

/// A table that takes over neither conditions nor limits.
#[derive(Debug)]
struct Plain(Arc<dyn TableProvider>);

#[async_trait]
impl TableProvider for Plain {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        self.0.table_type()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        self.0.scan(state, projection, &[], None).await
    }
}
