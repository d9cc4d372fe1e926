//! CAST and TRY_CAST of values: rounding, ranges, text forms.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result;

use super::cast::CastFunction;
use super::cast_text::{
    format_date, format_double, format_real, format_timestamp, parse_boolean, parse_date_text, parse_decimal,
    parse_double, parse_integer, parse_timestamp_text,
};
use super::error::bad_cast;
use super::ty::Ty;
use crate::functions::{STRICT, decimal_to_float, pow10, round_half_up};

impl CastFunction {
    /// Converts a column.
    ///
    /// # Errors
    /// `INVALID_CAST_ARGUMENT` for a value that does not convert, unless this is a TRY_CAST.
    pub(super) fn convert(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let from = if self.from_json {
            Ty::Json
        } else {
            Ty::of_type(array.data_type())
        };
        match (from, Ty::of_type(&self.to)) {
            (Ty::Json, _) => self.json_value(array),
            (_, Ty::Varchar) => self.to_text(array),
            (Ty::Varchar, _) => self.parsed(array),
            (f, t) if t.is_integer() && (f.is_float() || matches!(f, Ty::Decimal(..))) => {
                self.to_integer(array)
            }
            (Ty::Decimal(..), t) if t.is_float() => decimal_to_float(array, &self.to),
            (f, Ty::Decimal(p, s)) if f.is_float() => self.float_to_decimal(array, p, s),
            (f, Ty::Boolean) if f.is_numeric() => self.number_to_boolean(array),
            (Ty::Timestamp(_) | Ty::TimestampTz, _) => self.timestamp_precision(array),
            _ => Ok(arrow::compute::cast_with_options(array, &self.to, &STRICT)?),
        }
    }

