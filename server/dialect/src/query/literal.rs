//! Literals and operators that Trino has, and the sentences for expressions that it has not.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, DateTimeField, ExactNumberInfo, Expr, Interval, Spanned, Value,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::rewrite::{Outcome, not_supported, syntax};
use crate::DialectError;
use crate::ddl::shown;

pub(super) fn literal(value: &mut Value, span: Span) -> Outcome {
    match value {
        Value::Number(_, false)
        | Value::SingleQuotedString(_)
        | Value::Boolean(_)
        | Value::Null
        | Value::Placeholder(_) => Ok(()),
        Value::UnicodeStringLiteral(text) => {
            *value = Value::SingleQuotedString(std::mem::take(text));
            Ok(())
        }
        Value::HexStringLiteral(digits) => {
            digits.retain(|c| !c.is_ascii_whitespace());
            if digits.len() % 2 == 0 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Ok(());
            }
            Err(syntax(
                "a binary literal has an even number of hexadecimal digits",
                span,
            ))
        }
        other => Err(syntax(
            format!("mismatched input {}", shown(&other.to_string())),
            span,
        )),
    }
}

/// `DATE '...'` and the like. What may be inside the quotes is checked with the types.
pub(super) fn typed_literal(data_type: &DataType, span: Span) -> Outcome {
    match data_type {
        DataType::Date
        | DataType::Timestamp(..)
        | DataType::Time(..)
        | DataType::Boolean
        | DataType::TinyInt(None)
        | DataType::SmallInt(None)
        | DataType::Int(None)
        | DataType::Integer(None)
        | DataType::BigInt(None)
        | DataType::Real
        | DataType::Double(ExactNumberInfo::None)
        | DataType::DoublePrecision
        | DataType::Varchar(None)
        | DataType::JSON
        | DataType::Decimal(_) => Ok(()),
        other => Err(syntax(
            format!("Unknown type: {}", shown(&other.to_string().to_lowercase())),
            span,
        )),
    }
}

pub(super) fn binary_operator(op: &BinaryOperator, span: Span) -> Outcome {
    use BinaryOperator as Op;
    match op {
        Op::Plus
        | Op::Minus
        | Op::Multiply
        | Op::Divide
        | Op::Modulo
        | Op::StringConcat
        | Op::Gt
        | Op::Lt
        | Op::GtEq
        | Op::LtEq
        | Op::Eq
        | Op::NotEq => Ok(()),
        other => Err(syntax(format!("mismatched input '{other}'"), span)),
    }
}

/// `INTERVAL '2' DAY`: digits in quotes and one of six units.
pub(super) fn interval_literal(interval: &mut Interval) -> Outcome {
    let span = interval.value.span();
    let Expr::Value(value) = interval.value.as_ref() else {
        return Err(syntax("an interval's value stands in quotes", span));
    };
    let Value::SingleQuotedString(text) = &value.value else {
        return Err(syntax("an interval's value stands in quotes", span));
    };
    if interval.last_field.is_some() {
        return Err(not_supported(
            "an interval over several units (such as YEAR TO MONTH)",
            span,
        ));
    }
    if interval.leading_precision.is_some() || interval.fractional_seconds_precision.is_some() {
        return Err(syntax("an interval's unit has no precision", span));
    }
    let seconds = match &interval.leading_field {
        Some(DateTimeField::Second) => true,
        Some(
            DateTimeField::Year
            | DateTimeField::Month
            | DateTimeField::Day
            | DateTimeField::Hour
            | DateTimeField::Minute,
        ) => false,
        _ => {
            return Err(syntax(
                "an interval's unit is YEAR, MONTH, DAY, HOUR, MINUTE or SECOND",
                span,
            ));
        }
    };
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let dot = digits.contains('.');
    if whole.is_empty()
        || whole.len() > 9
        || !number(whole)
        || !number(fraction)
        || (dot && (!seconds || fraction.len() > 3))
    {
        return Err(syntax(format!("Invalid interval value: '{}'", shown(text)), span));
    }
    Ok(())
}

/// The sentence for an expression that Trino has not, or that is not built here.
pub(super) fn refused(expr: &Expr) -> DialectError {
    let span = expr.span();
    let (word, hint) = match expr {
        Expr::AtTimeZone { .. } => return not_supported("AT TIME ZONE", span),
        Expr::Tuple(_) => {
            return not_supported("a row value in brackets", span)
                .with_hint("Compare the columns one by one.");
        }
        Expr::IsNormalized { .. } => return not_supported("IS NORMALIZED", span),
        Expr::ILike { .. } => ("ILIKE", "Write lower(value) LIKE pattern."),
        Expr::SimilarTo { .. } => ("SIMILAR TO", "Write regexp_like(text, pattern)."),
        Expr::RLike { .. } => ("RLIKE", "Write regexp_like(text, pattern)."),
        Expr::Like { .. } => ("ANY after LIKE", "Write one LIKE per pattern."),
        Expr::IsTrue(_) | Expr::IsNotTrue(_) => ("IS TRUE", "Write coalesce(condition, false)."),
        Expr::IsFalse(_) | Expr::IsNotFalse(_) => ("IS FALSE", "Write NOT coalesce(condition, true)."),
        Expr::IsUnknown(_) | Expr::IsNotUnknown(_) => ("IS UNKNOWN", "Write IS NULL."),
        Expr::Cast { .. } => ("::", "Write CAST(value AS type)."),
        Expr::Convert { .. } => ("CONVERT", "Write CAST(value AS type)."),
        Expr::Collate { .. } => ("COLLATE", ""),
        Expr::Overlay { .. } => ("OVERLAY", ""),
        Expr::Ceil { .. } => ("CEIL with a second argument", ""),
        Expr::Floor { .. } => ("FLOOR with a second argument", ""),
        Expr::Extract { .. } => ("EXTRACT with a comma", "Write EXTRACT(field FROM value)."),
        Expr::Array(_) => ("[", "Write ARRAY[...]."),
        Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => {
            ("GROUPING SETS, CUBE or ROLLUP", "They stand in GROUP BY.")
        }
        Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => ("*", ""),
        _ => return syntax(format!("mismatched input '{}'", shown(&expr.to_string())), span),
    };
    let error = syntax(format!("mismatched input '{word}'"), span);
    if hint.is_empty() {
        error
    } else {
        error.with_hint(hint)
    }
}
