//! Overloads of Trino functions: which argument types are accepted and what comes out.
//!
//! The choice follows Trino: numbers widen, `date` widens to `timestamp`, nothing turns into or out of text.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::error::Result;
use owlake_fault::{Code, Fault};

use super::call::Call;
use crate::semantics::error::fault;
use crate::semantics::ty::{Ty, common_type};

/// What one parameter accepts, and the Arrow type the function body then sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Param {
    /// `boolean`.
    Bool,
    /// Any integer, seen as Int64.
    Bigint,
    /// Any number, seen as Float64.
    Double,
    /// `real` alone, seen as Float32.
    Real,
    /// Any decimal, type kept.
    Decimal,
    /// Any integer, type kept.
    Integer,
    /// Any number, type kept.
    Number,
    /// `varchar`, seen as Utf8.
    Varchar,
    /// `varbinary`, seen as Binary.
    Varbinary,
    /// `date`.
    Date,
    /// `timestamp` of any precision, with zone UTC or without (and `date`, seen as milliseconds).
    Timestamp,
    /// Any array, seen as List.
    Array,
    /// Any map.
    Map,
    /// A value of the element type of argument 0.
    Element,
    /// A value of the key type of argument 0.
    Key,
    /// Any value.
    Any,
    /// A value of the common type of all `Common` arguments.
    Common,
    /// An array whose element type is the common one of all `CommonArray` arguments.
    CommonArray,
}

/// What comes out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Returns {
    /// Always this type.
    Type(&'static DataType),
    /// The (coerced) type of this argument.
    Same(usize),
    /// The element type of this array argument.
    ElementOf(usize),
    /// The value type of this map argument.
    ValueOf(usize),
    /// An array of the (coerced) type of this argument.
    ArrayOf(usize),
    /// Computed from the coerced types.
    Computed(fn(&[DataType]) -> Result<DataType>),
}

/// The body of a function: whole columns in, one column out.
pub(crate) type Body = fn(&Call) -> Result<arrow::array::ArrayRef>;

/// One way to call a function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overload {
    /// Parameters; the last one repeats when `variadic`.
    pub(crate) params: &'static [Param],
    /// Whether the last parameter may repeat any number of times (at least once).
    pub(crate) variadic: bool,
    /// Result type.
    pub(crate) returns: Returns,
    /// Implementation.
    pub(crate) body: Body,
}

/// An overload with fixed parameters.
pub(crate) const fn over(params: &'static [Param], returns: &'static DataType, body: Body) -> Overload {
    Overload {
        params,
        variadic: false,
        returns: Returns::Type(returns),
        body,
    }
}

/// An overload whose result type depends on its arguments.
pub(crate) const fn generic(params: &'static [Param], returns: Returns, body: Body) -> Overload {
    Overload {
        params,
        variadic: false,
        returns,
        body,
    }
}

/// An overload whose last parameter repeats.
pub(crate) const fn variadic(params: &'static [Param], returns: Returns, body: Body) -> Overload {
    Overload {
        params,
        variadic: true,
        returns,
        body,
    }
}

/// Milliseconds since the epoch without zone: the `timestamp` of Athena's tables.
pub(crate) const TIMESTAMP_MS: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// A nullable list of `item`.
pub(crate) fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

/// Element type of a list, `Null` for an untyped one.
pub(crate) fn element_of(list: &DataType) -> DataType {
    match list {
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::FixedSizeList(f, _)
        | DataType::ListView(f) => f.data_type().clone(),
        _ => DataType::Null,
    }
}

/// Key and value type of a map.
pub(crate) fn entry_of(map: &DataType) -> Option<(DataType, DataType)> {
    let DataType::Map(entries, _) = map else {
        return None;
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return None;
    };
    Some((
        fields.first()?.data_type().clone(),
        fields.get(1)?.data_type().clone(),
    ))
}

