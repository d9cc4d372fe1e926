//! PostgreSQL's types as Arrow's: which form a column is asked for in, and how its bytes become values.
//! The table for users is in docs/federation.md.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use tokio_postgres::types::{Oid, Type};

use super::config::NumericMapping;

/// The most digits of an Arrow decimal here, and of Athena's.
const MAX_PRECISION: i32 = 38;

/// A type as `pg_type` and `pg_attribute` tell it, domains already replaced by what they are over.
#[derive(Debug, Clone)]
pub(super) struct PgType {
    /// Its id.
    pub oid: Oid,
    /// The modifier (precision and scale), -1 for none.
    pub modifier: i32,
    /// Type of the elements, of an array.
    pub element: Option<Element>,
}

/// Type of an array's elements.
#[derive(Debug, Clone)]
pub(super) struct Element {
    pub oid: Oid,
    /// `pg_type.typtype`: `b`ase, `e`num, `d`omain, `c`omposite, `r`ange.
    pub kind: char,
    /// Dimensions that the column declares; 0 where it declares none.
    pub dimensions: i32,
}

/// How the bytes of a value become an Arrow value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decode {
    Bool,
    Int16,
    Int32,
    Int64,
    Oid,
    Float32,
    Float64,
    Decimal { precision: u8, scale: i8 },
    Text,
    Jsonb,
    Uuid,
    Binary,
    Date,
    Time,
    Timestamp,
    Interval,
    List(Box<Decode>),
}

/// How a column is written in the list of what is selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Plain,
    /// Cast to a type, by its name.
    Cast(&'static str),
    /// As its output function writes it; a cast to text would add a mask to every address.
    Abbreviated,
}

/// Everything that follows from a column's type.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    pub data_type: DataType,
    pub decode: Decode,
    pub form: Form,
    /// What the server must announce for the column in this form; anything else means that the table has changed.
    pub wire: Oid,
    /// Modifier of the same; -1 where there is none, [`ANY_MODIFIER`] where any will do.
    pub wire_modifier: i32,
}

/// Of a value that was computed there: its digits are checked one by one when they arrive.
pub(super) const ANY_MODIFIER: i32 = i32::MIN;

const UTC: &str = "UTC";

/// The mapping of a column. Every type has one: what is not known comes as the text that PostgreSQL makes of it.
pub(super) fn mapping(column: &PgType, numeric: NumericMapping) -> Mapping {
    if let Some(element) = &column.element {
        return array(column, element, numeric);
    }
    let plain = |data_type, decode| Mapping {
        data_type,
        decode,
        form: Form::Plain,
        wire: column.oid,
        wire_modifier: column.modifier,
    };
    match Type::from_oid(column.oid) {
        Some(Type::BOOL) => plain(DataType::Boolean, Decode::Bool),
        Some(Type::INT2) => plain(DataType::Int16, Decode::Int16),
        Some(Type::INT4) => plain(DataType::Int32, Decode::Int32),
        Some(Type::INT8) => plain(DataType::Int64, Decode::Int64),
        Some(Type::OID) => plain(DataType::Int64, Decode::Oid),
        Some(Type::FLOAT4) => plain(DataType::Float32, Decode::Float32),
        Some(Type::FLOAT8) => plain(DataType::Float64, Decode::Float64),
        Some(Type::NUMERIC) => numbers(column.modifier, numeric),
        Some(Type::MONEY) => Mapping {
            data_type: DataType::Decimal128(19, 2),
            decode: Decode::Decimal {
                precision: 19,
                scale: 2,
            },
            ..cast("numeric", Type::NUMERIC, Decode::Text)
        },
        Some(Type::TEXT | Type::VARCHAR | Type::JSON) => plain(DataType::Utf8, Decode::Text),
        Some(Type::JSONB) => plain(DataType::Utf8, Decode::Jsonb),
        Some(Type::UUID) => plain(DataType::Utf8, Decode::Uuid),
        Some(Type::BYTEA) => plain(DataType::Binary, Decode::Binary),
        Some(Type::DATE) => plain(DataType::Date32, Decode::Date),
        Some(Type::TIME) => plain(DataType::Time64(TimeUnit::Microsecond), Decode::Time),
        Some(Type::TIMESTAMP) => plain(
            DataType::Timestamp(TimeUnit::Microsecond, None),
            Decode::Timestamp,
        ),
        Some(Type::TIMESTAMPTZ) => plain(
            DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Decode::Timestamp,
        ),
        Some(Type::INTERVAL) => plain(DataType::Interval(IntervalUnit::MonthDayNano), Decode::Interval),
        Some(Type::INET) => Mapping {
            form: Form::Abbreviated,
            ..text()
        },
        _ => text(),
    }
}

