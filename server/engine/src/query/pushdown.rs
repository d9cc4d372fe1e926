//! Parts of an optimized plan that another database computes: the largest ones that its connector takes over.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection};

use super::join_groups::{self, Remotes};
use crate::connector::remote_catalog;
use crate::logical_rules::rules_without_fields_first;
use crate::resolve::Resolver;

/// Name of the tables that stand for parts of a plan.
const REMOTE: &str = "remote";

/// Which of the engine's rules a plan is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    All,
    /// Without those that compute fields of rows early and lose names in some plans.
    WithoutFieldsFirst,
}

/// The optimized plan, with what other databases compute as tables of theirs.
///
/// After all of DataFusion's own rules: what these have pushed into a part goes with it, and what is opaque to them is
/// not in their way.
pub(crate) fn optimize(
    state: &SessionState,
    plan: &LogicalPlan,
    resolver: &Resolver,
    current: &str,
    rules: Rules,
) -> Result<LogicalPlan> {
    let optimized = match rules {
        Rules::All => state.optimize(plan)?,
        Rules::WithoutFieldsFirst => {
            let builder = SessionStateBuilder::new_from_existing(state.clone());
            let state = builder.with_optimizer_rules(rules_without_fields_first()).build();
            state.optimize(plan)?
        }
    };
    if remote_catalog(plan, resolver, current).is_none() {
        return Ok(optimized);
    }
    let databases = Databases { resolver, current };
    let optimized = join_groups::grouped(optimized, &databases)?;
    let mut parts = Parts {
        resolver,
        nodes: databases.surveyed(&optimized)?,
        next: 0,
    };
    let folded = optimized.transform_down_with_subqueries(|node| parts.replaced(node))?;
    Ok(folded.data)
}

/// Whether a rule failed because it lost the name of a column. The names of the statement were resolved before.
pub(crate) fn loses_names(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::SchemaError(..))
}

struct Databases<'a> {
    resolver: &'a Resolver,
    current: &'a str,
}

/// Of which catalogs the tables of a plan are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tables {
    None,
    Of(String),
    Several,
}

impl Tables {
    fn and(&mut self, other: &Self) {
        if *self == Self::None {
            self.clone_from(other);
        } else if *other != Self::None && self != other {
            *self = Self::Several;
        }
    }
}

/// A node of a plan, in the order of a walk from above: subqueries of a node, then its inputs.
struct Node {
    tables: Tables,
    /// It, and all below it.
    nodes: usize,
}

impl Databases<'_> {
    /// All nodes, each looked at once.
    fn surveyed(&self, plan: &LogicalPlan) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        self.survey(plan, &mut nodes)?;
        Ok(nodes)
    }

    fn survey(&self, plan: &LogicalPlan, nodes: &mut Vec<Node>) -> Result<Tables> {
        let at = nodes.len();
        let mut tables = match plan {
            LogicalPlan::TableScan(scan) => {
                Tables::Of(scan.table_name.catalog().unwrap_or(self.current).to_owned())
            }
            _ => Tables::None,
        };
        nodes.push(Node {
            tables: Tables::None,
            nodes: 0,
        });
        plan.apply_subqueries(|below| {
            tables.and(&self.survey(below, nodes)?);
            Ok(TreeNodeRecursion::Continue)
        })?;
        for below in plan.inputs() {
            tables.and(&self.survey(below, nodes)?);
        }
        nodes[at] = Node {
            tables: tables.clone(),
            nodes: nodes.len() - at,
        };
        Ok(tables)
    }
}

impl Remotes for Databases<'_> {
    fn catalog(&self, plan: &LogicalPlan) -> Option<String> {
        match self.survey(plan, &mut Vec::new()) {
            Ok(Tables::Of(name)) if self.resolver.connector(&name).is_some() => Some(name),
            _ => None,
        }
    }

    fn computes(&self, catalog: &str, plan: &LogicalPlan) -> bool {
        let connector = self.resolver.connector(catalog);
        connector.is_some_and(|connector| connector.compute(plan).is_some())
    }
}

struct Parts<'a> {
    resolver: &'a Resolver,
    /// Those of the plan, and how many of them have been passed.
    nodes: Vec<Node>,
    next: usize,
}

impl Parts<'_> {
    fn replaced(&mut self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let at = self.next;
        self.next += 1;
        let only = match self.nodes.get(at).map(|node| &node.tables) {
            Some(Tables::Of(name)) => self.resolver.connector(name),
            _ => None,
        };
        let Some(connector) = only.filter(|_| !matches!(node, LogicalPlan::TableScan(_))) else {
            return Ok(Transformed::no(node));
        };
        let sort = match &node {
            // Its order is for what stands above it, and no node below this one keeps it.
            LogicalPlan::Sort(sort) if sort.fetch.is_some() => Some(sort.clone()),
            other if is_ordered(other) => return Ok(Transformed::no(node)),
            _ => None,
        };
        let Some(table) = connector.compute(&node) else {
            return Ok(Transformed::no(node));
        };
        self.next = at + self.nodes[at].nodes;
        let mut part = scan(&node, table)?;
        if let Some(mut sort) = sort {
            // The first rows come from there; that they come in order is seen to here.
            sort.input = Arc::new(part);
            part = LogicalPlan::Sort(sort);
        }
        Ok(Transformed::new(part, true, TreeNodeRecursion::Jump))
    }
}

/// Whether the rows of a plan come in an order that somebody asked for.
fn is_ordered(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Filter(_) => plan.inputs().iter().all(|input| is_ordered(input)),
        _ => false,
    }
}

/// A scan of `table` with the names that the columns of `part` have.
fn scan(part: &LogicalPlan, table: Arc<dyn TableProvider>) -> Result<LogicalPlan> {
    let scan = LogicalPlanBuilder::scan(REMOTE, provider_as_source(table), None)?.build()?;
    let columns = scan.schema().columns();
    let named = columns
        .into_iter()
        .zip(part.schema().iter())
        .map(|(column, (qualifier, field))| {
            Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
        });
    let exprs = named.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(
        exprs,
        Arc::new(scan),
    )?))
}
