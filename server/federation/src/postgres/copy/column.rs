//! The values of one column on their way into an Arrow array.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryArray, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
    Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder,
    ListArray, StringArray, StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef, IntervalMonthDayNano};
use bytes::Buf;
use uuid::Uuid;

use super::super::error::PostgresError;
use super::super::mapping::Decode;
use super::numeric::{Form, NotDecimal};

/// From 1970 to 2000, where PostgreSQL's days begin.
const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;
/// `time '24:00:00'` is a time in PostgreSQL.
const DAY_MICROS: i64 = 86_400_000_000;
/// Days within which the engine's calendar works: about 262,000 years to either side.
const CALENDAR_DAYS: i32 = 95_000_000;

/// Where a value is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    at: u32,
    /// -1 for NULL.
    length: i32,
}

impl Cell {
    /// Nothing where the length is no length, or beyond 4 GB.
    pub(super) fn new(at: usize, length: i32) -> Option<Self> {
        let at = u32::try_from(at).ok()?;
        (length >= -1).then_some(Self { at, length })
    }

    pub(super) fn len(self) -> usize {
        usize::try_from(self.length).unwrap_or_default()
    }

    /// Its bytes; `None` for NULL.
    pub(super) fn of(self, bytes: &[u8]) -> Option<&[u8]> {
        (self.length >= 0).then(|| &bytes[self.at as usize..][..self.len()])
    }
}

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
    /// Whether they are UTF-8 is looked at once for many.
    Text(BinaryBuilder),
    Jsonb(BinaryBuilder),
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

    /// Appends values, `None` for NULL.
    pub(super) fn extend<'a>(
        &mut self,
        cells: impl Iterator<Item = Option<&'a [u8]>>,
    ) -> Result<(), PostgresError> {
        let appended = self.values.extend(cells);
        appended.map_err(|misfit| self.refused(misfit))
    }

    /// The values so far; the column is empty again.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, PostgresError> {
        let finished = self.values.finish();
        finished.map_err(|misfit| self.refused(misfit))
    }

    fn refused(&self, misfit: Misfit) -> PostgresError {
        match misfit {
            Misfit::Malformed => PostgresError::Malformed(format!(
                "a value of column `{}` that is not of its type",
                self.name
            )),
            Misfit::Value(what) => PostgresError::Value {
                column: self.name.clone(),
                what: what.to_owned(),
            },
        }
    }
}

/// Appends each cell; what is the same for all of them is found out once.
fn each<'a, B>(
    cells: impl Iterator<Item = Option<&'a [u8]>>,
    builder: &mut B,
    null: impl Fn(&mut B),
    value: impl Fn(&mut B, &'a [u8]) -> Result<(), Misfit>,
) -> Result<(), Misfit> {
    for cell in cells {
        match cell {
            Some(data) => value(builder, data)?,
            None => null(builder),
        }
    }
    Ok(())
}

fn fixed<const N: usize>(data: &[u8]) -> Result<[u8; N], Misfit> {
    data.try_into().map_err(|_| Misfit::Malformed)
}

fn boolean(data: &[u8]) -> Result<bool, Misfit> {
    match data {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(Misfit::Malformed),
    }
}

