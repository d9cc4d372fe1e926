//! `left JOIN right USING (columns)`: each of the columns is there once and comes first, as in Trino.

use datafusion::common::{Column, DFSchema, JoinType, TableReference};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{Join, JoinConstraint, JoinOperator, ObjectName, TableFactor};
use owlake_fault::{Code, Fault};

use super::names::MARK;

/// Plans a nested join of two relations with USING; the syntax pass puts each such join into one.
#[derive(Debug)]
pub(super) struct UsingPlanner;

impl RelationPlanner for UsingPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        match relation {
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } if matches!(table_with_joins.joins.as_slice(), [join] if is_using(join)) => {
                let mut item = *table_with_joins;
                let Some(join) = item.joins.pop() else {
                    return Err(DataFusionError::Internal("USING without its join".to_owned()));
                };
                let left = context.plan(item.relation)?;
                let right = context.plan(join.relation)?;
                let plan = plan(left, right, &join.join_operator)?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(
                    plan, alias,
                ))))
            }
            other => Ok(RelationPlanning::Original(Box::new(other))),
        }
    }
}

/// Whether a join has USING.
pub(super) fn is_using(join: &Join) -> bool {
    using(&join.join_operator).is_some()
}

fn using(operator: &JoinOperator) -> Option<(JoinType, &[ObjectName])> {
    let (kind, constraint) = match operator {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => (JoinType::Inner, constraint),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (JoinType::Left, constraint),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
            (JoinType::Right, constraint)
        }
        JoinOperator::FullOuter(constraint) => (JoinType::Full, constraint),
        _ => return None,
    };
    match constraint {
        JoinConstraint::Using(columns) => Some((kind, columns)),
        _ => None,
    }
}

fn plan(left: LogicalPlan, right: LogicalPlan, operator: &JoinOperator) -> Result<LogicalPlan> {
    let Some((kind, names)) = using(operator) else {
        return Err(DataFusionError::Internal("a join without USING".to_owned()));
    };
    let merged = relation_of(right.schema());
    let mut exprs = Vec::new();
    let mut on = Vec::with_capacity(names.len());
    let mut used = Vec::with_capacity(2 * names.len());
    for name in names {
        let name = name.0.last().and_then(|part| part.as_ident());
        let name = name.map_or("", |ident| ident.value.as_str());
        let (own, own_type) = side_column(left.schema(), name, "left")?;
        let (theirs, their_type) = side_column(right.schema(), name, "right")?;
        let (l, r) = (Expr::Column(own.clone()), Expr::Column(theirs.clone()));
        on.push(l.clone().eq(r.clone()));
        let value = match kind {
            JoinType::Full => coalesce(vec![l, r]),
            JoinType::Right => r,
            JoinType::Inner if own_type != their_type => coalesce(vec![l, r]),
            _ => l,
        };
        exprs.push(value.alias_qualified(Some(merged.clone()), name));
        used.extend([own, theirs]);
    }
    let joined = LogicalPlanBuilder::from(left).join_on(right, kind, on)?.build()?;
    let rest = joined.schema().columns().into_iter();
    exprs.extend(rest.filter(|column| !used.contains(column)).map(Expr::Column));
    LogicalPlanBuilder::from(joined).project(exprs)?.build()
}

/// The relation of the merged columns: none that a statement can name, and another one for each join.
fn relation_of(right: &DFSchema) -> TableReference {
    let name = right
        .iter()
        .find_map(|(relation, _)| relation.map(ToString::to_string));
    TableReference::bare(format!(
        "{MARK}{}",
        name.unwrap_or_else(|| right.fields().len().to_string())
    ))
}

fn side_column(
    schema: &DFSchema,
    name: &str,
    side: &str,
) -> Result<(Column, datafusion::arrow::datatypes::DataType)> {
    let mut found = schema.qualified_fields_with_unqualified_name(name).into_iter();
    let (column, others) = (found.next(), found.next());
    let fault = |code, what| Err(DataFusionError::External(Box::new(Fault::new(code, what))));
    match (column, others) {
        (Some((relation, field)), None) => Ok((
            Column::new(relation.cloned(), field.name()),
            field.data_type().clone(),
        )),
        (Some(_), Some(_)) => fault(
            Code::SyntaxError,
            format!("Column '{name}' is ambiguous on the {side} side of the join"),
        ),
        (None, _) => fault(
            Code::ColumnNotFound,
            format!("Column '{name}' is missing from the {side} side of the join"),
        ),
    }
}
