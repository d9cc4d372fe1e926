//! Dates and timestamps: fields, truncation, arithmetic by unit, ISO forms. Patterns live in `date_pattern`.
//!
//! The session zone is UTC (as in Athena), so a timestamp with zone UTC reads like one without.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimeUnit};
use chrono::{DateTime, Datelike, Months, NaiveDateTime, Timelike};
use datafusion::error::{DataFusionError, Result};

use super::calendar::{add, diff, first_of, out_of_calendar, truncate, unit};
use super::call::Call;
use super::date_pattern::{format_pattern, parse_pattern};
use super::iso_date::parse_iso_date;
use super::signature::Param::{Any, Bigint, Date, Double, Timestamp, Varchar};
use super::signature::{Overload, Returns, TIMESTAMP_MS, generic, over};
use super::udf::{Spec, spec};
use crate::semantics::error::{bad_argument, out_of_range};
use crate::semantics::{format_date, signed_year};

const INT: &DataType = &DataType::Int64;
const UTF8: &DataType = &DataType::Utf8;
const DATE: &DataType = &DataType::Date32;

macro_rules! date_field {
    ($name:literal, [$($alias:literal),*], $f:expr) => {
        spec($name, &[$($alias),*], &[over(&[Date], INT, |c| field(c, $f)), over(&[Timestamp], INT, |c| field(c, $f))])
    };
}
macro_rules! time_field {
    ($name:literal, $f:expr) => {
        spec($name, &[], &[over(&[Timestamp], INT, |c| field(c, $f))])
    };
}

pub(super) static SPECS: &[Spec] = &[
    date_field!("year", [], |t| t.year().into()),
    date_field!("quarter", [], |t| (t.month0() / 3 + 1).into()),
    date_field!("month", [], |t| t.month().into()),
    date_field!("week", ["week_of_year"], |t| t.iso_week().week().into()),
    date_field!("day", ["day_of_month"], |t| t.day().into()),
    date_field!("day_of_week", ["dow"], |t| t
        .weekday()
        .number_from_monday()
        .into()),
    date_field!("day_of_year", ["doy"], |t| t.ordinal().into()),
    date_field!("year_of_week", ["yow"], |t| t.iso_week().year().into()),
    time_field!("hour", |t| t.hour().into()),
    time_field!("minute", |t| t.minute().into()),
    time_field!("second", |t| t.second().into()),
    time_field!("millisecond", |t| (t.nanosecond() / 1_000_000).into()),
    spec(
        "date_trunc",
        &[],
        &[
            generic(&[Varchar, Date], Returns::Same(1), truncate_date),
            generic(&[Varchar, Timestamp], Returns::Same(1), truncate_timestamp),
        ],
    ),
    spec(
        "date_add",
        &[],
        &[
            generic(&[Varchar, Bigint, Date], Returns::Same(2), add_date),
            generic(&[Varchar, Bigint, Timestamp], Returns::Same(2), add_timestamp),
        ],
    ),
    spec(
        "date_diff",
        &[],
        &[
            over(&[Varchar, Date, Date], INT, diff_dates),
            over(&[Varchar, Timestamp, Timestamp], INT, diff_timestamps),
        ],
    ),
    spec(
        "last_day_of_month",
        &[],
        &[over(&[Date], DATE, last_day), over(&[Timestamp], DATE, last_day)],
    ),
    spec(
        "date_format",
        &[],
        &[over(&[Timestamp, Varchar], UTF8, date_format)],
    ),
    spec(
        "date_parse",
        &[],
        &[over(&[Varchar, Varchar], &TIMESTAMP_MS, date_parse)],
    ),
    spec(
        "to_unixtime",
        &[],
        &[over(&[Timestamp], &DataType::Float64, to_unixtime)],
    ),
    spec(
        "from_unixtime",
        &[],
        &[generic(&[Double], Returns::Computed(zoned), from_unixtime)],
    ),
    spec("from_iso8601_date", &[], &[over(&[Varchar], DATE, from_iso_date)]),
    spec(
        "to_iso8601",
        &[],
        &[over(&[Date], UTF8, to_iso), over(&[Timestamp], UTF8, to_iso)],
    ),
    spec(
        "current_timezone",
        &[],
        &[over(&[], UTF8, |c| c.build_text(|_| Ok(Some("UTC".into()))))],
    ),
    // The semantic pass turns `date(x)` into a CAST.
    spec("date", &[], DATE_OVERLOADS),
];

const DATE_OVERLOADS: &[Overload] = &[over(&[Any], DATE, |c| {
    Ok(arrow::compute::cast(&c.full(0)?, DATE)?)
})];

fn zoned(_: &[DataType]) -> Result<DataType> {
    Ok(DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())))
}

/// A date or timestamp argument as ticks since the epoch.
pub(super) struct Instants {
    ticks: Int64Array,
    per_second: i64,
    constant: bool,
}

