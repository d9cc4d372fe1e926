//! Whether a scan decodes the columns of its filter first and fetches the others only where rows are left.
//!
//! It saves bytes where few rows are left and the other columns are wide, and costs a wait per row group and a second
//! look at the filter's columns where not. Decided from footers and the query alone, so the same cold and warm.

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use parquet::file::metadata::ParquetMetaData;

use crate::parquet_scan::chunks::{leaf_bytes, leaves_of};

/// The other columns must be this many times as large as those of the filter.
const WIDER: u64 = 4;
/// An IN list up to this long is taken for selective.
const MAX_VALUES: usize = 20;

/// The columns of a scan's filters, and what the footers say about their size.
#[derive(Debug, Default)]
pub(crate) struct LateColumns {
    /// Names of table columns that some filter names.
    filter: Vec<String>,
    /// Those that a filter compares with few constants.
    points: Vec<String>,
    rows: u64,
    filter_bytes: u64,
    other_bytes: u64,
    /// The largest of `points`, bytes.
    point_bytes: u64,
}

impl LateColumns {
    /// `filters` are those on columns of `table`'s files; they hold together.
    pub(crate) fn new(filters: &[Expr], table: &Schema) -> Self {
        let mut columns = Self::default();
        for filter in filters.iter().flat_map(|f| split_conjunction(f)) {
            columns
                .filter
                .extend(filter.column_refs().iter().map(|c| c.name.clone()));
            columns.points.extend(point(filter).map(str::to_owned));
        }
        let is = |name: &String, wanted: fn(&DataType) -> bool| {
            table.field_with_name(name).is_ok_and(|f| wanted(f.data_type()))
        };
        columns
            .points
            .retain(|name| is(name, |t| *t != DataType::Boolean));
        if !columns.filter.iter().all(|name| is(name, |t| !t.is_nested())) || !filters.iter().all(cannot_fail)
        {
            // What is nested is not filtered while it is decoded. Nor is what can fail: the reader evaluates the
            // conditions in an order of its own.
            columns.points.clear();
        }
        columns
    }

    /// Adds a file, of which `leaves` are read.
    pub(crate) fn add(&mut self, metadata: &ParquetMetaData, leaves: &[usize]) {
        if self.points.is_empty() {
            return;
        }
        let read = |names: &[String]| leaves_of(metadata, names.iter().map(String::as_str));
        let filter = read(&self.filter);
        let (filter, other): (Vec<usize>, Vec<usize>) = leaves.iter().partition(|leaf| filter.contains(leaf));
        let in_all_groups = |leaves: &[usize]| -> u64 {
            let groups = metadata.row_groups().iter();
            groups.map(|group| leaf_bytes(group, leaves)).sum()
        };
        let rows = metadata
            .row_groups()
            .iter()
            .map(|g| u64::try_from(g.num_rows()).unwrap_or(0));
        self.rows += rows.sum::<u64>();
        self.filter_bytes += in_all_groups(&filter);
        self.other_bytes += in_all_groups(&other);
        let points = self
            .points
            .iter()
            .map(|p| in_all_groups(&leaves_of(metadata, [p.as_str()])));
        self.point_bytes += points.max().unwrap_or(0);
    }

    /// Whether to fetch late: a filter asks for few values of a column that has many (a column of few values is
    /// stored in less than a byte per row), and the other columns are wide.
    pub(crate) fn pays(&self) -> bool {
        !self.points.is_empty()
            && self.rows > 0
            && self.point_bytes >= self.rows
            && self.other_bytes >= WIDER * self.filter_bytes
    }
}

/// Whether a filter is made of comparisons of columns and constants alone.
fn cannot_fail(filter: &Expr) -> bool {
    let fails = filter.exists(|part| {
        Ok(!match part {
            Expr::BinaryExpr(binary) => binary.op.is_logic_operator() || binary.op.supports_propagation(),
            Expr::Column(_)
            | Expr::Literal(..)
            | Expr::InList(_)
            | Expr::Like(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::Between(_) => true,
            _ => false,
        })
    });
    !fails.unwrap_or(true)
}

/// The column that `filter` compares with few constants.
fn point(filter: &Expr) -> Option<&str> {
    match filter {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) => match (left.as_ref(), right.as_ref()) {
            (Expr::Column(c), Expr::Literal(..)) | (Expr::Literal(..), Expr::Column(c)) => Some(&c.name),
            _ => None,
        },
        Expr::InList(list) if !list.negated && list.list.len() <= MAX_VALUES => match list.expr.as_ref() {
            Expr::Column(c) if list.list.iter().all(|e| matches!(e, Expr::Literal(..))) => Some(&c.name),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::Field;
    use datafusion::logical_expr::{col, lit};

    fn points(filter: Expr) -> Vec<String> {
        let table = Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("s", DataType::Utf8View, true),
            Field::new("b", DataType::Boolean, true),
        ]);
        LateColumns::new(&[filter], &table).points
    }

    #[test]
    fn only_comparisons_with_few_constants_are_points() {
        assert_eq!(points(col("n").eq(lit(7)).and(col("s").like(lit("a%")))), ["n"]);
        assert_eq!(points(col("s").in_list(vec![lit("a"), lit("b")], false)), ["s"]);
        assert!(points(col("n").gt(lit(7))).is_empty());
        assert!(points(col("n").eq(lit(7)).or(col("n").eq(lit(8)))).is_empty());
        assert!(points(col("b").eq(lit(true))).is_empty());
    }
}
