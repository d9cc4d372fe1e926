//! LIKE: Trino's patterns in the form that Arrow reads.

use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::expr::Like;
use datafusion::logical_expr::{Expr, lit};

use super::compare::{is_parameter, ty};
use super::error::{bad_argument, not_supported, type_mismatch};
use super::ty::Ty;
use crate::functions::internal;

/// Trino's LIKE has no escape character unless one is given; Arrow's always takes the backslash.
pub(super) fn pattern(mut like: Like, schema: &DFSchema) -> Result<Expr> {
    if like.case_insensitive {
        return Err(not_supported("ILIKE", "syntax"));
    }
    for side in [&like.expr, &like.pattern] {
        let found = ty(side, schema)?;
        if !matches!(found, Ty::Varchar | Ty::Unknown) && !is_parameter(side) {
            return Err(type_mismatch(format!(
                "Left side and pattern of LIKE must be varchar (actual: {found})"
            )));
        }
    }
    let escape = like.escape_char.take();
    *like.pattern = match (*like.pattern, escape) {
        (Expr::Literal(value, metadata), escape) => match value.try_as_str().flatten() {
            None => Expr::Literal(value, metadata),
            Some(text) => lit(arrow_pattern(text, escape)?),
        },
        (pattern, None) => internal::call("replace", vec![pattern, lit("\\"), lit("\\\\")]),
        (_, Some(_)) => {
            return Err(not_supported(
                "LIKE with ESCAPE and a pattern that is not a literal",
                "like",
            ));
        }
    };
    Ok(Expr::Like(like))
}

fn arrow_pattern(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars();
    while let Some(ch) = chars.next() {
        if Some(ch) == escape {
            let next = chars
                .next()
                .filter(|n| matches!(n, '%' | '_') || Some(*n) == escape);
            let Some(next) = next else {
                return Err(bad_argument(
                    "Escape character must be followed by '%', '_' or the escape character itself",
                ));
            };
            if matches!(next, '%' | '_' | '\\') {
                out.push('\\');
            }
            out.push(next);
        } else {
            if ch == '\\' {
                out.push('\\');
            }
            out.push(ch);
        }
    }
    Ok(out)
}
