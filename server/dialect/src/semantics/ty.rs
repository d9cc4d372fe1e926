//! Trino's types as seen through Arrow's, and the implicit conversions between them.
//!
//! Trino widens numbers, `date` to `timestamp` and lengths of `varchar`; text never meets another type.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};

/// Field metadata key under which a column that is text in Arrow carries its Trino type (`json`).
pub(crate) const TYPE_KEY: &str = "owlake.type";
/// Name of the target field of a cast that the text has; casts the planner puts in have none.
///
/// A name, because the planner compares metadata of columns and never names of cast targets.
pub(crate) const WRITTEN: &str = "written";

/// The target field name that also carries the length of `varchar(n)`.
pub(crate) fn written_varchar(length: u64) -> String {
    format!("{WRITTEN}:{length}")
}

/// The length in the name of a cast target, where it has one.
pub(crate) fn written_length(name: &str) -> Option<usize> {
    name.strip_prefix(WRITTEN)?.strip_prefix(':')?.parse().ok()
}

/// A Trino type, as far as the rules need to tell types apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ty {
    /// The type of an untyped NULL.
    Unknown,
    /// `boolean`
    Boolean,
    /// `tinyint`
    Tinyint,
    /// `smallint`
    Smallint,
    /// `integer`
    Integer,
    /// `bigint`
    Bigint,
    /// `real`
    Real,
    /// `double`
    Double,
    /// `decimal(p, s)`
    Decimal(u8, i8),
    /// `varchar`
    Varchar,
    /// `varbinary`
    Varbinary,
    /// `date`
    Date,
    /// `timestamp` without zone
    Timestamp(TimeUnit),
    /// `timestamp with time zone`, the zone being UTC
    TimestampTz,
    /// `time`
    Time,
    /// Both interval types
    Interval,
    /// `json`, kept as its text
    Json,
    /// `array`
    Array,
    /// `map`
    Map,
    /// `row`
    Row,
    /// Nothing Trino has.
    Other,
}

impl Ty {
    /// The type of a column or expression; metadata tells `json` from `varchar`.
    pub(crate) fn of_field(field: &Field) -> Self {
        match Self::of_type(field.data_type()) {
            Ty::Varchar if field.metadata().get(TYPE_KEY).is_some_and(|t| t == "json") => Ty::Json,
            other => other,
        }
    }

    /// The type of an Arrow type alone.
    pub(crate) fn of_type(data_type: &DataType) -> Self {
        match data_type {
            DataType::Null => Ty::Unknown,
            DataType::Boolean => Ty::Boolean,
            DataType::Int8 => Ty::Tinyint,
            DataType::Int16 => Ty::Smallint,
            DataType::Int32 => Ty::Integer,
            // Unsigned numbers come from window functions only and are bigint to Trino.
            DataType::Int64 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                Ty::Bigint
            }
            DataType::Float16 | DataType::Float32 => Ty::Real,
            DataType::Float64 => Ty::Double,
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
                Ty::Decimal(*p, *s)
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ty::Varchar,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Ty::Varbinary,
            DataType::Date32 => Ty::Date,
            DataType::Date64 => Ty::Timestamp(TimeUnit::Millisecond),
            DataType::Timestamp(unit, None) => Ty::Timestamp(*unit),
            DataType::Timestamp(_, Some(zone)) if matches!(zone.as_ref(), "UTC" | "+00:00") => {
                Ty::TimestampTz
            }
            DataType::Time32(_) | DataType::Time64(_) => Ty::Time,
            DataType::Interval(_) | DataType::Duration(_) => Ty::Interval,
            DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::ListView(_) => Ty::Array,
            DataType::Map(..) => Ty::Map,
            DataType::Struct(_) => Ty::Row,
            DataType::Dictionary(_, value) => Self::of_type(value),
            _ => Ty::Other,
        }
    }

    /// tinyint, smallint, integer, bigint.
    pub(crate) fn is_integer(self) -> bool {
        matches!(self, Ty::Tinyint | Ty::Smallint | Ty::Integer | Ty::Bigint)
    }

    /// real, double.
    pub(crate) fn is_float(self) -> bool {
        matches!(self, Ty::Real | Ty::Double)
    }

    /// Integers, decimals, real, double.
    pub(crate) fn is_numeric(self) -> bool {
        self.is_integer() || self.is_float() || matches!(self, Ty::Decimal(..))
    }

    /// array, map, row.
    pub(crate) fn is_nested(self) -> bool {
        matches!(self, Ty::Array | Ty::Map | Ty::Row)
    }

    /// Precision and scale when taken as a decimal (integers widen to the decimal that holds them).
    pub(crate) fn as_decimal(self) -> Option<(u8, i8)> {
        match self {
            Ty::Tinyint => Some((3, 0)),
            Ty::Smallint => Some((5, 0)),
            Ty::Integer => Some((10, 0)),
            Ty::Bigint => Some((19, 0)),
            Ty::Decimal(p, s) => Some((p, s)),
            _ => None,
        }
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Ty::Unknown => "unknown",
            Ty::Boolean => "boolean",
            Ty::Tinyint => "tinyint",
            Ty::Smallint => "smallint",
            Ty::Integer => "integer",
            Ty::Bigint => "bigint",
            Ty::Real => "real",
            Ty::Double => "double",
            Ty::Decimal(p, s) => return write!(f, "decimal({p},{s})"),
            Ty::Varchar => "varchar",
            Ty::Varbinary => "varbinary",
            Ty::Date => "date",
            Ty::Timestamp(unit) => return write!(f, "timestamp({})", digits(*unit)),
            Ty::TimestampTz => "timestamp(3) with time zone",
            Ty::Time => "time",
            Ty::Interval => "interval",
            Ty::Json => "json",
            Ty::Array => "array",
            Ty::Map => "map",
            Ty::Row => "row",
            Ty::Other => "unsupported type",
        };
        f.write_str(name)
    }
}

