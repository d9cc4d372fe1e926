//! The walk over a logical plan: every expression of every node, subqueries included, then the node's own rules.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, Projection, Subquery, Union, Values};
use owlake_fault::{Code, Fault};

use super::cast::implicit;
use super::compare::{require_common, to_type};
use super::error::{fault, type_mismatch};
use super::expression::rewrite;
use super::faults::fault_from_datafusion;
use super::ty::{Ty, WRITTEN};
use super::{float_keys, float_order, set_operations};

/// Gives a plan Trino's meaning, or refuses it.
///
/// Takes the plan of `statement_to_plan`, before any analyzer or optimizer rule; running it twice is not allowed.
///
/// # Errors
/// `TYPE_MISMATCH`, `NOT_SUPPORTED` and the other codes of semantic errors.
pub fn apply(plan: LogicalPlan) -> Result<LogicalPlan, Fault> {
    with_scopes(plan, &mut Vec::new())
        .map_err(|error| fault_from_datafusion(&error).unwrap_or_else(|| internal(error)))
}

/// Stack that must be left before one more level of the plan, and how much is added when it is not.
const STACK_RED_ZONE_BYTES: usize = 256 << 10;
const STACK_STEP_BYTES: usize = 4 << 20;

fn internal(error: datafusion::error::DataFusionError) -> Fault {
    Fault::new(Code::GenericInternalError, "The query could not be analyzed").with_source(error)
}

/// The node after its inputs. `scopes` has the schemas of the relations around it, the nearest last: a subquery is
/// rewritten after the relation that it refers to, so that outer columns have the types which they got there.
fn with_scopes(plan: LogicalPlan, scopes: &mut Vec<DFSchemaRef>) -> Result<LogicalPlan> {
    stacker::maybe_grow(STACK_RED_ZONE_BYTES, STACK_STEP_BYTES, || {
        let plan = match plan {
            LogicalPlan::Join(mut join) => {
                let left = with_scopes(Arc::unwrap_or_clone(join.left), scopes)?;
                // The right side refers to the left one where it is LATERAL.
                scopes.push(Arc::clone(left.schema()));
                let right = with_scopes(Arc::unwrap_or_clone(join.right), scopes);
                scopes.pop();
                join.left = Arc::new(left);
                join.right = Arc::new(right?);
                LogicalPlan::Join(join)
            }
            other => {
                let done = other.map_children(|child| with_scopes(child, scopes).map(Transformed::yes))?;
                done.data
            }
        };
        match plan {
            LogicalPlan::Subquery(mut lateral) => {
                lateral.outer_ref_columns = lateral.subquery.all_out_ref_exprs();
                Ok(LogicalPlan::Subquery(lateral))
            }
            other => node_semantics(other, scopes),
        }
    })
}

fn node_semantics(node: LogicalPlan, scopes: &mut Vec<DFSchemaRef>) -> Result<LogicalPlan> {
    match node {
        // Bounds of LIMIT are DataFusion's own literals; leaves have no expressions of the query.
        LogicalPlan::Limit(_) | LogicalPlan::TableScan(_) | LogicalPlan::EmptyRelation(_) => {
            node.recompute_schema()
        }
        LogicalPlan::Values(values) => values_semantics(values, scopes),
        LogicalPlan::Union(union) => union_semantics(union),
        LogicalPlan::Join(join) if set_operations::is_set_operation(&join) => set_operations::plan(join),
        other => {
            let schema = Arc::new(merge_schema(&other.inputs()));
            let names = NamePreserver::new(&other);
            let rewritten = other
                .map_expressions(|expr| {
                    let name = names.save(&expr);
                    let expr = with_subqueries(expr, &schema, scopes)?;
                    Ok(Transformed::yes(name.restore(rewrite(expr, &schema)?)))
                })?
                .data;
            check_node(&rewritten, &schema)?;
            float_order::add(float_keys::add(rewritten)?, &schema)?.recompute_schema()
        }
    }
}

