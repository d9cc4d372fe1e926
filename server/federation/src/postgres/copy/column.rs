//! The values of one column on their way into an Arrow array.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int16Builder, Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, ListArray,
    StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef, IntervalMonthDayNano};
use bytes::Buf;
use uuid::Uuid;

use super::super::error::PostgresError;
use super::super::mapping::Decode;
use super::numeric::{NotDecimal, decimal};

/// From 1970 to 2000, where PostgreSQL's days begin.
const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;
/// `time '24:00:00'` is a time in PostgreSQL.
const DAY_MICROS: i64 = 86_400_000_000;
/// Days within which the engine's calendar works: about 262,000 years to either side.
const CALENDAR_DAYS: i32 = 95_000_000;

/// One column.
#[derive(Debug)]
pub(super) struct Column {
    name: String,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Oid(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Text(StringBuilder),
    Jsonb(StringBuilder),
    Uuid(StringBuilder),
    Binary(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    List(Box<Lists>),
}

/// Lists of one dimension.
#[derive(Debug)]
struct Lists {
    field: FieldRef,
    elements: Values,
    ends: Vec<i32>,
    valid: Vec<bool>,
}

/// Why a value has no place in its column.
enum Misfit {
    /// The bytes are not of this type.
    Malformed,
    /// They are, and Arrow cannot say it.
    Value(&'static str),
}

impl From<NotDecimal> for Misfit {
    fn from(reason: NotDecimal) -> Self {
        match reason {
            NotDecimal::NotANumber => Self::Value("NaN, which a decimal cannot hold"),
            NotDecimal::Infinity => Self::Value("infinity, which a decimal cannot hold"),
            NotDecimal::Scale => {
                Self::Value("a number with more digits behind the point than its decimal has")
            }
            NotDecimal::Precision => Self::Value("a number with more digits than its decimal has"),
            NotDecimal::Malformed => Self::Malformed,
        }
    }
}

impl Column {
    pub(super) fn new(field: &FieldRef, decode: &Decode) -> Self {
        Self {
            name: field.name().clone(),
            values: Values::new(decode, field.data_type()),
        }
    }

    pub(super) fn null(&mut self) {
        self.values.null();
    }

    pub(super) fn value(&mut self, data: &[u8]) -> Result<(), PostgresError> {
        self.values.value(data).map_err(|misfit| match misfit {
            Misfit::Malformed => PostgresError::Malformed(format!(
                "a value of column `{}` that is not of its type",
                self.name
            )),
            Misfit::Value(what) => PostgresError::Value {
                column: self.name.clone(),
                what: what.to_owned(),
            },
        })
    }

    /// The values so far; the column is empty again.
    pub(super) fn finish(&mut self) -> ArrayRef {
        self.values.finish()
    }
}

fn fixed<const N: usize>(data: &[u8]) -> Result<[u8; N], Misfit> {
    data.try_into().map_err(|_| Misfit::Malformed)
}

fn text(data: &[u8]) -> Result<&str, Misfit> {
    std::str::from_utf8(data).map_err(|_| Misfit::Value("text that is not UTF-8"))
}

fn date(data: &[u8]) -> Result<i32, Misfit> {
    let days = i32::from_be_bytes(fixed(data)?);
    if matches!(days, i32::MAX | i32::MIN) {
        return Err(Misfit::Value("an infinite date"));
    }
    days.checked_add(EPOCH_DAYS)
        .filter(|days| days.abs() < CALENDAR_DAYS)
        .ok_or(Misfit::Value("a date beyond the calendar"))
}

fn timestamp(data: &[u8]) -> Result<i64, Misfit> {
    let micros = i64::from_be_bytes(fixed(data)?);
    if matches!(micros, i64::MAX | i64::MIN) {
        return Err(Misfit::Value("an infinite timestamp"));
    }
    micros
        .checked_add(EPOCH_MICROS)
        .filter(|micros| (micros / DAY_MICROS).unsigned_abs() < CALENDAR_DAYS.unsigned_abs().into())
        .ok_or(Misfit::Value("a timestamp beyond the calendar"))
}

fn time(data: &[u8]) -> Result<i64, Misfit> {
    match i64::from_be_bytes(fixed(data)?) {
        DAY_MICROS => Err(Misfit::Value("the time 24:00:00")),
        micros if (0..DAY_MICROS).contains(&micros) => Ok(micros),
        _ => Err(Misfit::Malformed),
    }
}

fn interval(mut data: &[u8]) -> Result<IntervalMonthDayNano, Misfit> {
    if data.len() != 16 {
        return Err(Misfit::Malformed);
    }
    let (micros, days, months) = (data.get_i64(), data.get_i32(), data.get_i32());
    if matches!(
        (micros, days, months),
        (i64::MAX, i32::MAX, i32::MAX) | (i64::MIN, i32::MIN, i32::MIN)
    ) {
        return Err(Misfit::Value("an infinite interval"));
    }
    let nanos = micros
        .checked_mul(1_000)
        .ok_or(Misfit::Value("an interval of more than 292 years of time"))?;
    Ok(IntervalMonthDayNano::new(months, days, nanos))
}

impl Values {
    fn new(decode: &Decode, data_type: &DataType) -> Self {
        match decode {
            Decode::Bool => Self::Bool(BooleanBuilder::new()),
            Decode::Int16 => Self::Int16(Int16Builder::new()),
            Decode::Int32 => Self::Int32(Int32Builder::new()),
            Decode::Int64 => Self::Int64(Int64Builder::new()),
            Decode::Oid => Self::Oid(Int64Builder::new()),
            Decode::Float32 => Self::Float32(Float32Builder::new()),
            Decode::Float64 => Self::Float64(Float64Builder::new()),
            Decode::Decimal { precision, scale } => {
                let builder =
                    Decimal128Builder::new().with_data_type(DataType::Decimal128(*precision, *scale));
                Self::Decimal(builder, *precision, *scale)
            }
            Decode::Text => Self::Text(StringBuilder::new()),
            Decode::Jsonb => Self::Jsonb(StringBuilder::new()),
            Decode::Uuid => Self::Uuid(StringBuilder::new()),
            Decode::Binary => Self::Binary(BinaryBuilder::new()),
            Decode::Date => Self::Date(Date32Builder::new()),
            Decode::Time => Self::Time(Time64MicrosecondBuilder::new()),
            Decode::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()))
            }
            Decode::Interval => Self::Interval(IntervalMonthDayNanoBuilder::new()),
            Decode::List(element) => {
                let field = match data_type {
                    DataType::List(field) => Arc::clone(field),
                    other => Arc::new(arrow::datatypes::Field::new("item", other.clone(), true)),
                };
                let elements = Self::new(element, field.data_type());
                Self::List(Box::new(Lists {
                    field,
                    elements,
                    ends: Vec::new(),
                    valid: Vec::new(),
                }))
            }
        }
    }

