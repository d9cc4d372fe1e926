//! CAST and TRY_CAST: which pairs of types Trino has, and our own conversion where Arrow's differs.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TryCast, Volatility,
};

use super::compare::{field_of, is_parameter};
use super::error::{not_supported, type_mismatch};
use super::ty::{Ty, display, written_length};

/// How a pair of types converts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Nothing to do.
    Same,
    /// Arrow's conversion equals Trino's.
    Arrow,
    /// Ours.
    Own,
    /// Trino has no such cast.
    Mismatch,
    /// Trino has it, we do not.
    Refused(&'static str),
}

fn rule(from: Ty, to: Ty, same_type: bool) -> Rule {
    use Ty::{
        Array, Bigint, Boolean, Date, Decimal, Double, Integer, Json, Map, Real, Row, Smallint, Time,
        Timestamp, TimestampTz, Tinyint, Unknown, Varchar,
    };
    match (from, to) {
        (Unknown, _) => Rule::Arrow,
        (Json, Varchar | Boolean | Tinyint | Smallint | Integer | Bigint | Real | Double) => Rule::Own,
        (Json, Json) => Rule::Same,
        (Json, _) => Rule::Refused("json"),
        (_, Json) => Rule::Refused("json"),
        _ if same_type => Rule::Same,
        (f, t) if f.is_integer() && (t.is_numeric() || t == Boolean) => Rule::Arrow,
        (Boolean, t) if t.is_integer() || t.is_float() => Rule::Arrow,
        (Boolean, Decimal(..)) => Rule::Refused("casts"),
        (f, Boolean) if f.is_numeric() => Rule::Own,
        (Real, Double) | (Double, Real) => Rule::Arrow,
        (Decimal(..), Decimal(..)) => Rule::Arrow,
        (Decimal(..), Real | Double) => Rule::Own,
        (f, t) if (f.is_float() || matches!(f, Decimal(..))) && t.is_integer() => Rule::Own,
        (f, Decimal(..)) if f.is_float() => Rule::Own,
        (f, Varchar) if f.is_integer() || matches!(f, Decimal(..) | Boolean | Date) => Rule::Own,
        (f, Varchar) if f.is_float() || matches!(f, Timestamp(_) | TimestampTz) => Rule::Own,
        (Time, Varchar) => Rule::Refused("casts"),
        (Varchar, t) if t.is_numeric() || matches!(t, Boolean | Date | Timestamp(_)) => Rule::Own,
        (Varchar, TimestampTz | Time) => Rule::Refused("timestamp-with-time-zone"),
        (Date, Timestamp(_) | TimestampTz) => Rule::Arrow,
        (Timestamp(_) | TimestampTz, Date) => Rule::Arrow,
        (Timestamp(_) | TimestampTz, Timestamp(_) | TimestampTz) => Rule::Own,
        (Timestamp(_) | TimestampTz, Time) => Rule::Refused("casts"),
        (Array, Array) | (Row, Row) | (Map, Map) => Rule::Refused("casts"),
        _ => Rule::Mismatch,
    }
}

/// Rewrites a cast to what Trino would compute.
pub(super) fn cast(inner: Expr, to: FieldRef, try_cast: bool, schema: &DFSchema) -> Result<Expr> {
    let plain = |inner: Expr, to: FieldRef| {
        let inner = Box::new(inner);
        if try_cast {
            Expr::TryCast(TryCast::new_from_field(inner, to))
        } else {
            Expr::Cast(Cast::new_from_field(inner, to))
        }
    };
    // TIMESTAMP and DATE literals arrive as casts of text too.
    let length = written_length(to.name());
    let to: FieldRef = Arc::new(Field::new("", to.data_type().clone(), true));
    if is_parameter(&inner) {
        return Ok(plain(inner, to));
    }
    let from = field_of(&inner, schema)?;
    let (f, t) = (Ty::of_field(&from), Ty::of_field(&to));
    let same_type = f == t && (!f.is_nested() || from.data_type() == to.data_type());
    match rule(f, t, same_type) {
        Rule::Same if length.is_none() && from.data_type() == to.data_type() => Ok(inner),
        Rule::Same if length.is_none() => Ok(plain(inner, to)),
        Rule::Arrow if length.is_none() => Ok(plain(inner, to)),
        Rule::Same | Rule::Arrow | Rule::Own => Ok(own(inner, CastFunction::new(f, &to, length, try_cast))),
        Rule::Mismatch => Err(type_mismatch(format!(
            "Cannot cast {} to {}",
            display(&from),
            display(&to)
        ))),
        Rule::Refused(anchor) => Err(not_supported(
            &format!("CAST from {} to {}", display(&from), display(&to)),
            anchor,
        )),
    }
}

/// A value in the type that an operator needs, which Trino converts to without a CAST.
pub(super) fn implicit(inner: Expr, from: &Field, to: &DataType) -> Expr {
    match Ty::of_field(from) {
        decimal @ Ty::Decimal(..) if Ty::of_type(to).is_float() => own(
            inner,
            CastFunction::new(decimal, &Field::new("", to.clone(), true), None, false),
        ),
        _ => Expr::Cast(Cast::new(Box::new(inner), to.clone())),
    }
}

/// Constants convert here, so that typed literals stay literals for pruning; failures are left to the execution.
fn own(inner: Expr, function: CastFunction) -> Expr {
    if let Expr::Literal(value, _) = &inner
        && let Ok(array) = value.to_array()
        && let Ok(done) = function.convert(&array)
        && let Ok(folded) = ScalarValue::try_from_array(&done, 0)
    {
        return Expr::Literal(folded, None);
    }
    Expr::ScalarFunction(ScalarFunction::new_udf(
        Arc::new(ScalarUDF::new_from_impl(function)),
        vec![inner],
    ))
}

/// One conversion as a function of one argument.
#[derive(Debug)]
pub(super) struct CastFunction {
    /// The argument is `json`.
    pub(super) from_json: bool,
    /// The target type.
    pub(super) to: DataType,
    /// The length of `varchar(n)`.
    pub(super) length: Option<usize>,
    /// Failures are NULL.
    pub(super) try_cast: bool,
    signature: Signature,
}

impl CastFunction {
    fn new(from: Ty, to: &Field, length: Option<usize>, try_cast: bool) -> Self {
        Self {
            from_json: from == Ty::Json,
            to: to.data_type().clone(),
            length,
            try_cast,
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl PartialEq for CastFunction {
    fn eq(&self, other: &Self) -> bool {
        (self.from_json, &self.to, self.length, self.try_cast)
            == (other.from_json, &other.to, other.length, other.try_cast)
    }
}
impl Eq for CastFunction {}
impl Hash for CastFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.from_json, &self.to, self.length, self.try_cast).hash(state);
    }
}

impl ScalarUDFImpl for CastFunction {
    fn name(&self) -> &str {
        if self.try_cast { "$try_cast" } else { "$cast" }
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let inner = args
            .first()
            .map(|a| a.schema_name().to_string())
            .unwrap_or_default();
        Ok(format!(
            "{}({inner} AS {})",
            if self.try_cast { "TRY_CAST" } else { "CAST" },
            self.to
        ))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), self.to.clone(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(arg) = args.args.first() else {
            return Err(DataFusionError::Internal("a cast has one argument".into()));
        };
        match arg {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(self.convert(array)?)),
            ColumnarValue::Scalar(value) => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &self.convert(&value.to_array()?)?,
                0,
            )?)),
        }
    }
}