impl Instants {
    /// Reads argument `i`.
    pub(super) fn of(c: &Call, i: usize) -> Result<Self> {
        let column = c.any(i)?;
        let array = column.array();
        let (wide, per_second) = match array.data_type() {
            // Negative: seconds per tick.
            DataType::Date32 => (
                arrow::compute::cast(&arrow::compute::cast(array, &DataType::Int32)?, INT)?,
                -86_400,
            ),
            DataType::Timestamp(TimeUnit::Second, _) => (arrow::compute::cast(array, INT)?, 1),
            DataType::Timestamp(TimeUnit::Millisecond, _) => (arrow::compute::cast(array, INT)?, 1_000),
            DataType::Timestamp(TimeUnit::Microsecond, _) => (arrow::compute::cast(array, INT)?, 1_000_000),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                (arrow::compute::cast(array, INT)?, 1_000_000_000)
            }
            DataType::Null => (arrow::array::new_null_array(INT, array.len()), 1),
            other => {
                return Err(DataFusionError::Internal(format!(
                    "{}: unexpected type {other}",
                    c.name
                )));
            }
        };
        let ticks = wide.as_primitive::<Int64Type>().clone();
        Ok(Self {
            constant: ticks.len() == 1 && c.rows != 1,
            ticks,
            per_second,
        })
    }

    fn raw(&self, row: usize) -> Option<i64> {
        let i = if self.constant { 0 } else { row };
        self.ticks.is_valid(i).then(|| self.ticks.value(i))
    }

    /// The calendar time of a row.
    pub(super) fn get(&self, row: usize) -> Result<Option<NaiveDateTime>> {
        self.raw(row).map(|ticks| self.calendar(ticks)).transpose()
    }

    fn calendar(&self, ticks: i64) -> Result<NaiveDateTime> {
        let (seconds, nanos) = if self.per_second < 0 {
            (ticks.saturating_mul(-self.per_second), 0)
        } else {
            let rest = ticks.rem_euclid(self.per_second);
            (
                ticks.div_euclid(self.per_second),
                rest * (1_000_000_000 / self.per_second),
            )
        };
        DateTime::from_timestamp(seconds, u32::try_from(nanos).unwrap_or(0))
            .map(|t| t.naive_utc())
            .ok_or_else(|| out_of_range("date or timestamp is out of range"))
    }

    /// Ticks of a calendar time in this argument's unit.
    fn ticks_of(&self, time: NaiveDateTime) -> Result<i64> {
        let utc = time.and_utc();
        if self.per_second < 0 {
            return Ok(utc.timestamp().div_euclid(86_400));
        }
        utc.timestamp()
            .checked_mul(self.per_second)
            .and_then(|t| {
                t.checked_add(i64::from(utc.timestamp_subsec_nanos()) / (1_000_000_000 / self.per_second))
            })
            .ok_or_else(|| out_of_range("timestamp is out of range"))
    }
}

fn field(c: &Call, f: impl Fn(NaiveDateTime) -> i64) -> Result<ArrayRef> {
    let times = Instants::of(c, 0)?;
    c.build::<Int64Type>(|r| Ok(times.get(r)?.map(&f)))
}

fn truncate_date(c: &Call) -> Result<ArrayRef> {
    let (name, times) = (c.text(0)?, Instants::of(c, 1)?);
    c.build::<Date32Type>(|r| {
        let (Some(name), Some(time)) = (name.get(r), times.get(r)?) else {
            return Ok(None);
        };
        days(times.ticks_of(truncate(time, unit(name, true)?)?)?).map(Some)
    })
}

fn days(ticks: i64) -> Result<i32> {
    i32::try_from(ticks).map_err(|_| out_of_calendar())
}

fn truncate_timestamp(c: &Call) -> Result<ArrayRef> {
    let (name, times) = (c.text(0)?, Instants::of(c, 1)?);
    timestamps(c, |r| {
        let (Some(name), Some(time)) = (name.get(r), times.get(r)?) else {
            return Ok(None);
        };
        times.ticks_of(truncate(time, unit(name, false)?)?).map(Some)
    })
}

/// Builds a column of the returned timestamp type from ticks.
fn timestamps(c: &Call, mut ticks: impl FnMut(usize) -> Result<Option<i64>>) -> Result<ArrayRef> {
    let values = (0..c.rows).map(&mut ticks).collect::<Result<Int64Array>>()?;
    Ok(arrow::compute::cast(&values, &c.returns)?)
}

fn add_date(c: &Call) -> Result<ArrayRef> {
    let (name, n, times) = (c.text(0)?, c.int(1)?, Instants::of(c, 2)?);
    c.build::<Date32Type>(|r| {
        let (Some(name), Some(n), Some(time)) = (name.get(r), n.get(r), times.get(r)?) else {
            return Ok(None);
        };
        days(times.ticks_of(add(time, unit(name, true)?, n)?)?).map(Some)
    })
}