impl Overload {
    fn param(&self, i: usize) -> Option<Param> {
        match self.params.get(i) {
            Some(p) => Some(*p),
            None if self.variadic => self.params.last().copied(),
            None => None,
        }
    }

    /// Coerced argument types and the distance from the given ones; `None` when this overload does not apply.
    fn accept(&self, types: &[DataType]) -> Option<(Vec<DataType>, u32)> {
        if types.len() < self.params.len() || (!self.variadic && types.len() > self.params.len()) {
            return None;
        }
        let common = self.common(types, Param::Common, Clone::clone)?;
        let common_array = self.common(types, Param::CommonArray, element_of)?;
        let mut distance = 0;
        let mut coerced: Vec<DataType> = Vec::with_capacity(types.len());
        for (i, from) in types.iter().enumerate() {
            let param = self.param(i)?;
            let (to, cost) = match param {
                Param::Common => (common.clone()?, 0),
                Param::CommonArray if matches!(Ty::of_type(from), Ty::Array | Ty::Unknown) => {
                    (list_of(common_array.clone()?), 0)
                }
                Param::CommonArray => return None,
                // The element and its array meet in their common type; the array itself is not converted.
                Param::Element => (coerce_to(from, &element_of(coerced.first()?))?, 0),
                Param::Key => (coerce_to(from, &entry_of(coerced.first()?)?.0)?, 0),
                other => simple(other, from)?,
            };
            distance += cost;
            coerced.push(to);
        }
        Some((coerced, distance))
    }

    fn common(
        &self,
        types: &[DataType],
        which: Param,
        part: fn(&DataType) -> DataType,
    ) -> Option<Option<DataType>> {
        let mut common: Option<DataType> = None;
        for (i, from) in types.iter().enumerate() {
            if self.param(i) != Some(which) {
                continue;
            }
            let part = part(from);
            common = Some(match common {
                None => canonical(&part),
                Some(sofar) => common_type(&sofar, &part)?,
            });
        }
        Some(common)
    }

    /// The result type for coerced argument types.
    pub(crate) fn return_type(&self, coerced: &[DataType]) -> Result<DataType> {
        let at = |i: usize| coerced.get(i).cloned().unwrap_or(DataType::Null);
        Ok(match self.returns {
            Returns::Type(t) => t.clone(),
            Returns::Same(i) => at(i),
            Returns::ElementOf(i) => element_of(&at(i)),
            Returns::ValueOf(i) => entry_of(&at(i)).map_or(DataType::Null, |(_, v)| v),
            Returns::ArrayOf(i) => list_of(at(i)),
            Returns::Computed(f) => f(coerced)?,
        })
    }
}

/// The one Arrow type that stands for a Trino type inside functions.
pub(crate) fn canonical(from: &DataType) -> DataType {
    match from {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Date64 => TIMESTAMP_MS,
        DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::ListView(_) => {
            list_of(element_of(from))
        }
        DataType::Dictionary(_, value) => canonical(value),
        other => other.clone(),
    }
}

fn coerce_to(from: &DataType, to: &DataType) -> Option<DataType> {
    match common_type(from, to)? {
        // Wider than the element: the comparison happens in the element's type only when nothing is lost.
        _ if Ty::of_type(from) == Ty::Unknown => Some(to.clone()),
        _ if Ty::of_type(to) == Ty::Unknown => Some(canonical(from)),
        common if common == canonical(to) => Some(to.clone()),
        common => Some(common),
    }
}

