//! Conditions that the database may answer for the engine: an allow-list of forms and types whose meaning is the
//! same in both. What is not on it stays with the engine.
//!
//! Not on it, and why: floats (NaN and -0), comparisons of texts by order (collations), LIKE (escapes), functions,
//! arithmetic (overflow, division), columns that come as text by a cast.

use std::borrow::Cow;

use arrow::datatypes::{DataType, TimeUnit};
use arrow::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, Operator};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::catalog::{RemoteColumn, RemoteTable};
use super::mapping::{Decode, Form};
use super::quoting::{identifier, literal};

/// Longer lists are for a join, and longer statements for nobody.
const MAX_LIST: usize = 1_000;
/// Deeper conditions stay here; the walk is recursive.
const MAX_DEPTH: usize = 40;

/// The condition in PostgreSQL's SQL, in parentheses where it needs them; `None` where it must not be taken over.
pub(super) fn condition(table: &RemoteTable, expr: &Expr) -> Option<String> {
    Conditions { table }.of(expr, 0)
}

struct Conditions<'a> {
    table: &'a RemoteTable,
}

/// How values of a column are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparable {
    /// By `=`, `<` and the like.
    Ordered,
    /// By `=` and `<>` alone.
    Equality,
}

impl Conditions<'_> {
    fn of(&self, expr: &Expr, depth: usize) -> Option<String> {
        if depth > MAX_DEPTH {
            return None;
        }
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And | Operator::Or => {
                    let word = if *op == Operator::And { "AND" } else { "OR" };
                    let (left, right) = (self.of(left, depth + 1)?, self.of(right, depth + 1)?);
                    Some(format!("({left} {word} {right})"))
                }
                _ => self.comparison(left, *op, right),
            },
            Expr::Not(inner) => Some(format!("(NOT {})", self.of(inner, depth + 1)?)),
            Expr::IsNull(inner) => Some(format!(
                "({} IS NULL)",
                identifier(&self.column(inner)?.name).ok()?
            )),
            Expr::IsNotNull(inner) => Some(format!(
                "({} IS NOT NULL)",
                identifier(&self.column(inner)?.name).ok()?
            )),
            Expr::Column(_) => {
                let column = self.column(expr)?;
                (column.mapping.decode == Decode::Bool).then(|| identifier(&column.name).ok())?
            }
            Expr::Between(Between {
                expr,
                negated,
                low,
                high,
            }) => {
                let low = self.comparison(expr, Operator::GtEq, low)?;
                let high = self.comparison(expr, Operator::LtEq, high)?;
                let both = format!("({low} AND {high})");
                Some(if *negated { format!("(NOT {both})") } else { both })
            }
            Expr::InList(InList { expr, list, negated }) => self.list(expr, list, *negated),
            Expr::Alias(alias) => self.of(&alias.expr, depth + 1),
            _ => None,
        }
    }

    fn comparison(&self, left: &Expr, op: Operator, right: &Expr) -> Option<String> {
        let (column, op, value) = match (left, right) {
            (column, Expr::Literal(value, _)) => (column, op, value),
            (Expr::Literal(value, _), column) => (column, op.swap()?, value),
            _ => return None,
        };
        let column = self.column(column)?;
        let comparable = comparable(column)?;
        let sign = match (op, comparable) {
            (Operator::Eq, _) => "=",
            (Operator::NotEq, _) => "<>",
            (Operator::Lt, Comparable::Ordered) => "<",
            (Operator::LtEq, Comparable::Ordered) => "<=",
            (Operator::Gt, Comparable::Ordered) => ">",
            (Operator::GtEq, Comparable::Ordered) => ">=",
            _ => return None,
        };
        Some(format!(
            "({} {sign} {})",
            identifier(&column.name).ok()?,
            constant(column, value)?
        ))
    }

    fn list(&self, expr: &Expr, list: &[Expr], negated: bool) -> Option<String> {
        if list.is_empty() || list.len() > MAX_LIST {
            return None;
        }
        let column = self.column(expr)?;
        comparable(column)?;
        let values = list.iter().map(|item| match item {
            Expr::Literal(value, _) => constant(column, value),
            _ => None,
        });
        let values = values.collect::<Option<Vec<_>>>()?.join(", ");
        let word = if negated { "NOT IN" } else { "IN" };
        Some(format!("({} {word} ({values}))", identifier(&column.name).ok()?))
    }

    /// The column that an expression is, casts that lose nothing and change no order looked through.
    fn column(&self, expr: &Expr) -> Option<&RemoteColumn> {
        match expr {
            Expr::Column(column) => {
                let at = self.table.schema().index_of(&column.name).ok()?;
                self.table.columns.get(at)
            }
            Expr::Cast(Cast { expr, field }) => {
                let column = self.column(expr)?;
                widens(&column.mapping.data_type, field.data_type()).then_some(column)
            }
            _ => None,
        }
    }
}