fn texts(bytes: BinaryArray) -> Result<ArrayRef, Misfit> {
    let texts = StringArray::try_from_binary(bytes);
    let texts = texts.map_err(|_| Misfit::Value("text that is not UTF-8"))?;
    Ok(Arc::new(texts))
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
            Decode::Text => Self::Text(BinaryBuilder::new()),
            Decode::Jsonb => Self::Jsonb(BinaryBuilder::new()),
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

    fn extend<'a>(&mut self, cells: impl Iterator<Item = Option<&'a [u8]>>) -> Result<(), Misfit> {
        /// The builder's own way to append; `$value` makes a value of bytes.
        macro_rules! append {
            ($builder:ident, $value:expr) => {
                each(
                    cells,
                    $builder,
                    |b| b.append_null(),
                    |b, data| {
                        b.append_value($value(data)?);
                        Ok(())
                    },
                )
            };
        }
        match self {
            Self::Bool(b) => append!(b, boolean),
            Self::Int16(b) => append!(b, |data| fixed(data).map(i16::from_be_bytes)),
            Self::Int32(b) => append!(b, |data| fixed(data).map(i32::from_be_bytes)),
            Self::Int64(b) => append!(b, |data| fixed(data).map(i64::from_be_bytes)),
            Self::Oid(b) => append!(b, |data| fixed(data)
                .map(|oid| i64::from(u32::from_be_bytes(oid)))),
            Self::Float32(b) => append!(b, |data| fixed(data).map(f32::from_be_bytes)),
            Self::Float64(b) => append!(b, |data| fixed(data).map(f64::from_be_bytes)),
            Self::Decimal(b, precision, scale) => {
                let form = Form::new(*precision, *scale);
                append!(b, |data| form.decimal(data))
            }
            Self::Text(b) | Self::Binary(b) => append!(b, Ok::<_, Misfit>),
            // Its version, then the text.
            Self::Jsonb(b) => append!(b, |data: &'a [u8]| match data {
                [1, json @ ..] => Ok(json),
                _ => Err(Misfit::Malformed),
            }),
            Self::Uuid(b) => each(cells, b, StringBuilder::append_null, |b, data| {
                let mut buffer = Uuid::encode_buffer();
                let uuid = Uuid::from_bytes(fixed(data)?).hyphenated();
                b.append_value(uuid.encode_lower(&mut buffer));
                Ok(())
            }),
            Self::Date(b) => append!(b, date),
            Self::Time(b) => append!(b, time),
            Self::Timestamp(b) => append!(b, timestamp),
            Self::Interval(b) => append!(b, interval),
            Self::List(lists) => each(
                cells,
                lists,
                |lists| lists.end(false),
                |lists, data| lists.value(data),
            ),
        }
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
            Self::Uuid(b) => b.len(),
            Self::Text(b) | Self::Jsonb(b) | Self::Binary(b) => b.len(),
            Self::Date(b) => b.len(),
            Self::Time(b) => b.len(),
            Self::Timestamp(b) => b.len(),
            Self::Interval(b) => b.len(),
            Self::List(lists) => lists.ends.len(),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, Misfit> {
        Ok(match self {
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Int16(b) => Arc::new(b.finish()),
            Self::Int32(b) => Arc::new(b.finish()),
            Self::Int64(b) | Self::Oid(b) => Arc::new(b.finish()),
            Self::Float32(b) => Arc::new(b.finish()),
            Self::Float64(b) => Arc::new(b.finish()),
            Self::Decimal(b, ..) => Arc::new(b.finish()),
            Self::Text(b) | Self::Jsonb(b) => texts(b.finish())?,
            Self::Uuid(b) => Arc::new(b.finish()),
            Self::Binary(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Time(b) => Arc::new(b.finish()),
            Self::Timestamp(b) => Arc::new(b.finish()),
            Self::Interval(b) => Arc::new(b.finish()),
            Self::List(lists) => Arc::new(lists.finish()?),
        })
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
                let elements = (0..count).map(|_| element(&mut data));
                let elements = elements.collect::<Result<Vec<_>, _>>()?;
                self.elements.extend(elements.into_iter())?;
            }
            _ => return Err(Misfit::Value("an array of several dimensions")),
        }
        if !data.is_empty() {
            return Err(Misfit::Malformed);
        }
        self.end(true);
        Ok(())
    }

    fn finish(&mut self) -> Result<ListArray, Misfit> {
        let elements = self.elements.finish()?;
        let offsets: Vec<i32> = std::iter::once(0).chain(self.ends.drain(..)).collect();
        let valid = NullBuffer::from(std::mem::take(&mut self.valid));
        Ok(ListArray::new(
            Arc::clone(&self.field),
            OffsetBuffer::new(offsets.into()),
            elements,
            Some(valid),
        ))
    }
}

/// The element at the front of `data`, which is left behind; `None` for NULL.
fn element<'a>(data: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Misfit> {
    let (length, rest) = data.split_first_chunk().ok_or(Misfit::Malformed)?;
    *data = rest;
    match usize::try_from(i32::from_be_bytes(*length)) {
        Ok(length) => {
            let (value, rest) = data.split_at_checked(length).ok_or(Misfit::Malformed)?;
            *data = rest;
            Ok(Some(value))
        }
        Err(_) => Ok(None),
    }
}
