//! From filter expressions to what they leave of each partition column.
//!
//! Domains only ever over-approximate; every partition filter is evaluated again on the values left.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use owlake_catalog::{Bound, Domain, Domains, Interval, PartitionValue};

/// The catalog keeps timestamps in microseconds, the engine in milliseconds.
const MICROS_PER_MILLI: i64 = 1_000;

/// Whether `expr` can be decided from partition values alone, once and for all rows of a partition.
pub(crate) fn is_partition_filter(expr: &Expr, partition_columns: &[String]) -> bool {
    let mut only_partition_columns = true;
    let mut some_column = false;
    let walk = expr.apply(|e| {
        match e {
            Expr::Column(column) => {
                some_column = true;
                only_partition_columns &= partition_columns.contains(&column.name);
            }
            Expr::ScalarSubquery(_)
            | Expr::InSubquery(_)
            | Expr::Exists(_)
            | Expr::SetComparison(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::AggregateFunction(_)
            | Expr::WindowFunction(_)
            | Expr::Placeholder(_) => only_partition_columns = false,
            Expr::ScalarFunction(function) => {
                only_partition_columns &=
                    function.func.signature().volatility == datafusion::logical_expr::Volatility::Immutable;
            }
            _ => {}
        }
        Ok(if only_partition_columns {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    });
    walk.is_ok() && only_partition_columns && some_column
}

/// Whether an expression holds something a scan cannot evaluate (a subquery or an outer column).
pub(crate) fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|e| {
        Ok(matches!(
            e,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        ))
    })
    .unwrap_or(true)
}

/// Domains of the partition columns under the conjunction of `filters`.
pub(crate) fn domains(filters: &[Expr], partition_columns: &[String]) -> Domains {
    let mut domains = Domains::new();
    for filter in filters {
        for column in partition_columns {
            let domain = domain_of(filter, column);
            if domain != Domain::All {
                let merged = domains
                    .get(column)
                    .map_or_else(|| domain.clone(), |d| d.intersect(&domain));
                domains.insert(column.clone(), merged);
            }
        }
    }
    domains
}

/// What `expr` leaves of `column`, as if every other column could take any value.
fn domain_of(expr: &Expr, column: &str) -> Domain {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And,
            right,
        }) => domain_of(left, column).intersect(&domain_of(right, column)),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => domain_of(left, column).union(&domain_of(right, column)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if is_column(left, column) {
                literal(right).map_or(Domain::All, |v| comparison(*op, v))
            } else if is_column(right, column) {
                let flipped = op.swap();
                literal(left)
                    .zip(flipped)
                    .map_or(Domain::All, |(v, op)| comparison(op, v))
            } else {
                Domain::All
            }
        }
        Expr::Between(Between {
            expr,
            negated: false,
            low,
            high,
        }) if is_column(expr, column) => {
            let low = literal(low).map_or(Domain::All, |v| comparison(Operator::GtEq, v));
            let high = literal(high).map_or(Domain::All, |v| comparison(Operator::LtEq, v));
            low.intersect(&high)
        }
        Expr::InList(list) if !list.negated && is_column(&list.expr, column) => {
            let mut points = Vec::with_capacity(list.list.len());
            for item in &list.list {
                match literal(item) {
                    Some(Literal::Value(v)) => points.push(equal_to(v)),
                    Some(Literal::Null) => {}
                    Some(Literal::Unusable) | None => return Domain::All,
                }
            }
            Domain::Union(points)
        }
        Expr::Column(c) if c.name == column => Domain::point(PartitionValue::Boolean(true)),
        Expr::Not(inner) if is_column(inner, column) => Domain::point(PartitionValue::Boolean(false)),
        Expr::Literal(ScalarValue::Boolean(Some(false) | None), _) => Domain::NONE,
        Expr::Alias(alias) => domain_of(&alias.expr, column),
        _ => Domain::All,
    }
}

fn is_column(expr: &Expr, column: &str) -> bool {
    matches!(expr, Expr::Column(c) if c.name == column)
}

enum Literal {
    Value(PartitionValue),
    /// A comparison with NULL is never true.
    Null,
    /// A constant of a type that no partition column has.
    Unusable,
}

fn comparison(op: Operator, value: Literal) -> Domain {
    let value = match value {
        Literal::Value(value) => value,
        Literal::Null if op != Operator::IsDistinctFrom && op != Operator::IsNotDistinctFrom => {
            return Domain::NONE;
        }
        Literal::Null | Literal::Unusable => return Domain::All,
    };
    let Interval { low, high } = equal_to(value);
    let interval = match op {
        Operator::Eq | Operator::IsNotDistinctFrom => Interval { low, high },
        Operator::Lt => below(low),
        Operator::LtEq => Interval {
            low: Bound::Unbounded,
            high,
        },
        Operator::Gt => above(high),
        Operator::GtEq => Interval {
            low,
            high: Bound::Unbounded,
        },
        _ => return Domain::All,
    };
    Domain::Union(vec![interval])
}

/// The partition values that are read as `value`: itself, or every timestamp that is rounded to it.
fn equal_to(value: PartitionValue) -> Interval {
    let PartitionValue::Timestamp(micros) = value else {
        return Interval::point(value);
    };
    let end = |half: i64| PartitionValue::Timestamp(micros.saturating_add(half));
    Interval {
        low: Bound::Included(end(-MICROS_PER_MILLI / 2)),
        high: Bound::Excluded(end(MICROS_PER_MILLI / 2)),
    }
}

