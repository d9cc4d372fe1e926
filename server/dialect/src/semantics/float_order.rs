//! Where values of `real` and `double` are sorted, grouped or told apart: NaN is one value, the largest, whatever its
//! bits, and -0.0 is as good as 0.0.
//!
//! Arrow tells NaNs apart by their bits, sorts those with a sign first, and tells the zeros apart.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, NullEquality};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{GroupingSet, Sort, WindowFunction};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Distinct, Expr, Join, JoinConstraint, LogicalPlan, Operator, Projection};

use super::compare::{field_of, to_type};
use super::ty::common_type;
use crate::functions::internal::float_comparison::{call, normal, ordered};

/// Gives the keys of a node over floats their order and equality. `schema` is that of its inputs.
pub(super) fn add(node: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    Ok(match node {
        LogicalPlan::Sort(mut sort) => {
            sort_keys(&mut sort.expr, schema)?;
            LogicalPlan::Sort(sort)
        }
        LogicalPlan::Aggregate(mut aggregate) => {
            for key in &mut aggregate.group_expr {
                group_key(key, schema)?;
            }
            LogicalPlan::Aggregate(aggregate)
        }
        LogicalPlan::Join(join) => LogicalPlan::Join(join_keys(join, schema)?),
        LogicalPlan::Distinct(Distinct::All(input)) => LogicalPlan::Distinct(Distinct::All(columns(input)?)),
        other => other,
    })
}

/// The keys of USING and of set operations, which the planner makes joins of. NaN equals itself in the latter only.
fn join_keys(mut join: Join, schema: &DFSchema) -> Result<Join> {
    for (left, right) in &mut join.on {
        if !is_float(left, schema)? && !is_float(right, schema)? {
            continue;
        }
        let types = (field_of(left, schema)?, field_of(right, schema)?);
        let Some(common) = common_type(types.0.data_type(), types.1.data_type()) else {
            continue;
        };
        let l = to_type(std::mem::take(left), &common, schema)?;
        let r = to_type(std::mem::take(right), &common, schema)?;
        if join.null_equality == NullEquality::NullEqualsNothing {
            let equal = call(Operator::Eq, l.clone(), r.clone());
            join.filter = conjunction(join.filter.take().into_iter().chain([equal]));
        }
        (*left, *right) = (normal(l), normal(r));
        // The keys are no longer the columns that USING names.
        join.join_constraint = JoinConstraint::On;
    }
    Ok(join)
}

/// The keys of a window function: equal rows are peers.
pub(super) fn window_keys(call: &mut WindowFunction, schema: &DFSchema) -> Result<()> {
    for key in &mut call.params.partition_by {
        replace(key, schema, normal)?;
    }
    for key in &mut call.params.order_by {
        replace(&mut key.expr, schema, normal)?;
    }
    Ok(())
}

/// The keys of ORDER BY.
pub(super) fn sort_keys(keys: &mut [Sort], schema: &DFSchema) -> Result<()> {
    keys.iter_mut()
        .try_for_each(|key| replace(&mut key.expr, schema, ordered))
}

/// Arguments that an aggregate tells apart.
pub(super) fn distinct_arguments(
    name: &str,
    distinct: bool,
    args: &mut [Expr],
    schema: &DFSchema,
) -> Result<()> {
    let keys = match name {
        // These tell nothing apart.
        "min" | "max" => 0,
        _ if distinct => args.len(),
        "histogram" | "map_agg" => 1,
        _ => 0,
    };
    args.iter_mut()
        .take(keys)
        .try_for_each(|arg| replace(arg, schema, normal))
}

fn is_float(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    let field = field_of(expr, schema)?;
    Ok(matches!(field.data_type(), DataType::Float32 | DataType::Float64))
}

fn replace(expr: &mut Expr, schema: &DFSchema, with: fn(Expr) -> Expr) -> Result<()> {
    if is_float(expr, schema)? {
        *expr = with(std::mem::take(expr));
    }
    Ok(())
}

/// A key keeps its name: what stands above the aggregate looks for it.
fn group_key(key: &mut Expr, schema: &DFSchema) -> Result<()> {
    match key {
        Expr::GroupingSet(GroupingSet::Rollup(keys) | GroupingSet::Cube(keys)) => {
            keys.iter_mut().try_for_each(|key| group_key(key, schema))
        }
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => sets
            .iter_mut()
            .flatten()
            .try_for_each(|key| group_key(key, schema)),
        _ if is_float(key, schema)? => {
            let (qualifier, name) = key.qualified_name();
            let inner = std::mem::take(key).unalias();
            *key = normal(inner).alias_qualified(qualifier, name);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn columns(input: Arc<LogicalPlan>) -> Result<Arc<LogicalPlan>> {
    let schema = Arc::clone(input.schema());
    let float = |data_type: &DataType| matches!(data_type, DataType::Float32 | DataType::Float64);
    if !schema.fields().iter().any(|field| float(field.data_type())) {
        return Ok(input);
    }
    let exprs = schema
        .iter()
        .map(|(qualifier, field)| {
            let column = Expr::from((qualifier, field));
            if float(field.data_type()) {
                normal(column).alias_qualified(qualifier.cloned(), field.name())
            } else {
                column
            }
        })
        .collect();
    Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(
        exprs, input,
    )?)))
}