/// Whether a cast keeps every value apart from every other, in the same order, and never fails.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Decimal128, Int16, Int32, Int64, Timestamp, Utf8, Utf8View};
    match (from, to) {
        (Int16, Int32 | Int64) | (Int32, Int64) | (Utf8, Utf8View) => true,
        (Date32, Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond, None)) => true,
        (Decimal128(p, s), Decimal128(wide_p, wide_s)) => {
            i16::from(*wide_s) >= i16::from(*s)
                && i16::from(*wide_p) - i16::from(*wide_s) >= i16::from(*p) - i16::from(*s)
        }
        (from, to) => from == to,
    }
}

fn comparable(column: &RemoteColumn) -> Option<Comparable> {
    let mapping = &column.mapping;
    if mapping.form != Form::Plain {
        return None;
    }
    match &mapping.decode {
        Decode::Bool
        | Decode::Int16
        | Decode::Int32
        | Decode::Int64
        | Decode::Oid
        | Decode::Decimal { .. }
        | Decode::Date
        | Decode::Timestamp => Some(Comparable::Ordered),
        Decode::Uuid => Some(Comparable::Equality),
        // A collation may find texts equal that are not; json has no `=`.
        Decode::Text if column.deterministic && mapping.wire != Type::JSON.oid() => {
            Some(Comparable::Equality)
        }
        _ => None,
    }
}

/// A literal of the column's own type. NULL is none: what it means in a comparison is left to the engine.
fn constant(column: &RemoteColumn, value: &ScalarValue) -> Option<String> {
    let value = match value {
        ScalarValue::Dictionary(_, value) => Cow::Borrowed(&**value),
        value => Cow::Borrowed(value),
    };
    match (&column.mapping.decode, &*value) {
        (Decode::Bool, ScalarValue::Boolean(Some(value))) => Some(value.to_string()),
        (Decode::Int16 | Decode::Int32 | Decode::Int64 | Decode::Oid, value) => {
            let number = match value {
                ScalarValue::Int8(Some(n)) => i64::from(*n),
                ScalarValue::Int16(Some(n)) => i64::from(*n),
                ScalarValue::Int32(Some(n)) => i64::from(*n),
                ScalarValue::Int64(Some(n)) => *n,
                _ => return None,
            };
            // An oid is compared as the number that it is here.
            (column.mapping.decode != Decode::Oid || u32::try_from(number).is_ok()).then(|| {
                if column.mapping.decode == Decode::Oid {
                    format!("{number}::oid")
                } else {
                    format!("'{number}'::int8")
                }
            })
        }
        (Decode::Decimal { .. }, ScalarValue::Decimal128(Some(value), _, scale)) => {
            Some(format!("'{}'::numeric", decimal(*value, *scale)?))
        }
        (
            Decode::Text,
            ScalarValue::Utf8(Some(text))
            | ScalarValue::Utf8View(Some(text))
            | ScalarValue::LargeUtf8(Some(text)),
        ) => literal(text).ok(),
        // Here a uuid is its text: one that is written otherwise equals none.
        (Decode::Uuid, ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text))) => {
            let uuid = Uuid::parse_str(text).ok()?;
            (uuid.hyphenated().to_string() == *text).then(|| format!("'{text}'::uuid"))
        }
        (Decode::Date, ScalarValue::Date32(Some(days))) => {
            let date = date32_to_datetime(*days)?.date();
            in_common_years(date.format("%Y").to_string().as_str())
                .then(|| format!("'{}'::date", date.format("%Y-%m-%d")))
        }
        (Decode::Date | Decode::Timestamp, value) => moment(column, value),
        _ => None,
    }
}

/// A timestamp, with the zone of its column: UTC or none.
fn moment(column: &RemoteColumn, value: &ScalarValue) -> Option<String> {
    let (micros, zone) = match value {
        ScalarValue::TimestampSecond(Some(n), zone) => (n.checked_mul(1_000_000)?, zone),
        ScalarValue::TimestampMillisecond(Some(n), zone) => (n.checked_mul(1_000)?, zone),
        ScalarValue::TimestampMicrosecond(Some(n), zone) => (*n, zone),
        ScalarValue::TimestampNanosecond(Some(n), zone) if n % 1_000 == 0 => (n / 1_000, zone),
        _ => return None,
    };
    let text = timestamp_us_to_datetime(micros)?;
    if !in_common_years(text.format("%Y").to_string().as_str()) {
        return None;
    }
    let text = text.format("%Y-%m-%d %H:%M:%S%.6f");
    match (&column.mapping.data_type, zone.as_deref()) {
        (DataType::Date32 | DataType::Timestamp(_, None), None) => Some(format!("'{text}'::timestamp")),
        (DataType::Timestamp(_, Some(_)), Some("UTC" | "+00:00")) => {
            Some(format!("'{text}+00'::timestamptz"))
        }
        _ => None,
    }
}

/// Years that both sides write the same way.
fn in_common_years(year: &str) -> bool {
    year.len() == 4 && year.bytes().all(|c| c.is_ascii_digit()) && year != "0000"
}

/// `-12.30` for -1230 of scale 2.
fn decimal(value: i128, scale: i8) -> Option<String> {
    let scale = usize::try_from(scale).ok()?;
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    Some(if scale == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    })
}

#[cfg(test)]
pub(super) mod tests;