/// What lies before an interval that begins with `low`.
fn below(low: Bound) -> Interval {
    Interval {
        low: Bound::Unbounded,
        high: beyond(low),
    }
}

/// What lies behind an interval that ends with `high`.
fn above(high: Bound) -> Interval {
    Interval {
        low: beyond(high),
        high: Bound::Unbounded,
    }
}

/// The end of what an interval with this end leaves out.
fn beyond(end: Bound) -> Bound {
    match end {
        Bound::Included(value) => Bound::Excluded(value),
        Bound::Excluded(value) => Bound::Included(value),
        Bound::Unbounded => Bound::Unbounded,
    }
}

fn literal(expr: &Expr) -> Option<Literal> {
    let Expr::Literal(scalar, _) = expr else {
        return None;
    };
    if scalar.is_null() {
        return Some(Literal::Null);
    }
    Some(scalar_value(scalar).map_or(Literal::Unusable, Literal::Value))
}

fn scalar_value(scalar: &ScalarValue) -> Option<PartitionValue> {
    use ScalarValue as S;
    Some(match scalar {
        S::Utf8(Some(v)) | S::Utf8View(Some(v)) | S::LargeUtf8(Some(v)) => PartitionValue::Text(v.clone()),
        S::Int8(Some(v)) => PartitionValue::Integer(i64::from(*v)),
        S::Int16(Some(v)) => PartitionValue::Integer(i64::from(*v)),
        S::Int32(Some(v)) => PartitionValue::Integer(i64::from(*v)),
        S::Int64(Some(v)) => PartitionValue::Integer(*v),
        S::Date32(Some(v)) => PartitionValue::Date(*v),
        S::TimestampMillisecond(Some(v), None) => PartitionValue::Timestamp(v.checked_mul(MICROS_PER_MILLI)?),
        S::Boolean(Some(v)) => PartitionValue::Boolean(*v),
        S::Dictionary(_, inner) => scalar_value(inner)?,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{col, lit};

    fn cut(filter: Expr) -> Domain {
        domains(&[filter], &["dt".to_owned(), "hour".to_owned()])
            .get("dt")
            .cloned()
            .unwrap_or(Domain::All)
    }

    fn text(v: &str) -> PartitionValue {
        PartitionValue::Text(v.to_owned())
    }

    #[test]
    fn equality_in_and_between_become_domains() {
        assert_eq!(cut(col("dt").eq(lit("a"))), Domain::point(text("a")));
        assert_eq!(cut(lit("a").eq(col("dt"))), Domain::point(text("a")));
        let listed = cut(col("dt").in_list(vec![lit("a"), lit("b")], false));
        assert!(listed.contains(&text("b")) && !listed.contains(&text("c")));
        let between = cut(col("dt").between(lit("b"), lit("d")));
        assert!(between.contains(&text("c")) && !between.contains(&text("e")));
        assert!(!cut(lit("b").lt(col("dt"))).contains(&text("b")));
    }

    #[test]
    fn a_disjunction_over_two_columns_cuts_neither() {
        assert_eq!(
            cut(col("dt").eq(lit("a")).or(col("hour").eq(lit(1)))),
            Domain::All
        );
        let both = col("dt").eq(lit("a")).and(col("hour").eq(lit(1)));
        assert_eq!(cut(both), Domain::point(text("a")));
    }

    #[test]
    fn negations_and_functions_cut_nothing() {
        assert_eq!(cut(col("dt").not_eq(lit("a"))), Domain::All);
        assert_eq!(cut(col("dt").in_list(vec![lit("a")], true)), Domain::All);
        assert_eq!(cut(col("dt").like(lit("a%"))), Domain::All);
    }

    #[test]
    fn a_timestamp_stands_for_all_that_are_rounded_to_it() {
        let millis = |v| lit(ScalarValue::TimestampMillisecond(Some(v), None));
        let value = PartitionValue::Timestamp;
        let of = |filter: Expr| {
            [-501, -500, 0, 499, 500, 1_499, 1_500].map(|v| cut(filter.clone()).contains(&value(v)))
        };
        let [no, yes] = [false, true];
        assert_eq!(of(col("dt").eq(millis(0))), [no, yes, yes, yes, no, no, no]);
        assert_eq!(
            of(col("dt").in_list(vec![millis(1)], false)),
            [no, no, no, no, yes, yes, no]
        );
        assert_eq!(of(col("dt").lt(millis(1))), [yes, yes, yes, yes, no, no, no]);
        assert_eq!(of(col("dt").lt_eq(millis(0))), [yes, yes, yes, yes, no, no, no]);
        assert_eq!(of(col("dt").gt(millis(0))), [no, no, no, no, yes, yes, yes]);
        assert_eq!(of(col("dt").gt_eq(millis(1))), [no, no, no, no, yes, yes, yes]);
    }

    #[test]
    fn null_comparison_leaves_nothing() {
        assert!(cut(col("dt").eq(Expr::Literal(ScalarValue::Utf8(None), None))).is_none());
    }
}
