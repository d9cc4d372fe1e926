//! Expressions that the database may compute for the engine: an allow-list of forms, functions and types whose meaning
//! is the same in both. What is not on it stays with the engine.
//!
//! Not on it, and why: floats (NaN, -0, order of additions), division (scale, rounding), functions whose definitions
//! differ or that nobody has compared yet.

use std::fmt::Write;

use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::{Between, InList, Like, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Case, Cast, Expr, LogicalPlan, Operator};

use super::quoting::literal;
use super::value::{Class, Collation, Value, constant, standing_for, widens};

/// Longer lists are for a join, and longer statements for nobody.
pub(super) const MAX_LIST: usize = 1_000;
/// Deeper expressions stay here; the walk is recursive.
const MAX_DEPTH: usize = 40;
/// Counts of characters are numbers of 32 bits there.
const MAX_CHARACTERS: i64 = 1_000_000_000;

/// What the names of an expression stand for.
pub(super) trait Names {
    /// The value of a column.
    fn column(&self, column: &Column) -> Option<Value>;

    /// The type of an expression, as the engine has it.
    fn data_type(&self, expr: &Expr) -> Option<DataType>;

    /// A subquery of one row and one column, in parentheses.
    fn subquery(&self, plan: &LogicalPlan) -> Option<Value>;
}

/// The condition in PostgreSQL's SQL, in parentheses where it needs them; `None` where it must not be taken over.
pub(super) fn condition(names: &dyn Names, expr: &Expr) -> Option<String> {
    Printer { names }.condition(expr, 0)
}

/// The same for an expression of any type.
pub(super) fn value(names: &dyn Names, expr: &Expr) -> Option<Value> {
    Printer { names }.value(expr, 0)
}

/// `left = right` of a join; `nulls` are equal to each other, or to nothing.
pub(super) fn equality(names: &dyn Names, left: &Expr, right: &Expr, nulls: bool) -> Option<String> {
    let op = if nulls {
        Operator::IsNotDistinctFrom
    } else {
        Operator::Eq
    };
    Printer { names }.comparison(left, op, right, 0)
}

struct Printer<'a> {
    names: &'a dyn Names,
}

