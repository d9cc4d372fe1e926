//! [`HiveType`] to Arrow and back.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, TimeUnit};

use super::{HiveType, MAX_DECIMAL_PRECISION, MAX_TYPE_DEPTH, StructField};

impl HiveType {
    /// The Arrow type that a column of this type has in query results; everything nested is nullable
    /// but map keys.
    pub fn to_arrow(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::TinyInt => DataType::Int8,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            // Both are at most 38.
            Self::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale as i8),
            Self::Char(_) | Self::Varchar(_) | Self::String => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
            Self::Array(element) => DataType::List(Arc::new(Field::new("item", element.to_arrow(), true))),
            Self::Map(key, value) => {
                let entry = Fields::from(vec![
                    Field::new("key", key.to_arrow(), false),
                    Field::new("value", value.to_arrow(), true),
                ]);
                DataType::Map(
                    Arc::new(Field::new("entries", DataType::Struct(entry), false)),
                    false,
                )
            }
            Self::Struct(fields) => DataType::Struct(
                fields
                    .iter()
                    .map(|f| Field::new(&f.name, f.data_type.to_arrow(), true))
                    .collect(),
            ),
        }
    }

    /// The Hive type that holds every value of an Arrow type (for CREATE without a column list), or
    /// `None` where Hive has no such type: times, intervals, unions, decimals of more than 38 digits.
    ///
    /// Unsigned integers go to the next wider signed one, timestamps of any unit and zone to `timestamp`.
    pub fn from_arrow(data_type: &DataType) -> Option<Self> {
        from_arrow_at(data_type, 1)
    }
}

fn from_arrow_at(data_type: &DataType, depth: usize) -> Option<HiveType> {
    if depth > MAX_TYPE_DEPTH {
        return None;
    }
    Some(match data_type {
        DataType::Boolean => HiveType::Boolean,
        DataType::Int8 => HiveType::TinyInt,
        DataType::Int16 | DataType::UInt8 => HiveType::SmallInt,
        DataType::Int32 | DataType::UInt16 => HiveType::Int,
        DataType::Int64 | DataType::UInt32 => HiveType::BigInt,
        DataType::UInt64 => HiveType::Decimal {
            precision: 20,
            scale: 0,
        },
        DataType::Float16 | DataType::Float32 => HiveType::Float,
        DataType::Float64 => HiveType::Double,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => decimal(*precision, *scale)?,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => HiveType::String,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            HiveType::Binary
        }
        DataType::Date32 | DataType::Date64 => HiveType::Date,
        DataType::Timestamp(..) => HiveType::Timestamp,
        DataType::List(element)
        | DataType::ListView(element)
        | DataType::FixedSizeList(element, _)
        | DataType::LargeList(element)
        | DataType::LargeListView(element) => {
            HiveType::Array(Box::new(from_arrow_at(element.data_type(), depth + 1)?))
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(entry) = entries.data_type() else {
                return None;
            };
            let [key, value] = entry.as_ref() else { return None };
            let key = from_arrow_at(key.data_type(), depth + 1).filter(HiveType::is_primitive)?;
            HiveType::Map(
                Box::new(key),
                Box::new(from_arrow_at(value.data_type(), depth + 1)?),
            )
        }
        DataType::Struct(fields) => fields_of(fields, depth)?,
        // An encoding is no nesting, but a chain of them must end as well.
        DataType::Dictionary(_, value) => from_arrow_at(value, depth + 1)?,
        DataType::RunEndEncoded(_, value) => from_arrow_at(value.data_type(), depth + 1)?,
        DataType::Null
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Duration(_)
        | DataType::Interval(_)
        | DataType::Union(..) => return None,
    })
}

/// A negative scale means trailing zeros that are not stored: they become digits.
fn decimal(precision: u8, scale: i8) -> Option<HiveType> {
    let (precision, scale) = match u8::try_from(scale) {
        Ok(scale) => (precision, scale),
        Err(_) => (precision.checked_add(scale.unsigned_abs())?, 0),
    };
    ((1..=MAX_DECIMAL_PRECISION).contains(&precision) && scale <= precision)
        .then_some(HiveType::Decimal { precision, scale })
}

fn fields_of(fields: &Fields, depth: usize) -> Option<HiveType> {
    let mut names = HashSet::new();
    let mut parts = Vec::with_capacity(fields.len());
    for field in fields {
        let name = field.name().to_lowercase();
        // Names that Hive's text could not tell apart or spell.
        if name.is_empty() || name.chars().any(char::is_control) || !names.insert(name.clone()) {
            return None;
        }
        parts.push(StructField {
            name,
            data_type: from_arrow_at(field.data_type(), depth + 1)?,
        });
    }
    (!parts.is_empty()).then_some(HiveType::Struct(parts))
}