    /// One row's outcome: TRY_CAST turns a failure into NULL.
    fn settle<T>(&self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.try_cast => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn text_rows(
        &self,
        rows: usize,
        mut text: impl FnMut(usize) -> Option<Result<String>>,
        cut: bool,
    ) -> Result<ArrayRef> {
        let mut out = StringBuilder::with_capacity(rows, rows * 12);
        for row in 0..rows {
            let value = match text(row) {
                None => None,
                Some(value) => self.settle(value.and_then(|v| self.fit(v, cut)))?,
            };
            out.append_option(value);
        }
        Ok(Arc::new(out.finish()))
    }

    /// `varchar(n)`: text is cut, the text of a number or time must fit.
    fn fit(&self, value: String, cut: bool) -> Result<String> {
        let Some(length) = self.length else {
            return Ok(value);
        };
        match value.char_indices().nth(length) {
            None => Ok(value),
            Some((end, _)) if cut => Ok(value[..end].to_owned()),
            Some(_) => Err(bad_cast(format!(
                "Value {value} cannot be represented as varchar({length})"
            ))),
        }
    }

    fn to_text(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let rows = array.len();
        let at = |row: usize| array.is_valid(row);
        let done = match array.data_type() {
            DataType::Float64 => {
                let a = array.as_primitive::<Float64Type>();
                self.text_rows(rows, |r| at(r).then(|| Ok(format_double(a.value(r)))), false)
            }
            DataType::Float32 => {
                let a = array.as_primitive::<arrow::datatypes::Float32Type>();
                self.text_rows(rows, |r| at(r).then(|| Ok(format_real(a.value(r)))), false)
            }
            DataType::Timestamp(unit, zone) => {
                let ticks = arrow::compute::cast(array, &DataType::Int64)?;
                let ticks = ticks.as_primitive::<Int64Type>();
                let suffix = if zone.is_some() { " UTC" } else { "" };
                self.text_rows(
                    rows,
                    |r| at(r).then(|| format_timestamp(ticks.value(r), *unit).map(|t| t + suffix)),
                    false,
                )
            }
            DataType::Date32 => {
                let a = array.as_primitive::<Date32Type>();
                let text = |days| {
                    Date32Type::to_naive_date_opt(days)
                        .map(format_date)
                        .ok_or_else(|| bad_cast("date is out of range"))
                };
                self.text_rows(rows, |r| at(r).then(|| text(a.value(r))), false)
            }
            other => {
                let cut = Ty::of_type(other) == Ty::Varchar;
                let text = arrow::compute::cast_with_options(array, &DataType::Utf8, &STRICT)?;
                let text = text.as_string::<i32>();
                self.text_rows(rows, |r| at(r).then(|| Ok(text.value(r).to_owned())), cut)
            }
        }?;
        Ok(if done.data_type() == &self.to {
            done
        } else {
            arrow::compute::cast(&done, &self.to)?
        })
    }

    fn parsed(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let text = arrow::compute::cast(array, &DataType::Utf8)?;
        let text = text.as_string::<i32>();
        let values = (0..text.len()).map(|r| text.is_valid(r).then(|| text.value(r)));
        self.scalars(values.map(|value| value.map(|v| self.parse(v))))
    }

    fn parse(&self, text: &str) -> Result<ScalarValue> {
        Ok(match &self.to {
            DataType::Boolean => ScalarValue::Boolean(Some(parse_boolean(text)?)),
            DataType::Float64 => ScalarValue::Float64(Some(parse_double(text, "double")?)),
            DataType::Float32 => ScalarValue::Float32(Some(parse_double(text, "real")? as f32)),
            DataType::Date32 => ScalarValue::Date32(Some(parse_date_text(text)?)),
            DataType::Timestamp(unit, _) => timestamp_scalar(parse_timestamp_text(text, *unit)?, &self.to),
            DataType::Decimal128(p, s) => ScalarValue::Decimal128(Some(parse_decimal(text, *p, *s)?), *p, *s),
            integer => {
                let value = ScalarValue::Int64(Some(parse_integer(text, Ty::of_type(integer))?));
                value.cast_to(integer).map_err(|_| {
                    bad_cast(format!(
                        "Cannot cast '{text}' to {}",
                        Ty::of_type(integer).to_string().to_uppercase()
                    ))
                })?
            }
        })
    }

    /// Collects per-row outcomes into a column of the target type.
    fn scalars(&self, rows: impl Iterator<Item = Option<Result<ScalarValue>>>) -> Result<ArrayRef> {
        let null = ScalarValue::try_from(&self.to)?;
        let mut out = Vec::with_capacity(rows.size_hint().0);
        for row in rows {
            out.push(match row {
                None => null.clone(),
                Some(value) => self.settle(value)?.unwrap_or_else(|| null.clone()),
            });
        }
        if out.is_empty() {
            Ok(arrow::array::new_empty_array(&self.to))
        } else {
            ScalarValue::iter_to_array(out)
        }
    }

    /// Rounds half away from zero, then checks the range.
    fn to_integer(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let target = Ty::of_type(&self.to);
        let narrow = |value: Option<i64>, shown: String| -> Result<ScalarValue> {
            value
                .and_then(|v| ScalarValue::Int64(Some(v)).cast_to(&self.to).ok())
                .ok_or_else(|| bad_cast(format!("Cannot cast {shown} to {target}")))
        };
        if let DataType::Decimal128(_, scale) = array.data_type() {
            let a = array.as_primitive::<Decimal128Type>();
            return self.scalars((0..a.len()).map(|r| {
                a.is_valid(r).then(|| {
                    let rounded = round_half_up(a.value(r), pow10(*scale));
                    narrow(i64::try_from(rounded).ok(), a.value_as_string(r))
                })
            }));
        }
        let wide = arrow::compute::cast(array, &DataType::Float64)?;
        let a = wide.as_primitive::<Float64Type>();
        self.scalars((0..a.len()).map(|r| {
            a.is_valid(r).then(|| {
                let rounded = a.value(r).round();
                // 2^63 is the first double past the range; -2^63 is in it.
                let inside = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded);
                narrow(inside.then_some(rounded as i64), format_double(a.value(r)))
            })
        }))
    }

