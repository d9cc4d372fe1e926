//! How wide the rows of a plan become by its constants and by functions that lengthen values: the reason to
//! compute fewer rows at a time. What the data itself holds is not known here.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::functions::MAX_VALUE_BYTES;

/// What a text of the data is taken to have where a function multiplies it, bytes.
const USUAL_TEXT: usize = 64;

/// Bytes of the widest row, or of the widest value on the way to one, that `plan` is expected to make.
pub fn widest_row(plan: &LogicalPlan) -> usize {
    let mut widest = 0;
    columns(plan, &mut widest);
    widest
}

/// Expected widths of the plan's columns.
fn columns(plan: &LogicalPlan, widest: &mut usize) -> Vec<usize> {
    let inputs: Vec<Input<'_>> = plan
        .inputs()
        .into_iter()
        .map(|input| Input {
            widths: columns(input, widest),
            schema: input.schema(),
        })
        .collect();
    let made: Vec<usize> = plan
        .expressions()
        .iter()
        .map(|e| width(e, &inputs, widest))
        .collect();
    let widths = match plan {
        LogicalPlan::Projection(_) => made,
        LogicalPlan::Union(_) => (0..plan.schema().fields().len())
            .map(|i| {
                let of = |input: &Input<'_>| input.widths.get(i).copied().unwrap_or(0);
                inputs.iter().map(of).max().unwrap_or(0)
            })
            .collect(),
        LogicalPlan::SubqueryAlias(_) => inputs.into_iter().next().map_or(Vec::new(), |i| i.widths),
        LogicalPlan::Aggregate(_) => made,
        LogicalPlan::Window(_) => {
            let mut widths = inputs.into_iter().next().map_or(Vec::new(), |i| i.widths);
            widths.extend(made);
            widths
        }
        // What is not computed here comes from an input under its name.
        _ => plan
            .schema()
            .columns()
            .iter()
            .map(|c| of_column(c, &inputs))
            .collect(),
    };
    *widest = widths
        .iter()
        .fold(0, |sum: usize, w| sum.saturating_add(*w))
        .max(*widest);
    widths
}

struct Input<'a> {
    schema: &'a DFSchema,
    widths: Vec<usize>,
}

fn of_column(column: &Column, inputs: &[Input<'_>]) -> usize {
    inputs
        .iter()
        .find_map(|input| {
            let place = input.schema.maybe_index_of_column(column)?;
            input.widths.get(place).copied()
        })
        .unwrap_or(0)
}

/// Expected bytes of one value of `expr`.
fn width(expr: &Expr, inputs: &[Input<'_>], widest: &mut usize) -> usize {
    let bytes = match expr {
        Expr::Literal(value, _) => literal(value),
        Expr::Column(column) => of_column(column, inputs),
        Expr::ScalarFunction(call) => function(call, inputs, widest),
        other => {
            let mut most = 0;
            // Neither the walk nor its visitor can fail.
            let _never = other.apply_children(|child| {
                most = width(child, inputs, widest).max(most);
                Ok(TreeNodeRecursion::Continue)
            });
            most
        }
    };
    // A longer value is refused where it is built.
    let bytes = bytes.min(MAX_VALUE_BYTES);
    *widest = bytes.max(*widest);
    bytes
}

fn literal(value: &ScalarValue) -> usize {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) => text.len(),
        ScalarValue::Binary(Some(bytes)) => bytes.len(),
        other if other.data_type().is_nested() => other.size(),
        _ => 0,
    }
}

fn function(call: &ScalarFunction, inputs: &[Input<'_>], widest: &mut usize) -> usize {
    let args: Vec<usize> = call.args.iter().map(|a| width(a, inputs, widest)).collect();
    let arg = |i: usize| args.get(i).copied().unwrap_or(0);
    let sum = args.iter().fold(0, |sum: usize, w| sum.saturating_add(*w));
    let most = args.iter().copied().max().unwrap_or(0);
    let number = |i: usize| call.args.get(i).and_then(number);
    match call.name() {
        "lpad" | "rpad" => number(1).map_or(most, |n| n.max(arg(0))),
        "replace" | "regexp_replace" => {
            let text = arg(0).max(USUAL_TEXT);
            let found = match call.args.get(1) {
                Some(Expr::Literal(value, _)) => literal(value).max(1),
                _ => 1,
            };
            arg(0).saturating_add((text / found).saturating_mul(arg(2)))
        }
        "repeat" => number(1).map_or(most, |n| n.saturating_mul(arg(0).max(8))),
        "sequence" => match (number(0), number(1)) {
            (Some(a), Some(b)) => a.abs_diff(b).saturating_mul(8),
            (_, Some(b)) => b.saturating_mul(8),
            _ => most,
        },
        "concat" | "concat_ws" | "make_array" | "map" | "array_join" => sum,
        _ => most,
    }
}

/// The number that `expr` is, or is a cast of.
fn number(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Cast(cast) => number(&cast.expr),
        Expr::Literal(value, _) => match value {
            ScalarValue::Int64(Some(n)) => usize::try_from(*n).ok(),
            ScalarValue::Int32(Some(n)) => usize::try_from(*n).ok(),
            _ => None,
        },
        _ => None,
    }
}
