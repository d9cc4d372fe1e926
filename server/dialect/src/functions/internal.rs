//! Functions that only the semantic pass calls: operators, subscripts, IEEE comparisons. No SQL text can name them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, Operator, ScalarUDF};

use super::signature::choose;
use super::udf::{Known, TrinoFunction, known_udf, udf};

static FUNCTIONS: LazyLock<HashMap<&'static str, Arc<ScalarUDF>>> = LazyLock::new(|| {
    let hidden = super::math::OPERATORS
        .iter()
        .chain(super::floats::SPECS)
        .chain(super::arrays::SUBSCRIPTS);
    super::specs()
        .chain(hidden)
        .map(|spec| (spec.name, udf(spec)))
        .collect()
});

/// A call of a function of ours by name.
///
/// The names are constants of this crate; an unknown one becomes a call that fails when planned.
pub(crate) fn call(name: &'static str, args: Vec<Expr>) -> Expr {
    match FUNCTIONS.get(name) {
        Some(function) => Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), args)),
        None => Expr::Column(datafusion::common::Column::from_name(name)),
    }
}

/// Integer or decimal arithmetic with range checks, for operands of these types.
pub(crate) fn operator(op: Operator, left: (Expr, &DataType), right: (Expr, &DataType)) -> Result<Expr> {
    let place = match op {
        Operator::Plus => 0,
        Operator::Minus => 1,
        Operator::Multiply => 2,
        Operator::Divide => 3,
        Operator::Modulo => 4,
        other => return Err(DataFusionError::Internal(format!("{other} is not arithmetic"))),
    };
    let spec = &super::math::OPERATORS[place];
    let types = [left.1.clone(), right.1.clone()];
    let (overload, coerced) = choose(spec.name, spec.overloads, &types)?;
    let function = known_udf(
        spec,
        overload.return_type(&coerced)?,
        id(spec.name, [&left.0, &right.0]),
    );
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(
        function,
        vec![left.0, right.0],
    )))
}

/// `a || b` of two texts.
pub(crate) fn concat_text(left: Expr, right: Expr) -> Result<Expr> {
    let spec = super::specs()
        .find(|s| s.name == "concat")
        .ok_or_else(|| DataFusionError::Internal("concat is missing".into()))?;
    let function = known_udf(spec, DataType::Utf8, id(spec.name, [&left, &right]));
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(
        function,
        vec![left, right],
    )))
}

/// A number for a call, the same for the same text, from the numbers of its arguments.
fn id(name: &str, args: [&Expr; 2]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    for arg in args {
        match arg {
            Expr::ScalarFunction(call) if let Some(known) = known(call) => known.id.hash(&mut hasher),
            other => other.schema_name().to_string().hash(&mut hasher),
        }
    }
    hasher.finish()
}

fn known(call: &ScalarFunction) -> Option<&Known> {
    call.func
        .inner()
        .downcast_ref::<TrinoFunction>()
        .and_then(TrinoFunction::known)
}

/// Whether some number becomes a `double` in a call.
pub(crate) fn takes_doubles(call: &ScalarFunction) -> bool {
    call.func
        .inner()
        .downcast_ref::<TrinoFunction>()
        .is_some_and(TrinoFunction::takes_doubles)
}

/// The type of a call that the semantic pass has already resolved.
pub(crate) fn known_field(call: &ScalarFunction) -> Option<&FieldRef> {
    known(call).map(|known| &known.field)
}

/// Comparisons of `real` and `double` by IEEE.
pub(crate) mod float_comparison {
    use datafusion::logical_expr::{Expr, Operator};

    /// Name of the function that `=` becomes.
    pub(crate) const EQUAL: &str = "$float_eq";

    /// The comparison as a function.
    pub(crate) fn call(op: Operator, left: Expr, right: Expr) -> Expr {
        let (name, left, right) = match op {
            Operator::Eq => (EQUAL, left, right),
            Operator::NotEq => ("$float_ne", left, right),
            Operator::Lt => ("$float_lt", left, right),
            Operator::LtEq => ("$float_le", left, right),
            Operator::Gt => ("$float_lt", right, left),
            _ => ("$float_le", right, left),
        };
        super::call(name, vec![left, right])
    }

    /// One NaN, the largest value: a key to sort by.
    pub(crate) fn ordered(value: Expr) -> Expr {
        super::call("$float_order", vec![value])
    }

    /// One NaN and one zero: what total order can compare as IS DISTINCT FROM does.
    pub(crate) fn normal(value: Expr) -> Expr {
        super::call("$float_normal", vec![value])
    }
}