/// Fraction digits that a unit keeps.
pub(crate) fn digits(unit: TimeUnit) -> usize {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// The full Trino spelling of a type, with element types: what `typeof` returns.
pub(crate) fn display(field: &Field) -> String {
    match field.data_type() {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item) => format!("array({})", display(item)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(kv) if kv.len() == 2 => format!("map({}, {})", display(&kv[0]), display(&kv[1])),
            _ => "map".to_owned(),
        },
        DataType::Struct(fields) => {
            let inner: Vec<_> = fields
                .iter()
                .map(|f| format!("{} {}", f.name(), display(f)))
                .collect();
            format!("row({})", inner.join(", "))
        }
        _ => Ty::of_field(field).to_string(),
    }
}

/// The type both sides convert to without a CAST, as Arrow type; `None` when Trino has none.
pub(crate) fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    let (l, r) = (Ty::of_type(left), Ty::of_type(right));
    if l == Ty::Unknown {
        return Some(crate::functions::signature::canonical(right));
    }
    if r == Ty::Unknown {
        return Some(crate::functions::signature::canonical(left));
    }
    if l.is_numeric() && r.is_numeric() {
        return common_numeric(l, r);
    }
    match (l, r) {
        (Ty::Timestamp(a), Ty::Timestamp(b)) => Some(DataType::Timestamp(a.max(b), None)),
        (Ty::Date, Ty::Timestamp(u)) | (Ty::Timestamp(u), Ty::Date) => Some(DataType::Timestamp(u, None)),
        (Ty::Array, Ty::Array) => {
            use crate::functions::signature::{element_of, list_of};
            common_type(&element_of(left), &element_of(right)).map(list_of)
        }
        (Ty::Row, Ty::Row) => common_row(left, right),
        (Ty::Map, Ty::Map) if left == right => Some(left.clone()),
        // The session zone is UTC: a value without zone is at that zone.
        (Ty::TimestampTz, Ty::TimestampTz | Ty::Timestamp(_) | Ty::Date) => Some(left.clone()),
        (Ty::Timestamp(_) | Ty::Date, Ty::TimestampTz) => Some(right.clone()),
        (Ty::Interval, Ty::Interval) | (Ty::Time, Ty::Time) => Some(left.clone()),
        (a, b) if a == b && !a.is_nested() && a != Ty::Other => {
            Some(crate::functions::signature::canonical(left))
        }
        _ => None,
    }
}

fn common_row(left: &DataType, right: &DataType) -> Option<DataType> {
    let (DataType::Struct(a), DataType::Struct(b)) = (left, right) else {
        return None;
    };
    if a.len() != b.len() {
        return None;
    }
    let fields = a
        .iter()
        .zip(b.iter())
        .map(|(x, y)| {
            Some(Arc::new(Field::new(
                x.name(),
                common_type(x.data_type(), y.data_type())?,
                true,
            )))
        })
        .collect::<Option<Vec<_>>>()?;
    Some(DataType::Struct(fields.into()))
}

fn common_numeric(l: Ty, r: Ty) -> Option<DataType> {
    if l == Ty::Double || r == Ty::Double {
        return Some(DataType::Float64);
    }
    if l == Ty::Real || r == Ty::Real {
        return Some(DataType::Float32);
    }
    if l.is_integer() && r.is_integer() {
        let rank = |t| match t {
            Ty::Tinyint => 0,
            Ty::Smallint => 1,
            Ty::Integer => 2,
            _ => 3,
        };
        return Some(match rank(l).max(rank(r)) {
            0 => DataType::Int8,
            1 => DataType::Int16,
            2 => DataType::Int32,
            _ => DataType::Int64,
        });
    }
    let ((p1, s1), (p2, s2)) = (l.as_decimal()?, r.as_decimal()?);
    let scale = s1.max(s2);
    let whole = (i16::from(p1) - i16::from(s1)).max(i16::from(p2) - i16::from(s2));
    let precision = (whole + i16::from(scale)).clamp(1, 38);
    Some(DataType::Decimal128(u8::try_from(precision).ok()?, scale))
}

/// Metadata that marks a text field as `json`.
pub(crate) fn json_metadata() -> HashMap<String, String> {
    HashMap::from([(TYPE_KEY.to_owned(), "json".to_owned())])
}
