//! How many rows and bytes a database would send, by what its catalog says of its tables; nothing where that is not known.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, JoinType, NullEquality};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, TableScan};

/// Bytes of a row, and of a value, besides the value itself.
const ROW: f64 = 7.0;
const VALUE: f64 = 4.0;
/// Bytes of a value of a type without a size.
const TEXT: f64 = 32.0;

/// The rows of a plan.
#[derive(Debug, Clone)]
pub(super) struct Size {
    rows: f64,
    columns: BTreeMap<Column, Values>,
}

#[derive(Debug, Clone, Copy)]
struct Values {
    /// Different ones, in the whole table.
    distinct: Option<f64>,
    bytes: f64,
}

impl Size {
    /// Of a table, with filters and plain columns above it; of inner joins of such on columns that are known.
    pub(super) fn of(plan: &LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::TableScan(scan) => Self::scanned(scan),
            LogicalPlan::SubqueryAlias(alias) => {
                let of = Self::of(&alias.input)?;
                let names = alias.input.schema().columns().into_iter();
                Some(of.named(names.zip(alias.schema.columns())))
            }
            LogicalPlan::Projection(projection) => {
                let of = Self::of(&projection.input)?;
                let from = projection.expr.iter().map(|expr| match expr.clone().unalias() {
                    Expr::Column(column) => Some(column),
                    _ => None,
                });
                let from: Vec<Column> = from.collect::<Option<_>>()?;
                Some(of.named(from.into_iter().zip(projection.schema.columns())))
            }
            LogicalPlan::Filter(filter) => {
                let of = Self::of(&filter.input)?;
                let rows = of.rows * of.part(&filter.predicate);
                Some(Self { rows, ..of })
            }
            LogicalPlan::Join(join)
                if join.join_type == JoinType::Inner
                    && join.null_equality == NullEquality::NullEqualsNothing =>
            {
                let (left, right) = (Self::of(&join.left)?, Self::of(&join.right)?);
                let mut rows = left.rows * right.rows;
                for (one, other) in &join.on {
                    let distinct = left.distinct(one)?.max(right.distinct(other)?);
                    rows /= distinct.max(1.0);
                }
                let columns = left.columns.into_iter().chain(right.columns).collect();
                Some(Self { rows, columns })
            }
            _ => None,
        }
    }

    fn scanned(scan: &TableScan) -> Option<Self> {
        let table = source_as_provider(&scan.source).ok()?;
        let statistics = table.statistics()?;
        let all = *statistics.num_rows.get_value()? as f64;
        let schema = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &table.schema()).ok()?;
        let values = schema
            .fields()
            .iter()
            .zip(&statistics.column_statistics)
            .map(|(field, known)| {
                let bytes = known
                    .byte_size
                    .get_value()
                    .map(|bytes| *bytes as f64 / all.max(1.0));
                Values {
                    distinct: known.distinct_count.get_value().map(|count| *count as f64),
                    bytes: bytes.unwrap_or_else(|| width(field.data_type())),
                }
            });
        let of = Self {
            rows: all,
            columns: schema.columns().into_iter().zip(values).collect(),
        };
        let part: f64 = scan.filters.iter().map(|filter| of.part(filter)).product();
        let fetch = scan.fetch.map_or(f64::MAX, |fetch| fetch as f64);
        Some(Self {
            rows: (of.rows * part).min(fetch),
            ..of
        })
    }

    fn named(&self, names: impl Iterator<Item = (Column, Column)>) -> Self {
        let columns = names.filter_map(|(from, to)| Some((to, *self.columns.get(&from)?)));
        Self {
            rows: self.rows,
            columns: columns.collect(),
        }
    }

    fn distinct(&self, expr: &Expr) -> Option<f64> {
        match expr {
            Expr::Column(column) => self.columns.get(column)?.distinct,
            Expr::Cast(cast) => self.distinct(&cast.expr),
            _ => None,
        }
    }

    /// The part of the rows that a condition leaves, where it is one for single values; else all.
    fn part(&self, condition: &Expr) -> f64 {
        let among = |expr: &Expr, count: usize| match self.distinct(expr) {
            Some(distinct) => (count as f64 / distinct.max(1.0)).min(1.0),
            None => 1.0,
        };
        let part = |condition: &Expr| match condition {
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Eq,
                right,
            }) => match (left.as_ref(), right.as_ref()) {
                (of, Expr::Literal(..)) | (Expr::Literal(..), of) => among(of, 1),
                _ => 1.0,
            },
            Expr::InList(list) if !list.negated => among(&list.expr, list.list.len()),
            _ => 1.0,
        };
        split_conjunction(condition).into_iter().map(part).product()
    }

    /// Bytes of those columns.
    pub(super) fn sent(&self, columns: &BTreeSet<Column>) -> f64 {
        let own = self.columns.iter().filter(|(name, _)| columns.contains(*name));
        let row: f64 = own.map(|(_, values)| VALUE + values.bytes).sum();
        self.rows * (ROW + row)
    }
}

fn width(of: &DataType) -> f64 {
    match of {
        DataType::Boolean => 1.0,
        DataType::Decimal128(..) => 12.0,
        other => other.primitive_width().map_or(TEXT, |width| width as f64),
    }
}