    fn null(&mut self) {
        match self {
            Self::Bool(b) => b.append_null(),
            Self::Int16(b) => b.append_null(),
            Self::Int32(b) => b.append_null(),
            Self::Int64(b) | Self::Oid(b) => b.append_null(),
            Self::Float32(b) => b.append_null(),
            Self::Float64(b) => b.append_null(),
            Self::Decimal(b, ..) => b.append_null(),
            Self::Text(b) | Self::Jsonb(b) | Self::Uuid(b) => b.append_null(),
            Self::Binary(b) => b.append_null(),
            Self::Date(b) => b.append_null(),
            Self::Time(b) => b.append_null(),
            Self::Timestamp(b) => b.append_null(),
            Self::Interval(b) => b.append_null(),
            Self::List(lists) => lists.end(false),
        }
    }

    fn value(&mut self, data: &[u8]) -> Result<(), Misfit> {
        match self {
            Self::Bool(b) => match data {
                [0] => b.append_value(false),
                [1] => b.append_value(true),
                _ => return Err(Misfit::Malformed),
            },
            Self::Int16(b) => b.append_value(i16::from_be_bytes(fixed(data)?)),
            Self::Int32(b) => b.append_value(i32::from_be_bytes(fixed(data)?)),
            Self::Int64(b) => b.append_value(i64::from_be_bytes(fixed(data)?)),
            Self::Oid(b) => b.append_value(u32::from_be_bytes(fixed(data)?).into()),
            Self::Float32(b) => b.append_value(f32::from_be_bytes(fixed(data)?)),
            Self::Float64(b) => b.append_value(f64::from_be_bytes(fixed(data)?)),
            Self::Decimal(b, precision, scale) => b.append_value(decimal(data, *precision, *scale)?),
            Self::Text(b) => b.append_value(text(data)?),
            // Its version, then the text.
            Self::Jsonb(b) => match data {
                [1, json @ ..] => b.append_value(text(json)?),
                _ => return Err(Misfit::Malformed),
            },
            Self::Uuid(b) => {
                let mut buffer = Uuid::encode_buffer();
                b.append_value(
                    Uuid::from_bytes(fixed(data)?)
                        .hyphenated()
                        .encode_lower(&mut buffer),
                );
            }
            Self::Binary(b) => b.append_value(data),
            Self::Date(b) => b.append_value(date(data)?),
            Self::Time(b) => b.append_value(time(data)?),
            Self::Timestamp(b) => b.append_value(timestamp(data)?),
            Self::Interval(b) => b.append_value(interval(data)?),
            Self::List(lists) => lists.value(data)?,
        }
        Ok(())
    }

