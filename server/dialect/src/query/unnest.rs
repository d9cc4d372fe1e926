//! Planning of `left CROSS JOIN UNNEST(array, ...) [WITH ORDINALITY] AS u (a, b)`, also without a left side.
//!
//! The planner's own UNNEST cannot see columns of the left side. Here the arrays are computed next to the left
//! side's columns, unnested in one node, and the results get the alias as their qualifier.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Column, DFSchema, NullHandling, TableReference, UnnestOptions};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, JoinOperator, TableAlias, TableFactor};
use owlake_fault::{Code, Fault};

use super::join_using::UsingPlanner;
use super::relation::{alias_names, is_unnest};

/// The planners of FROM items that a session needs for queries of [`crate::parse`].
pub fn relation_planners() -> Vec<Arc<dyn RelationPlanner>> {
    vec![Arc::new(UnnestPlanner), Arc::new(UsingPlanner)]
}

#[derive(Debug)]
struct UnnestPlanner;

/// One UNNEST as it is written.
struct Unnest {
    arrays: Vec<SqlExpr>,
    ordinality: bool,
    alias: Option<TableAlias>,
    /// LEFT JOIN: a row without elements stays, once, with NULL.
    keep_empty: bool,
}

impl RelationPlanner for UnnestPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        match relation {
            TableFactor::UNNEST { .. } => {
                let left = LogicalPlanBuilder::empty(true).build()?;
                planned(left, unnest(relation, false), None, context)
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } if matches!(table_with_joins.joins.as_slice(), [join] if is_unnest(&join.relation)) => {
                let mut item = *table_with_joins;
                let Some(join) = item.joins.pop() else {
                    return Err(DataFusionError::Internal("UNNEST without its join".to_owned()));
                };
                let keep_empty = matches!(
                    join.join_operator,
                    JoinOperator::Left(_) | JoinOperator::LeftOuter(_)
                );
                let left = context.plan(item.relation)?;
                planned(left, unnest(join.relation, keep_empty), alias, context)
            }
            other => Ok(RelationPlanning::Original(Box::new(other))),
        }
    }
}

fn unnest(relation: TableFactor, keep_empty: bool) -> Option<Unnest> {
    match relation {
        TableFactor::UNNEST {
            alias,
            array_exprs,
            with_ordinality,
            ..
        } => Some(Unnest {
            arrays: array_exprs,
            ordinality: with_ordinality,
            alias,
            keep_empty,
        }),
        _ => None,
    }
}

fn planned(
    left: LogicalPlan,
    unnest: Option<Unnest>,
    alias: Option<TableAlias>,
    context: &mut dyn RelationPlannerContext,
) -> Result<RelationPlanning> {
    let Some(unnest) = unnest else {
        return Err(DataFusionError::Internal("no UNNEST to plan".to_owned()));
    };
    let plan = plan(left, unnest, context)?;
    Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(
        plan, alias,
    ))))
}

fn plan(left: LogicalPlan, unnest: Unnest, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let schema = Arc::clone(left.schema());
    let columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    let mut lists = Vec::with_capacity(unnest.arrays.len() + 1);
    let mut elements = Vec::with_capacity(unnest.arrays.len());
    for array in unnest.arrays {
        let array = context.sql_to_expr(array, &schema)?;
        let map = matches!(array.get_type(&schema)?, DataType::Map(..));
        let list = as_list(array, &schema)?;
        elements.push(match element_type(&list, &schema)? {
            DataType::Struct(fields) if map => Element::Entry(fields),
            DataType::Struct(fields) => Element::Row(fields),
            _ => Element::Value,
        });
        lists.push(list);
    }
    if unnest.ordinality {
        elements.push(Element::Value);
        lists.push(positions(lists.clone()));
    }
    let placeholder = |index: usize| Column::from_name(format!("$unnest_{}_{index}", columns.len()));
    let placeholders: Vec<Column> = (0..lists.len()).map(placeholder).collect();
    let computed = lists
        .into_iter()
        .zip(&placeholders)
        .map(|(list, column)| list.alias(&column.name));
    let null_handling = if unnest.keep_empty {
        NullHandling::PreserveAndExpandEmpty
    } else {
        NullHandling::Drop
    };
    let unnested = LogicalPlanBuilder::from(left)
        .project(columns.iter().cloned().chain(computed))?
        .unnest_columns_with_options(
            placeholders.clone(),
            UnnestOptions::new().with_null_handling(null_handling),
        )?;

    let (qualifier, names) = alias_names(unnest.alias.as_ref());
    let results = |rows_whole: bool| -> Vec<Expr> {
        let of = |(column, element): (&Column, &Element)| element.columns(column, rows_whole);
        placeholders.iter().zip(&elements).flat_map(of).collect()
    };
    let whole = results(true);
    // One name for each field of the rows cannot mean anything else either.
    let apart = Some(results(false)).filter(|apart| apart.len() == names.len());
    let results = match apart {
        Some(apart) if names.len() != whole.len() => apart,
        _ => whole,
    };
    if !names.is_empty() && names.len() != results.len() {
        return Err(fault(
            Code::TypeMismatch,
            format!(
                "Column alias list has {} entries but '{}' has {} columns available",
                names.len(),
                qualifier.unwrap_or_default(),
                results.len()
            ),
        ));
    }
    let first = columns.len();
    let named = results.into_iter().enumerate().map(|(index, result)| {
        let name = names
            .get(index)
            .map_or_else(|| format!("_col{}", first + index), |name| (*name).to_owned());
        result.alias_qualified(qualifier.map(TableReference::bare), name)
    });
    unnested.project(columns.iter().cloned().chain(named))?.build()
}