    fn float_to_decimal(&self, array: &ArrayRef, precision: u8, scale: i8) -> Result<ArrayRef> {
        let real = matches!(array.data_type(), DataType::Float32);
        let wide = arrow::compute::cast(array, &DataType::Float64)?;
        let a = wide.as_primitive::<Float64Type>();
        self.scalars((0..a.len()).map(|r| {
            a.is_valid(r).then(|| {
                let value = a.value(r);
                // The shortest decimal text of the number, as Java's BigDecimal.valueOf takes it.
                let text = if real {
                    format!("{}", value as f32)
                } else {
                    format!("{value}")
                };
                parse_decimal(&text, precision, scale)
                    .map(|v| ScalarValue::Decimal128(Some(v), precision, scale))
                    .map_err(|_| {
                        bad_cast(format!(
                            "Cannot cast DOUBLE '{value}' to DECIMAL({precision}, {scale})"
                        ))
                    })
            })
        }))
    }

    fn number_to_boolean(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let wide = arrow::compute::cast(array, &DataType::Float64)?;
        let a = wide.as_primitive::<Float64Type>();
        self.scalars((0..a.len()).map(|r| {
            a.is_valid(r)
                .then(|| Ok(ScalarValue::Boolean(Some(a.value(r) != 0.0))))
        }))
    }

    /// Fewer fraction digits round half up; more are zeros.
    fn timestamp_precision(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let (DataType::Timestamp(from, _), DataType::Timestamp(to, _)) = (array.data_type(), &self.to) else {
            return Ok(arrow::compute::cast_with_options(array, &self.to, &STRICT)?);
        };
        let (from, to) = (per_second(*from), per_second(*to));
        let ticks = arrow::compute::cast(array, &DataType::Int64)?;
        let ticks = ticks.as_primitive::<Int64Type>();
        self.scalars((0..ticks.len()).map(|r| {
            ticks.is_valid(r).then(|| {
                let value = ticks.value(r);
                let moved = if to >= from {
                    value.checked_mul(to / from)
                } else {
                    let unit = from / to;
                    Some((value + unit / 2).div_euclid(unit))
                };
                moved
                    .map(|v| timestamp_scalar(v, &self.to))
                    .ok_or_else(|| bad_cast("timestamp is out of range"))
            })
        }))
    }

    fn json_value(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let text = arrow::compute::cast(array, &DataType::Utf8)?;
        let text = text.as_string::<i32>();
        if Ty::of_type(&self.to) == Ty::Varchar {
            return self.text_rows(
                text.len(),
                |r| {
                    if text.is_valid(r) {
                        crate::functions::json_to_text(text.value(r)).transpose()
                    } else {
                        None
                    }
                },
                true,
            );
        }
        self.scalars((0..text.len()).map(|r| {
            if !text.is_valid(r) {
                return None;
            }
            match crate::functions::json_to_text(text.value(r)) {
                Ok(None) => None,
                Ok(Some(scalar)) => Some(self.parse_json_scalar(&scalar)),
                Err(error) => Some(Err(error)),
            }
        }))
    }

    fn parse_json_scalar(&self, text: &str) -> Result<ScalarValue> {
        if Ty::of_type(&self.to).is_integer()
            && let Ok(number) = text.parse::<f64>()
            && text.parse::<i64>().is_err()
        {
            let one: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![number]));
            return ScalarValue::try_from_array(&self.to_integer(&one)?, 0);
        }
        self.parse(text)
    }
}

/// Ticks of a unit in a second.
pub(super) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn timestamp_scalar(ticks: i64, to: &DataType) -> ScalarValue {
    match to {
        DataType::Timestamp(TimeUnit::Second, zone) => {
            ScalarValue::TimestampSecond(Some(ticks), zone.clone())
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            ScalarValue::TimestampMicrosecond(Some(ticks), zone.clone())
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            ScalarValue::TimestampNanosecond(Some(ticks), zone.clone())
        }
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            ScalarValue::TimestampMillisecond(Some(ticks), zone.clone())
        }
        _ => ScalarValue::TimestampMillisecond(Some(ticks), None),
    }
}