    fn len(&self) -> usize {
        match self {
            Self::Bool(b) => b.len(),
            Self::Int16(b) => b.len(),
            Self::Int32(b) => b.len(),
            Self::Int64(b) | Self::Oid(b) => b.len(),
            Self::Float32(b) => b.len(),
            Self::Float64(b) => b.len(),
            Self::Decimal(b, ..) => b.len(),
            Self::Text(b) | Self::Jsonb(b) | Self::Uuid(b) => b.len(),
            Self::Binary(b) => b.len(),
            Self::Date(b) => b.len(),
            Self::Time(b) => b.len(),
            Self::Timestamp(b) => b.len(),
            Self::Interval(b) => b.len(),
            Self::List(lists) => lists.ends.len(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Int16(b) => Arc::new(b.finish()),
            Self::Int32(b) => Arc::new(b.finish()),
            Self::Int64(b) | Self::Oid(b) => Arc::new(b.finish()),
            Self::Float32(b) => Arc::new(b.finish()),
            Self::Float64(b) => Arc::new(b.finish()),
            Self::Decimal(b, ..) => Arc::new(b.finish()),
            Self::Text(b) | Self::Jsonb(b) | Self::Uuid(b) => Arc::new(b.finish()),
            Self::Binary(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Time(b) => Arc::new(b.finish()),
            Self::Timestamp(b) => Arc::new(b.finish()),
            Self::Interval(b) => Arc::new(b.finish()),
            Self::List(lists) => Arc::new(lists.finish()),
        }
    }
}

impl Lists {
    fn end(&mut self, valid: bool) {
        // A value is at most 1 GB and an element at least 4 bytes, and a batch ends after a few MB.
        self.ends
            .push(i32::try_from(self.elements.len()).unwrap_or(i32::MAX));
        self.valid.push(valid);
    }

    /// Dimensions, whether there are NULLs, element type; length and lower bound of each dimension; elements.
    fn value(&mut self, mut data: &[u8]) -> Result<(), Misfit> {
        if data.len() < 12 {
            return Err(Misfit::Malformed);
        }
        let dimensions = data.get_i32();
        data.advance(8);
        match dimensions {
            0 => {}
            1 => {
                if data.len() < 8 {
                    return Err(Misfit::Malformed);
                }
                let count = data.get_i32();
                data.advance(4);
                for _ in 0..count {
                    self.element(&mut data)?;
                }
            }
            _ => return Err(Misfit::Value("an array of several dimensions")),
        }
        if !data.is_empty() {
            return Err(Misfit::Malformed);
        }
        self.end(true);
        Ok(())
    }

    fn element(&mut self, data: &mut &[u8]) -> Result<(), Misfit> {
        if data.len() < 4 {
            return Err(Misfit::Malformed);
        }
        match usize::try_from(data.get_i32()) {
            Ok(length) => {
                let value = data.get(..length).ok_or(Misfit::Malformed)?;
                self.elements.value(value)?;
                data.advance(length);
            }
            Err(_) => self.elements.null(),
        }
        Ok(())
    }

    fn finish(&mut self) -> ListArray {
        let elements = self.elements.finish();
        let offsets: Vec<i32> = std::iter::once(0).chain(self.ends.drain(..)).collect();
        let valid = NullBuffer::from(std::mem::take(&mut self.valid));
        ListArray::new(
            Arc::clone(&self.field),
            OffsetBuffer::new(offsets.into()),
            elements,
            Some(valid),
        )
    }
}