fn add_timestamp(c: &Call) -> Result<ArrayRef> {
    let (name, n, times) = (c.text(0)?, c.int(1)?, Instants::of(c, 2)?);
    timestamps(c, |r| {
        let (Some(name), Some(n), Some(time)) = (name.get(r), n.get(r), times.get(r)?) else {
            return Ok(None);
        };
        times.ticks_of(add(time, unit(name, false)?, n)?).map(Some)
    })
}

fn diff_columns(c: &Call, of_date: bool) -> Result<ArrayRef> {
    let (name, a, b) = (c.text(0)?, Instants::of(c, 1)?, Instants::of(c, 2)?);
    c.build::<Int64Type>(|r| {
        let (Some(name), Some(a), Some(b)) = (name.get(r), a.get(r)?, b.get(r)?) else {
            return Ok(None);
        };
        diff(a, b, unit(name, of_date)?).map(Some)
    })
}

fn diff_dates(c: &Call) -> Result<ArrayRef> {
    diff_columns(c, true)
}

fn diff_timestamps(c: &Call) -> Result<ArrayRef> {
    diff_columns(c, false)
}

fn last_day(c: &Call) -> Result<ArrayRef> {
    let times = Instants::of(c, 0)?;
    c.build::<Date32Type>(|r| {
        let Some(time) = times.get(r)? else {
            return Ok(None);
        };
        let first = first_of(time.year(), time.month())?;
        let last = first
            .checked_add_months(Months::new(1))
            .and_then(|d| d.pred_opt())
            .ok_or_else(out_of_calendar)?;
        Ok(Some(last.num_days_from_ce() - 719_163))
    })
}

fn date_format(c: &Call) -> Result<ArrayRef> {
    let (times, pattern) = (Instants::of(c, 0)?, c.text(1)?);
    c.build_text(|r| {
        let (Some(time), Some(pattern)) = (times.get(r)?, pattern.get(r)) else {
            return Ok(None);
        };
        format_pattern(time, pattern).map(|s| Some(s.into()))
    })
}

fn date_parse(c: &Call) -> Result<ArrayRef> {
    let (text, pattern) = (c.text(0)?, c.text(1)?);
    timestamps(c, |r| {
        let (Some(text), Some(pattern)) = (text.get(r), pattern.get(r)) else {
            return Ok(None);
        };
        Ok(Some(parse_pattern(text, pattern)?.and_utc().timestamp_millis()))
    })
}

fn to_unixtime(c: &Call) -> Result<ArrayRef> {
    let times = Instants::of(c, 0)?;
    c.build::<Float64Type>(|r| {
        // Seconds with the fraction the type keeps, divided once.
        Ok(times.raw(r).map(|ticks| {
            if times.per_second < 0 {
                (ticks * -times.per_second) as f64
            } else {
                ticks as f64 / times.per_second as f64
            }
        }))
    })
}

fn from_unixtime(c: &Call) -> Result<ArrayRef> {
    let seconds = c.double(0)?;
    timestamps(c, |r| {
        let Some(seconds) = seconds.get(r) else {
            return Ok(None);
        };
        let millis = (seconds * 1_000.0 + 0.5).floor();
        if !millis.is_finite() || millis.abs() > 8.64e15 {
            return Err(bad_argument(format!("from_unixtime: {seconds} is out of range")));
        }
        Ok(Some(millis as i64))
    })
}

fn from_iso_date(c: &Call) -> Result<ArrayRef> {
    let a = c.text(0)?;
    c.build::<Date32Type>(|r| {
        let Some(text) = a.get(r) else { return Ok(None) };
        parse_iso_date(text)
            .map(|date| Some(date.num_days_from_ce() - 719_163))
            .ok_or_else(|| bad_argument(format!("Invalid format: \"{text}\"")))
    })
}

fn to_iso(c: &Call) -> Result<ArrayRef> {
    let times = Instants::of(c, 0)?;
    let zoned = matches!(c.any(0)?.array().data_type(), DataType::Timestamp(_, Some(_)));
    c.build_text(|r| {
        let Some(time) = times.get(r)? else {
            return Ok(None);
        };
        let date = if times.per_second < 0 {
            format_date(time.date())
        } else {
            signed_year(time.year()) + &time.format("-%m-%d").to_string()
        };
        let nanos = time.nanosecond();
        let text = match times.per_second {
            ..=0 => date,
            1 => format!("{date}T{}", time.format("%H:%M:%S")),
            1_000 => format!("{date}T{}.{:03}", time.format("%H:%M:%S"), nanos / 1_000_000),
            1_000_000 => format!("{date}T{}.{:06}", time.format("%H:%M:%S"), nanos / 1_000),
            _ => format!("{date}T{}.{nanos:09}", time.format("%H:%M:%S")),
        };
        Ok(Some(if zoned { text + "Z" } else { text }.into()))
    })
}