impl Printer<'_> {
    fn condition(&self, expr: &Expr, depth: usize) -> Option<String> {
        if depth > MAX_DEPTH {
            return None;
        }
        let deeper = depth + 1;
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::And | Operator::Or => {
                    let word = if *op == Operator::And { "AND" } else { "OR" };
                    let (left, right) = (self.condition(left, deeper)?, self.condition(right, deeper)?);
                    Some(format!("({left} {word} {right})"))
                }
                _ => self.comparison(left, *op, right, deeper),
            },
            Expr::Not(inner) => Some(format!("(NOT {})", self.condition(inner, deeper)?)),
            Expr::IsNull(inner) => Some(format!("({} IS NULL)", self.value(inner, deeper)?.sql)),
            Expr::IsNotNull(inner) => Some(format!("({} IS NOT NULL)", self.value(inner, deeper)?.sql)),
            Expr::IsTrue(inner) => Some(format!("({} IS TRUE)", self.condition(inner, deeper)?)),
            Expr::IsFalse(inner) => Some(format!("({} IS FALSE)", self.condition(inner, deeper)?)),
            Expr::IsNotTrue(inner) => Some(format!("({} IS NOT TRUE)", self.condition(inner, deeper)?)),
            Expr::IsNotFalse(inner) => Some(format!("({} IS NOT FALSE)", self.condition(inner, deeper)?)),
            Expr::Between(Between {
                expr,
                negated,
                low,
                high,
            }) => {
                let low = self.comparison(expr, Operator::GtEq, low, deeper)?;
                let high = self.comparison(expr, Operator::LtEq, high, deeper)?;
                let both = format!("({low} AND {high})");
                Some(if *negated { format!("(NOT {both})") } else { both })
            }
            Expr::InList(list) => self.list(list, deeper),
            Expr::Like(like) => self.like(like, deeper),
            Expr::Alias(alias) => self.condition(&alias.expr, deeper),
            Expr::Column(_) | Expr::Literal(..) | Expr::Case(_) => {
                let value = self.value(expr, deeper)?;
                (value.class()? == Class::Bool).then_some(value.sql)
            }
            _ => None,
        }
    }

    fn comparison(&self, left: &Expr, op: Operator, right: &Expr, depth: usize) -> Option<String> {
        let (value, op, other) = match (left, right) {
            (Expr::Literal(..), other) => (other, op.swap()?, left),
            _ => (left, op, right),
        };
        let (sign, ordered) = match op {
            Operator::Eq => ("=", false),
            Operator::NotEq => ("<>", false),
            Operator::IsDistinctFrom => ("IS DISTINCT FROM", false),
            Operator::IsNotDistinctFrom => ("IS NOT DISTINCT FROM", false),
            Operator::Lt => ("<", true),
            Operator::LtEq => ("<=", true),
            Operator::Gt => (">", true),
            Operator::GtEq => (">=", true),
            _ => return None,
        };
        let value = self.operand(value, depth)?;
        value.class()?;
        let (left, right) = match other {
            Expr::Literal(other, _) => {
                let left = if ordered { value.order_key()? } else { value.key() };
                (left.into_owned(), constant(&value.mapping, other)?)
            }
            other => value.pair(&self.operand(other, depth)?, ordered)?,
        };
        Some(format!("({left} {sign} {right})"))
    }

    fn list(&self, list: &InList, depth: usize) -> Option<String> {
        if list.list.is_empty() || list.list.len() > MAX_LIST {
            return None;
        }
        let value = self.operand(&list.expr, depth)?;
        value.class()?;
        let constants = list.list.iter().map(|item| match item {
            Expr::Literal(item, _) => constant(&value.mapping, item),
            _ => None,
        });
        let constants = constants.collect::<Option<Vec<_>>>()?.join(", ");
        let word = if list.negated { "NOT IN" } else { "IN" };
        Some(format!("({} {word} ({constants}))", value.key()))
    }

    /// A pattern whose backslashes each escape something means the same in both.
    fn like(&self, like: &Like, depth: usize) -> Option<String> {
        let Expr::Literal(pattern, _) = like.pattern.as_ref() else {
            return None;
        };
        let pattern = pattern.try_as_str()??;
        if like.case_insensitive || !matches!(like.escape_char, None | Some('\\')) {
            return None;
        }
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            if c == '\\' && !matches!(chars.next(), Some('%' | '_' | '\\')) {
                return None;
            }
        }
        let value = self.operand(&like.expr, depth)?;
        if value.class()? != Class::Text || !value.collation.utf8 {
            return None;
        }
        let word = if like.negated { "NOT LIKE" } else { "LIKE" };
        Some(format!("({} {word} {})", value.key(), literal(pattern).ok()?))
    }

    /// A value that is compared: casts that lose nothing and change no order are looked through.
    fn operand(&self, expr: &Expr, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        match expr {
            Expr::Cast(Cast { expr, field }) => {
                let value = self.operand(expr, depth + 1)?;
                widens(&value.mapping.data_type, field.data_type()).then_some(value)
            }
            _ => self.value(expr, depth + 1),
        }
    }

    fn value(&self, expr: &Expr, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        match expr {
            Expr::Column(column) => self.names.column(column),
            Expr::Alias(alias) => self.value(&alias.expr, depth + 1),
            Expr::Literal(value, _) => Value::of_literal(value),
            Expr::Cast(Cast { expr, field }) => {
                let value = self.value(expr, depth + 1)?;
                if value.mapping.data_type == *field.data_type() {
                    return Some(value);
                }
                let exact = value.exact || !matches!(value.mapping.data_type, DataType::Decimal128(..));
                let cast = (value.class().is_some() && widens(&value.mapping.data_type, field.data_type()))
                    .then(|| Value::computed(&value.sql, field.data_type(), value.collation))??;
                Some(Value { exact, ..cast })
            }
            Expr::Case(case) => self.case(case, depth + 1),
            Expr::ScalarSubquery(subquery) if subquery.outer_ref_columns.is_empty() => {
                self.names.subquery(&subquery.subquery)
            }
            Expr::ScalarFunction(call) => self.call(expr, call, depth + 1),
            _ => Value::of_condition(self.condition(expr, depth + 1)?),
        }
    }

    fn case(&self, case: &Case, depth: usize) -> Option<Value> {
        let mut sql = "CASE".to_owned();
        let mut results = Vec::new();
        if case.expr.is_some() {
            return None;
        }
        for (when, then) in &case.when_then_expr {
            let (when, then) = (self.condition(when, depth)?, self.value(then, depth)?);
            let _infallible = write!(sql, " WHEN {when} THEN {}", then.sql);
            results.push(then);
        }
        if let Some(otherwise) = &case.else_expr {
            let otherwise = self.value(otherwise, depth)?;
            let _infallible = write!(sql, " ELSE {}", otherwise.sql);
            results.push(otherwise);
        }
        let first = results.first()?;
        let (data_type, class, collation) =
            (first.mapping.data_type.clone(), first.class()?, first.collation);
        let alike = |value: &Value| value.mapping.data_type == data_type && value.class() == Some(class);
        if !results.iter().all(alike) || matches!(class, Class::Oid | Class::Uuid) {
            return None;
        }
        let same = results.iter().all(|value| value.collation == collation);
        let utf8 = results.iter().all(|value| value.collation.utf8);
        let exact = results.iter().all(|value| value.exact);
        let collation = if same { collation } else { Collation::mixed(utf8) };
        let value = Value::computed(&format!("{sql} END"), &data_type, collation)?;
        Some(Value { exact, ..value })
    }

    fn call(&self, expr: &Expr, call: &ScalarFunction, depth: usize) -> Option<Value> {
        match (call.func.name(), call.args.as_slice()) {
            ("$add", [left, right]) => self.arithmetic(expr, left, "+", right, depth),
            ("$subtract", [left, right]) => self.arithmetic(expr, left, "-", right, depth),
            ("$multiply", [left, right]) => self.arithmetic(expr, left, "*", right, depth),
            ("$negate", [inner]) => {
                let value = self.number(inner, depth)?;
                let negative = Value::computed(
                    &format!("- {}", value.sql),
                    &value.mapping.data_type,
                    value.collation,
                )?;
                Some(Value {
                    exact: value.exact,
                    ..negative
                })
            }
            ("substr", [text, from]) => self.substring(text, from, None, depth),
            ("substr", [text, from, length]) => self.substring(text, from, Some(length), depth),
            _ => None,
        }
    }

    fn number(&self, expr: &Expr, depth: usize) -> Option<Value> {
        let value = self.value(expr, depth)?;
        (value.class()? == Class::Number).then_some(value)
    }

    /// Integers: the wider type of both in PostgreSQL too, and an error where it overflows. Decimals are exact.
    fn arithmetic(&self, expr: &Expr, left: &Expr, sign: &str, right: &Expr, depth: usize) -> Option<Value> {
        let data_type = self.names.data_type(expr)?;
        let (left, right) = (self.number(left, depth)?, self.number(right, depth)?);
        let widest = |data_type: &DataType| standing_for(data_type).map(|(_, mapping)| mapping.wire);
        let integers = [&left, &right]
            .iter()
            .all(|value| value.mapping.data_type.is_integer());
        if integers
            && ![&left, &right]
                .iter()
                .any(|v| Some(v.mapping.wire) == widest(&data_type))
        {
            return None;
        }
        let exact = |value: &Value| value.exact || value.mapping.data_type.is_integer();
        let exact = exact(&left) && exact(&right);
        let sql = format!("{} {sign} {}", left.sql, right.sql);
        let value = Value::computed(&sql, &data_type, left.collation)?;
        Some(Value { exact, ..value })
    }

    /// From a character on, the first being 1; other numbers mean other things in the two.
    fn substring(&self, text: &Expr, from: &Expr, length: Option<&Expr>, depth: usize) -> Option<Value> {
        let whole = |expr: &Expr| match expr {
            Expr::Literal(ScalarValue::Int64(Some(n)), _) => Some(*n),
            Expr::Literal(ScalarValue::Int32(Some(n)), _) => Some(i64::from(*n)),
            _ => None,
        };
        let from = whole(from).filter(|from| (1..=MAX_CHARACTERS).contains(from))?;
        let text = self.value(text, depth)?;
        if text.class()? != Class::Text || !text.collation.utf8 {
            return None;
        }
        let sql = match length {
            None => format!("substr({}::text, {from})", text.sql),
            Some(length) => {
                let length = whole(length).filter(|length| (0..=MAX_CHARACTERS).contains(length))?;
                format!("substr({}::text, {from}, {length})", text.sql)
            }
        };
        Value::computed(&sql, &DataType::Utf8, text.collation)
    }
}
