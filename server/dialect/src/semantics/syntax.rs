//! What only the syntax tree still shows: exponent literals, the precision of timestamp literals, forms Trino lacks.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    Statement, TimezoneInfo, TypedString, Value, VisitMut, VisitorMut,
};
use owlake_fault::{Code, Fault};

/// Rewrites literals whose Trino type the planner could not tell, and refuses forms that would plan as something else.
///
/// Runs on a query before `statement_to_plan`.
///
/// # Errors
/// `NOT_SUPPORTED` and `SYNTAX_ERROR`.
pub fn prepare(statement: &mut Statement) -> Result<(), Fault> {
    match statement.visit(&mut Literals) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(fault) => Err(fault),
    }
}

struct Literals;

impl VisitorMut for Literals {
    type Break = Fault;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Fault> {
        match rewrite(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(fault) => ControlFlow::Break(fault),
        }
    }
}

fn refused(what: &str, anchor: &str) -> Fault {
    Fault::new(
        Code::NotSupported,
        format!("{what} is not built yet; see docs/sql-differences.md#{anchor}"),
    )
}

fn rewrite(expr: &mut Expr) -> Result<(), Fault> {
    match expr {
        Expr::Value(value) => {
            // 1E0 is double; the planner would make a decimal of it.
            if let Value::Number(text, _) = &value.value
                && text.contains(['e', 'E'])
            {
                let text = Value::SingleQuotedString(text.clone());
                let value = text.with_span(value.span);
                *expr = Expr::TypedString(TypedString {
                    data_type: DataType::Double(ExactNumberInfo::None),
                    value,
                    uses_odbc_syntax: false,
                });
            }
            Ok(())
        }
        Expr::TypedString(literal) => typed_literal(literal),
        Expr::AtTimeZone { .. } => Err(refused("AT TIME ZONE", "timestamp-with-time-zone")),
        Expr::Cast {
            kind: CastKind::DoubleColon | CastKind::SafeCast,
            ..
        } => {
            Err(Fault::new(Code::SyntaxError, "mismatched input '::'").with_hint("Write CAST(value AS type)"))
        }
        Expr::Function(function) => {
            let niladic = matches!(
                function.args,
                datafusion::sql::sqlparser::ast::FunctionArguments::None
            );
            let name = function.name.to_string().to_lowercase();
            if niladic && matches!(name.as_str(), "localtimestamp" | "localtime" | "current_time") {
                return Err(refused(&name, "time"));
            }
            function_form(&name, &function.args)
        }
        Expr::ILike { .. } => Err(Fault::new(Code::SyntaxError, "mismatched input 'ILIKE'")
            .with_hint("Write lower(value) LIKE pattern")),
        Expr::Identifier(Ident {
            value,
            quote_style: None,
            ..
        }) if value.eq_ignore_ascii_case("localtimestamp") => Err(refused("localtimestamp", "time")),
        _ => Ok(()),
    }
}

/// A name that only the planner's own rewrites have, and arguments that it does not know.
fn function_form(name: &str, args: &FunctionArguments) -> Result<(), Fault> {
    if name == crate::functions::PLANNER_TRIM {
        let why = format!("Function '{name}' not registered");
        return Err(Fault::new(Code::FunctionNotFound, why).with_hint("Write trim(text)."));
    }
    let FunctionArguments::List(list) = args else {
        return Ok(());
    };
    let lambda =
        |arg: &FunctionArg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Lambda(_))));
    // Functions that take nothing else are refused by their names.
    let known = crate::functions::is_refused(name);
    if !known && list.args.iter().any(lambda) {
        return Err(refused(
            &format!("{name} with a lambda"),
            "functions-that-are-refused",
        ));
    }
    Ok(())
}

fn typed_literal(literal: &mut TypedString) -> Result<(), Fault> {
    let text = literal.value.value.to_string();
    let text = text.trim_matches('\'').trim();
    match &literal.data_type {
        DataType::Timestamp(None, TimezoneInfo::None) => {
            // After the time only digits may follow; anything else names a zone.
            let time = text.split_once(' ').map_or("", |(_, time)| time);
            if time.contains(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.'))) {
                return Err(refused(
                    "a TIMESTAMP literal with a time zone",
                    "timestamp-with-time-zone",
                ));
            }
            let precision = match time.split_once('.').map_or(0, |(_, fraction)| fraction.len()) {
                0 => 0,
                1..=3 => 3,
                4..=6 => 6,
                7..=9 => 9,
                other => {
                    return Err(refused(
                        &format!("a timestamp literal with {other} fraction digits"),
                        "timestamp-precision",
                    ));
                }
            };
            literal.data_type = DataType::Timestamp(Some(precision), TimezoneInfo::None);
            Ok(())
        }
        DataType::Timestamp(..) => Err(refused(
            "a TIMESTAMP literal with a time zone",
            "timestamp-with-time-zone",
        )),
        DataType::Decimal(ExactNumberInfo::None) => {
            literal.data_type = decimal_of(text)?;
            Ok(())
        }
        DataType::Time(..) => Err(refused("the type time", "time")),
        DataType::JSON => Err(refused("a JSON literal (use json_parse)", "json")),
        _ => Ok(()),
    }
}

/// The type of `DECIMAL '12.34'`: as many digits as are written, leading zeros left out. The planner would round to scale 0.
fn decimal_of(text: &str) -> Result<DataType, Fault> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !numeric(whole) || !numeric(fraction) {
        return Err(Fault::new(
            Code::InvalidCastArgument,
            "the text of a DECIMAL literal is not a decimal number",
        ));
    }
    let precision = (whole.trim_start_matches('0').len() + fraction.len()).max(1);
    match (u64::try_from(precision), i64::try_from(fraction.len())) {
        (Ok(precision), Ok(scale)) if precision <= 38 => Ok(DataType::Decimal(
            ExactNumberInfo::PrecisionAndScale(precision, scale),
        )),
        _ => Err(Fault::new(
            Code::InvalidCastArgument,
            "a DECIMAL literal has more than 38 digits",
        )),
    }
}