fn simple(param: Param, from: &DataType) -> Option<(DataType, u32)> {
    let ty = Ty::of_type(from);
    if ty == Ty::Unknown {
        return Some((placeholder(param), 1));
    }
    Some(match param {
        Param::Bool if ty == Ty::Boolean => (DataType::Boolean, 0),
        Param::Bigint if ty.is_integer() => (DataType::Int64, u32::from(ty != Ty::Bigint)),
        Param::Integer if ty.is_integer() => (canonical(from), 0),
        Param::Real if ty == Ty::Real => (DataType::Float32, 0),
        Param::Double if ty == Ty::Double => (DataType::Float64, 0),
        Param::Double if ty.is_numeric() => (DataType::Float64, 3),
        Param::Decimal if matches!(ty, Ty::Decimal(..)) => (from.clone(), 0),
        Param::Number if ty.is_numeric() => (canonical(from), 0),
        Param::Varchar if ty == Ty::Varchar => (DataType::Utf8, 0),
        Param::Varbinary if ty == Ty::Varbinary => (DataType::Binary, 0),
        Param::Date if ty == Ty::Date => (DataType::Date32, 0),
        Param::Timestamp if matches!(ty, Ty::Timestamp(_) | Ty::TimestampTz) => (canonical(from), 0),
        Param::Timestamp if ty == Ty::Date => (TIMESTAMP_MS, 2),
        Param::Array if ty == Ty::Array => (canonical(from), 0),
        Param::Map if ty == Ty::Map => (from.clone(), 0),
        Param::Any => (canonical(from), 4),
        _ => return None,
    })
}

/// The type an untyped NULL takes at a parameter.
fn placeholder(param: Param) -> DataType {
    match param {
        Param::Bool => DataType::Boolean,
        Param::Bigint | Param::Integer | Param::Number => DataType::Int64,
        Param::Double | Param::Decimal => DataType::Float64,
        Param::Real => DataType::Float32,
        Param::Varchar => DataType::Utf8,
        Param::Varbinary => DataType::Binary,
        Param::Date => DataType::Date32,
        Param::Timestamp => TIMESTAMP_MS,
        Param::Array => list_of(DataType::Null),
        _ => DataType::Null,
    }
}

/// The nearest overload for these argument types.
///
/// # Errors
/// `TYPE_MISMATCH` with the accepted forms when none applies.
pub(crate) fn choose<'a>(
    name: &str,
    overloads: &'a [Overload],
    types: &[DataType],
) -> Result<(&'a Overload, Vec<DataType>)> {
    let mut best: Option<(&Overload, Vec<DataType>, u32)> = None;
    for overload in overloads {
        if let Some((coerced, distance)) = overload.accept(types)
            && best.as_ref().is_none_or(|(_, _, least)| distance < *least)
        {
            best = Some((overload, coerced, distance));
        }
    }
    best.map(|(o, c, _)| (o, c))
        .ok_or_else(|| fault(unexpected_parameters(name, overloads, types)))
}

fn unexpected_parameters(name: &str, overloads: &[Overload], types: &[DataType]) -> Fault {
    let given = types
        .iter()
        .map(|t| Ty::of_type(t).to_string())
        .collect::<Vec<_>>()
        .join(", ");
    let forms = overloads
        .iter()
        .map(|o| {
            let params = o
                .params
                .iter()
                .map(|p| p.trino_name())
                .collect::<Vec<_>>()
                .join(", ");
            format!("{name}({params}{})", if o.variadic { ", ..." } else { "" })
        })
        .collect::<Vec<_>>()
        .join(", ");
    Fault::new(
        Code::TypeMismatch,
        format!("Unexpected parameters ({given}) for function {name}. Expected: {forms}"),
    )
}

impl Param {
    fn trino_name(self) -> &'static str {
        match self {
            Param::Bool => "boolean",
            Param::Bigint | Param::Integer => "bigint",
            Param::Double => "double",
            Param::Real => "real",
            Param::Decimal => "decimal(p, s)",
            Param::Number => "number",
            Param::Varchar => "varchar",
            Param::Varbinary => "varbinary",
            Param::Date => "date",
            Param::Timestamp => "timestamp",
            Param::Array | Param::CommonArray => "array(T)",
            Param::Map => "map(K, V)",
            Param::Element | Param::Any | Param::Common => "T",
            Param::Key => "K",
        }
    }
}