/// Rewrites the subqueries of an expression over `schema`, and gives outer columns the types of their relations.
fn with_subqueries(expr: Expr, schema: &DFSchemaRef, scopes: &mut Vec<DFSchemaRef>) -> Result<Expr> {
    let done = expr.transform_down(|part| {
        let mut inner = |mut subquery: Subquery| -> Result<Subquery> {
            scopes.push(Arc::clone(schema));
            let plan = with_scopes(Arc::unwrap_or_clone(subquery.subquery), scopes);
            scopes.pop();
            subquery.subquery = Arc::new(plan?);
            subquery.outer_ref_columns = subquery.subquery.all_out_ref_exprs();
            Ok(subquery)
        };
        Ok(match part {
            Expr::ScalarSubquery(subquery) => Transformed::yes(Expr::ScalarSubquery(inner(subquery)?)),
            Expr::Exists(mut exists) => {
                exists.subquery = inner(exists.subquery)?;
                Transformed::yes(Expr::Exists(exists))
            }
            Expr::InSubquery(mut query) => {
                query.subquery = inner(query.subquery)?;
                Transformed::yes(Expr::InSubquery(query))
            }
            Expr::SetComparison(mut query) => {
                query.subquery = inner(query.subquery)?;
                Transformed::yes(Expr::SetComparison(query))
            }
            Expr::OuterReferenceColumn(field, column) => {
                let scope = scopes.iter().rev().find(|scope| scope.has_column(&column));
                let field = match scope {
                    Some(scope) => Arc::clone(scope.qualified_field_from_column(&column)?.1),
                    None => field,
                };
                Transformed::yes(Expr::OuterReferenceColumn(field, column))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(done.data)
}

fn check_node(node: &LogicalPlan, schema: &DFSchema) -> Result<()> {
    match node {
        LogicalPlan::Filter(filter) => {
            refuse_windows(&filter.predicate, "WHERE or HAVING clause")?;
            require_boolean(&filter.predicate, schema, "WHERE or HAVING clause")
        }
        LogicalPlan::Aggregate(aggregate) => aggregate
            .group_expr
            .iter()
            .try_for_each(|key| refuse_windows(key, "GROUP BY clause")),
        LogicalPlan::Join(join) => {
            for (left, right) in &join.on {
                require_common(left, right, schema, "=")?;
            }
            join.filter
                .as_ref()
                .map_or(Ok(()), |on| require_boolean(on, schema, "JOIN ON clause"))
        }
        _ => Ok(()),
    }
}

fn refuse_windows(expr: &Expr, place: &str) -> Result<()> {
    if expr.exists(|part| Ok(matches!(part, Expr::WindowFunction(_))))? {
        let why = format!("{place} cannot contain window functions");
        return Err(fault(
            Fault::new(Code::SyntaxError, why).with_hint("Compute them in a query in FROM."),
        ));
    }
    Ok(())
}

fn require_boolean(expr: &Expr, schema: &DFSchema, place: &str) -> Result<()> {
    match Ty::of_type(&expr.get_type(schema)?) {
        Ty::Boolean | Ty::Unknown => Ok(()),
        other => Err(type_mismatch(format!(
            "{place} must evaluate to a boolean: actual type {other}"
        ))),
    }
}

/// Rows of VALUES: literals get Trino's types, columns the common one.
fn values_semantics(values: Values, scopes: &mut Vec<DFSchemaRef>) -> Result<LogicalPlan> {
    let empty = Arc::new(DFSchema::empty());
    let mut types: Vec<Option<arrow::datatypes::DataType>> = vec![None; values.schema.fields().len()];
    let mut rows = Vec::with_capacity(values.values.len());
    for row in values.values {
        let row = row
            .into_iter()
            // The planner has put casts to its own idea of a common type around the values.
            .map(|expr| rewrite(with_subqueries(strip_planner_cast(expr), &empty, scopes)?, &empty))
            .collect::<Result<Vec<_>>>()?;
        for (slot, expr) in types.iter_mut().zip(&row) {
            let found = expr.get_type(empty.as_ref())?;
            *slot = Some(match slot.take() {
                None => found,
                Some(sofar) => super::ty::common_type(&sofar, &found).ok_or_else(|| {
                    let (a, b) = (Ty::of_type(&sofar), Ty::of_type(&found));
                    type_mismatch(format!("Values rows have mismatched types: {a} vs {b}"))
                })?,
            });
        }
        rows.push(row);
    }
    let fields: Vec<_> = values
        .schema
        .iter()
        .zip(&types)
        .map(|((qualifier, field), found)| {
            let data_type = found.clone().unwrap_or_else(|| field.data_type().clone());
            (
                qualifier.cloned(),
                Arc::new(
                    field
                        .as_ref()
                        .clone()
                        .with_data_type(data_type)
                        .with_nullable(true),
                ),
            )
        })
        .collect();
    for row in &mut rows {
        for (expr, found) in row.iter_mut().zip(&types) {
            if let Some(to) = found {
                *expr = to_type(std::mem::take(expr), to, &empty)?;
            }
        }
    }
    let schema: DFSchemaRef = Arc::new(DFSchema::new_with_metadata(
        fields,
        values.schema.metadata().clone(),
    )?);
    Ok(LogicalPlan::Values(Values { schema, values: rows }))
}

fn strip_planner_cast(expr: Expr) -> Expr {
    match expr {
        Expr::Cast(Cast { expr: inner, field }) if !field.name().starts_with(WRITTEN) => *inner,
        other => other,
    }
}

/// Branches of a set operation: columns must have a common type, and take it.
fn union_semantics(union: Union) -> Result<LogicalPlan> {
    let Some(first) = union.inputs.first() else {
        return Ok(LogicalPlan::Union(union));
    };
    let mut types: Vec<_> = first
        .schema()
        .fields()
        .iter()
        .map(|f| f.data_type().clone())
        .collect();
    for input in &union.inputs[1..] {
        if input.schema().fields().len() != types.len() {
            return Err(type_mismatch(format!(
                "UNION query has different number of fields: {}, {}",
                types.len(),
                input.schema().fields().len()
            )));
        }
        for (i, (slot, field)) in types.iter_mut().zip(input.schema().fields()).enumerate() {
            *slot = super::ty::common_type(slot, field.data_type()).ok_or_else(|| {
                type_mismatch(format!(
                    "column {} in UNION query has incompatible types: {}, {}",
                    i + 1,
                    Ty::of_type(slot),
                    Ty::of_field(field)
                ))
            })?;
        }
    }
    let inputs = union
        .inputs
        .iter()
        .map(|input| cast_columns(Arc::clone(input), &types))
        .collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?))
}

pub(super) fn cast_columns(
    input: Arc<LogicalPlan>,
    types: &[arrow::datatypes::DataType],
) -> Result<Arc<LogicalPlan>> {
    let schema = Arc::clone(input.schema());
    if schema.fields().iter().zip(types).all(|(f, t)| f.data_type() == t) {
        return Ok(input);
    }
    let exprs = schema
        .iter()
        .zip(types)
        .map(|((qualifier, field), to)| {
            let column = Expr::from((qualifier, field));
            if field.data_type() == to {
                column
            } else {
                implicit(column, field, to).alias_qualified(qualifier.cloned(), field.name())
            }
        })
        .collect();
    Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(
        exprs, input,
    )?)))
}
