//! Our own scalar functions as DataFusion sees them: a static description behind one `ScalarUDFImpl`.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::call::Call;
use super::nearest::decimal_to_float;
use super::signature::{Overload, Param, canonical, choose};
use super::space::Space;
use crate::semantics::error::type_mismatch;
use crate::semantics::ty::{Ty, json_metadata};

/// A function: names, ways to call it, bodies.
#[derive(Debug)]
pub(crate) struct Spec {
    /// Trino's name, lower case.
    pub(crate) name: &'static str,
    /// Trino's other names.
    pub(crate) aliases: &'static [&'static str],
    /// Ways to call it, nearest first.
    pub(crate) overloads: &'static [Overload],
    /// How `json` takes part.
    pub(crate) json: Json,
    /// Whether equal arguments give equal results.
    pub(crate) volatile: bool,
}

/// Which arguments may be, and whether the result is, `json` (text in Arrow, marked in the field's metadata).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Json {
    /// No `json` in, none out.
    None,
    /// Argument 0 may be `json`.
    In,
    /// Argument 0 may be `json`, the result is.
    InOut,
    /// The result is `json`.
    Out,
}

/// A function without `json`.
pub(crate) const fn spec(
    name: &'static str,
    aliases: &'static [&'static str],
    overloads: &'static [Overload],
) -> Spec {
    Spec {
        name,
        aliases,
        overloads,
        json: Json::None,
        volatile: false,
    }
}

/// A function that reads or makes `json`.
pub(crate) const fn json_spec(name: &'static str, json: Json, overloads: &'static [Overload]) -> Spec {
    Spec {
        name,
        aliases: &[],
        overloads,
        json,
        volatile: false,
    }
}

/// The UDF of a [`Spec`].
#[derive(Debug)]
pub(crate) struct TrinoFunction {
    spec: &'static Spec,
    aliases: Vec<String>,
    signature: Signature,
    known: Option<Known>,
}

/// What the semantic pass has worked out about one call. Long chains of operators would otherwise resolve their
/// types, and spell their names, from the leaves again at every step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The result.
    pub(crate) field: FieldRef,
    /// Stands for the call and its arguments as first written, in names.
    pub(crate) id: u64,
}

impl TrinoFunction {
    /// Whether some number becomes a `double` in a call.
    pub(crate) fn takes_doubles(&self) -> bool {
        let double = |overload: &Overload| overload.params.contains(&Param::Double);
        self.spec.overloads.iter().any(double)
    }

    /// The knowledge about this one call.
    pub(crate) fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }
}

impl PartialEq for TrinoFunction {
    fn eq(&self, other: &Self) -> bool {
        self.spec.name == other.spec.name && self.known == other.known
    }
}
impl Eq for TrinoFunction {}
impl Hash for TrinoFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.spec.name.hash(state);
    }
}

/// Makes the UDF of a spec.
pub(crate) fn udf(spec: &'static Spec) -> Arc<ScalarUDF> {
    make(spec, None)
}

/// The UDF of one call whose argument types need no conversion and whose result type is known.
pub(crate) fn known_udf(spec: &'static Spec, returns: DataType, id: u64) -> Arc<ScalarUDF> {
    make(
        spec,
        Some(Known {
            field: Arc::new(Field::new(spec.name, returns, true)),
            id,
        }),
    )
}

fn make(spec: &'static Spec, known: Option<Known>) -> Arc<ScalarUDF> {
    let volatility = if spec.volatile {
        Volatility::Volatile
    } else {
        Volatility::Immutable
    };
    // Functions without parameters need their own signature kind.
    let signature = if spec.overloads.iter().all(|o| o.params.is_empty()) {
        Signature::nullary(volatility)
    } else {
        Signature::user_defined(volatility)
    };
    Arc::new(ScalarUDF::new_from_impl(TrinoFunction {
        spec,
        aliases: spec.aliases.iter().map(|a| (*a).to_owned()).collect(),
        signature,
        known,
    }))
}

impl ScalarUDFImpl for TrinoFunction {
    fn name(&self) -> &str {
        self.spec.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        if let Some(known) = &self.known {
            return Ok(format!("{}#{:016x}", self.spec.name, known.id));
        }
        let args: Vec<_> = args.iter().map(|a| a.schema_name().to_string()).collect();
        Ok(format!("{}({})", self.spec.name, args.join(",")))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if self.known.is_some() {
            return Ok(arg_types.iter().map(canonical).collect());
        }
        Ok(choose(self.spec.name, self.spec.overloads, arg_types)?.1)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let (overload, coerced) = choose(self.spec.name, self.spec.overloads, arg_types)?;
        overload.return_type(&coerced)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        if let Some(known) = &self.known {
            return Ok(Arc::clone(&known.field));
        }
        let types: Vec<_> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        for (i, field) in args.arg_fields.iter().enumerate() {
            let allowed = i == 0 && matches!(self.spec.json, Json::In | Json::InOut);
            if Ty::of_field(field) == Ty::Json && !allowed {
                return Err(type_mismatch(format!(
                    "Unexpected parameters (json) for function {}: CAST the value to varchar first",
                    self.spec.name
                )));
            }
        }
        let field = Field::new(self.spec.name, self.return_type(&types)?, true);
        Ok(Arc::new(match self.spec.json {
            Json::Out | Json::InOut => field.with_metadata(json_metadata()),
            _ => field,
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = !self.spec.volatile && args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let types: Vec<_> = args.args.iter().map(ColumnarValue::data_type).collect();
        let (overload, coerced) = choose(self.spec.name, self.spec.overloads, &types)?;
        let columns = args
            .args
            .iter()
            .zip(&coerced)
            .map(|(arg, to)| column(arg, to))
            .collect::<Result<Vec<_>>>()?;
        let call = Call {
            name: self.spec.name,
            args: columns,
            fields: args.arg_fields,
            rows,
            returns: args.return_field.data_type().clone(),
            space: Space::of(&args.config_options),
            built: Cell::new(0),
        };
        let out = (overload.body)(&call)?;
        let out = if out.data_type() == &call.returns {
            out
        } else {
            arrow::compute::cast(&out, &call.returns)?
        };
        if constant && out.len() == 1 {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        if out.len() != rows {
            return Err(DataFusionError::Internal(format!(
                "{}: {} rows for {rows}",
                call.name,
                out.len()
            )));
        }
        Ok(ColumnarValue::Array(call.space.hold(out)?))
    }
}

/// The argument as an array (constants: length one) of the type the body expects.
fn column(arg: &ColumnarValue, to: &DataType) -> Result<ArrayRef> {
    let array = match arg {
        ColumnarValue::Array(array) => Arc::clone(array),
        ColumnarValue::Scalar(scalar) => scalar.to_array()?,
    };
    if array.data_type() == to {
        Ok(array)
    } else {
        decimal_to_float(&array, to)
    }
}