/// What an element becomes.
enum Element {
    /// One column.
    Value,
    /// A row of an array: one column of type row.
    Row(Fields),
    /// An entry of a map: its key and its value.
    Entry(Fields),
}

impl Element {
    fn columns(&self, column: &Column, rows_whole: bool) -> Vec<Expr> {
        match self {
            Element::Row(fields) if !rows_whole => {
                fields.iter().map(|field| field_of(column, field)).collect()
            }
            Element::Entry(fields) => fields.iter().map(|field| field_of(column, field)).collect(),
            Element::Value | Element::Row(_) => vec![Expr::Column(column.clone())],
        }
    }
}

fn field_of(column: &Column, field: &FieldRef) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(
        datafusion::functions::core::get_field(),
        vec![Expr::Column(column.clone()), lit(field.name().as_str())],
    ))
}

/// A list, or a map as the list of its entries.
fn as_list(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    match expr.get_type(schema)? {
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => Ok(expr),
        DataType::Map(..) => Ok(call(Entries::new(), vec![expr])),
        other => Err(fault(Code::TypeMismatch, format!("Cannot unnest type: {other}"))),
    }
}

fn element_type(list: &Expr, schema: &DFSchema) -> Result<DataType> {
    match list.get_type(schema)? {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            Ok(field.data_type().clone())
        }
        other => Err(fault(Code::TypeMismatch, format!("Cannot unnest type: {other}"))),
    }
}

fn fault(code: Code, what: String) -> DataFusionError {
    DataFusionError::External(Box::new(Fault::new(code, what)))
}

/// `1..n` per row, `n` the length of the longest of `lists`.
pub(crate) fn positions(lists: Vec<Expr>) -> Expr {
    call(Positions::new(), lists)
}

fn call(function: impl ScalarUDFImpl + 'static, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(
        Arc::new(ScalarUDF::new_from_impl(function)),
        args,
    ))
}

/// `1..n` per row, `n` the length of the longest list: the column of WITH ORDINALITY.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Positions {
    signature: Signature,
}

impl Positions {
    fn new() -> Self {
        Self {
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Positions {
    fn name(&self) -> &str {
        "$positions"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(
            DataType::Int64,
            true,
        ))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let mut longest = vec![0_usize; rows];
        for arg in args.args {
            let array = arg.into_array(rows)?;
            for (row, longest) in longest.iter_mut().enumerate() {
                *longest = (*longest).max(length(&array, row)?);
            }
        }
        let values: Int64Array = longest.iter().flat_map(|length| 1..=*length as i64).collect();
        let list = ListArray::try_new(
            Arc::new(Field::new_list_field(DataType::Int64, true)),
            OffsetBuffer::from_lengths(longest),
            Arc::new(values),
            None,
        )?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}

fn length(array: &ArrayRef, row: usize) -> Result<usize> {
    if array.is_null(row) {
        return Ok(0);
    }
    match array.data_type() {
        DataType::List(_) => Ok(array.as_list::<i32>().value_length(row).max(0) as usize),
        DataType::LargeList(_) => Ok(array.as_list::<i64>().value_length(row).max(0) as usize),
        DataType::FixedSizeList(_, size) => Ok((*size).max(0) as usize),
        other => Err(DataFusionError::Internal(format!("{other} has no length"))),
    }
}

/// The entries of a map as a list of rows.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Entries {
    signature: Signature,
}

impl Entries {
    fn new() -> Self {
        Self {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

fn entry_list(data_type: &DataType) -> Result<DataType> {
    let DataType::Map(entries, _) = data_type else {
        return Err(DataFusionError::Internal(format!("{data_type} has no entries")));
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(DataFusionError::Internal(format!("{data_type} has no entries")));
    };
    // Where a shorter list ends there is no key either.
    let fields: Fields = fields
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    Ok(DataType::List(Arc::new(Field::new_list_field(
        DataType::Struct(fields),
        true,
    ))))
}

impl ScalarUDFImpl for Entries {
    fn name(&self) -> &str {
        "$entries"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(DataFusionError::Internal(
            "the type of $entries depends on its field".to_owned(),
        ))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let map = args
            .arg_fields
            .first()
            .map_or(&DataType::Null, |field| field.data_type());
        Ok(Arc::new(Field::new(self.name(), entry_list(map)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(map) = args.args.into_iter().next() else {
            return Err(DataFusionError::Internal("$entries without a map".to_owned()));
        };
        let array = map.into_array(args.number_rows)?;
        let DataType::List(element) = entry_list(array.data_type())? else {
            return Err(DataFusionError::Internal("$entries is a list".to_owned()));
        };
        let map = array.as_map();
        let entries = arrow::compute::cast(map.entries(), element.data_type())?;
        let list = ListArray::try_new(element, map.offsets().clone(), entries, map.nulls().cloned())?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}