fn cast(name: &'static str, to: Type, decode: Decode) -> Mapping {
    Mapping {
        data_type: DataType::Utf8,
        decode,
        form: Form::Cast(name),
        wire: to.oid(),
        wire_modifier: -1,
    }
}

fn text() -> Mapping {
    cast("text", Type::TEXT, Decode::Text)
}

/// Precision and scale of a declared `numeric`; PostgreSQL 15 and later have scales below 0 and above the precision.
fn declared(modifier: i32) -> Option<(i32, i32)> {
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
    // Eleven bits with a sign.
    let scale = ((packed & 0x7ff) ^ 1_024) - 1_024;
    Some((packed >> 16 & 0xffff, scale))
}

fn numbers(modifier: i32, undeclared: NumericMapping) -> Mapping {
    if let Some((precision, scale)) = declared(modifier) {
        let (precision, scale) = match scale {
            ..0 => (precision - scale, 0),
            scale => (precision.max(scale), scale),
        };
        if precision <= MAX_PRECISION {
            return decimal(precision as u8, scale as i8, modifier);
        }
    }
    match undeclared {
        NumericMapping::Decimal { precision, scale } => decimal(precision, scale, modifier),
        NumericMapping::Double => Mapping {
            data_type: DataType::Float64,
            ..cast("float8", Type::FLOAT8, Decode::Float64)
        },
        NumericMapping::Varchar => text(),
    }
}

fn decimal(precision: u8, scale: i8, wire_modifier: i32) -> Mapping {
    Mapping {
        data_type: DataType::Decimal128(precision, scale),
        decode: Decode::Decimal { precision, scale },
        form: Form::Plain,
        wire: Type::NUMERIC.oid(),
        wire_modifier,
    }
}

/// Lists of one dimension of elements that have a type of their own here; everything else as text.
fn array(column: &PgType, element: &Element, numeric: NumericMapping) -> Mapping {
    if element.dimensions > 1 || element.kind == 'd' {
        return text();
    }
    let of = PgType {
        oid: element.oid,
        modifier: column.modifier,
        element: None,
    };
    let inner = mapping(&of, numeric);
    let list = |inner: Mapping, form, wire| Mapping {
        data_type: DataType::List(Arc::new(Field::new("item", inner.data_type, true))),
        decode: Decode::List(Box::new(inner.decode)),
        form,
        wire,
        wire_modifier: column.modifier,
    };
    match inner.form {
        Form::Plain => list(inner, Form::Plain, column.oid),
        // Enums and texts by other names; other types' casts differ from what they print inside an array.
        Form::Cast("text") if element.kind == 'e' || is_text(element.oid) => Mapping {
            wire_modifier: -1,
            ..list(inner, Form::Cast("text[]"), Type::TEXT_ARRAY.oid())
        },
        _ => text(),
    }
}

fn is_text(oid: Oid) -> bool {
    matches!(Type::from_oid(oid), Some(Type::NAME | Type::BPCHAR))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(precision: i32, scale: i32) -> i32 {
        ((precision << 16) | (scale & 0x7ff)) + 4
    }

    fn mapped(modifier: i32, mapping: NumericMapping) -> DataType {
        numbers(modifier, mapping).data_type
    }

    #[test]
    fn declared_numbers_keep_their_digits() {
        let wide = NumericMapping::default();
        for (precision, scale, expected) in [
            (10, 2, DataType::Decimal128(10, 2)),
            (38, 38, DataType::Decimal128(38, 38)),
            (3, -2, DataType::Decimal128(5, 0)),
            (2, 5, DataType::Decimal128(5, 5)),
            (50, 10, DataType::Decimal128(38, 18)),
            (1000, -1000, DataType::Decimal128(38, 18)),
        ] {
            assert_eq!(
                mapped(numeric(precision, scale), wide),
                expected,
                "({precision}, {scale})"
            );
        }
        assert_eq!(mapped(-1, NumericMapping::Double), DataType::Float64);
        assert_eq!(mapped(-1, NumericMapping::Varchar), DataType::Utf8);
    }

    #[test]
    fn what_is_not_known_is_text() {
        let odd = PgType {
            oid: 4_711_000,
            modifier: -1,
            element: None,
        };
        let mapped = mapping(&odd, NumericMapping::default());
        assert_eq!(
            (mapped.data_type, mapped.form),
            (DataType::Utf8, Form::Cast("text"))
        );
    }
}
