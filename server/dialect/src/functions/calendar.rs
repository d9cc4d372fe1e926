//! Calendar arithmetic by unit: truncating, adding, counting whole units between two times.

use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, Timelike};
use datafusion::error::{DataFusionError, Result};

use crate::semantics::error::{bad_argument, out_of_range};

/// Units of `date_trunc`, `date_add`, `date_diff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum Unit {
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

pub(super) fn unit(name: &str, of_date: bool) -> Result<Unit> {
    let unit = match name.to_ascii_lowercase().as_str() {
        "millisecond" => Unit::Millisecond,
        "second" => Unit::Second,
        "minute" => Unit::Minute,
        "hour" => Unit::Hour,
        "day" => Unit::Day,
        "week" => Unit::Week,
        "month" => Unit::Month,
        "quarter" => Unit::Quarter,
        "year" => Unit::Year,
        _ => {
            return Err(bad_argument(format!(
                "'{name}' is not a valid {} field",
                kind(of_date)
            )));
        }
    };
    if of_date && unit < Unit::Day {
        return Err(bad_argument(format!("'{name}' is not a valid DATE field")));
    }
    Ok(unit)
}

fn kind(of_date: bool) -> &'static str {
    if of_date { "DATE" } else { "TIMESTAMP" }
}

pub(super) fn out_of_calendar() -> DataFusionError {
    out_of_range("date or timestamp is out of range")
}

pub(super) fn first_of(year: i32, month: u32) -> Result<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month, 1).ok_or_else(out_of_calendar)
}

pub(super) fn truncate(time: NaiveDateTime, unit: Unit) -> Result<NaiveDateTime> {
    let date = time.date();
    let clock = |h, m, s, ms: u32| date.and_hms_milli_opt(h, m, s, ms).ok_or_else(out_of_calendar);
    let midnight = |d: NaiveDate| d.and_hms_opt(0, 0, 0).ok_or_else(out_of_calendar);
    match unit {
        Unit::Millisecond => clock(
            time.hour(),
            time.minute(),
            time.second(),
            time.nanosecond() / 1_000_000,
        ),
        Unit::Second => clock(time.hour(), time.minute(), time.second(), 0),
        Unit::Minute => clock(time.hour(), time.minute(), 0, 0),
        Unit::Hour => clock(time.hour(), 0, 0, 0),
        Unit::Day => midnight(date),
        Unit::Week => {
            let back = Days::new(date.weekday().num_days_from_monday().into());
            midnight(date.checked_sub_days(back).ok_or_else(out_of_calendar)?)
        }
        Unit::Month => midnight(first_of(date.year(), date.month())?),
        Unit::Quarter => midnight(first_of(date.year(), date.month0() / 3 * 3 + 1)?),
        Unit::Year => midnight(first_of(date.year(), 1)?),
    }
}

pub(super) fn add(time: NaiveDateTime, unit: Unit, n: i64) -> Result<NaiveDateTime> {
    let months = |per: i64| -> Result<NaiveDateTime> {
        let total = n.checked_mul(per).ok_or_else(out_of_calendar)?;
        let months = Months::new(u32::try_from(total.unsigned_abs()).map_err(|_| out_of_calendar())?);
        if total < 0 {
            time.checked_sub_months(months)
        } else {
            time.checked_add_months(months)
        }
        .ok_or_else(out_of_calendar)
    };
    let millis = |per: i64| -> Result<NaiveDateTime> {
        let delta = n
            .checked_mul(per)
            .and_then(chrono::TimeDelta::try_milliseconds)
            .ok_or_else(out_of_calendar)?;
        time.checked_add_signed(delta).ok_or_else(out_of_calendar)
    };
    match unit {
        Unit::Millisecond => millis(1),
        Unit::Second => millis(1_000),
        Unit::Minute => millis(60_000),
        Unit::Hour => millis(3_600_000),
        Unit::Day => millis(86_400_000),
        Unit::Week => millis(7 * 86_400_000),
        Unit::Month => months(1),
        Unit::Quarter => months(3),
        Unit::Year => months(12),
    }
}

/// Whole units from `a` to `b`, toward zero.
pub(super) fn diff(a: NaiveDateTime, b: NaiveDateTime, unit: Unit) -> Result<i64> {
    let millis = (b.and_utc().timestamp_millis()) - (a.and_utc().timestamp_millis());
    Ok(match unit {
        Unit::Millisecond => millis,
        Unit::Second => millis / 1_000,
        Unit::Minute => millis / 60_000,
        Unit::Hour => millis / 3_600_000,
        Unit::Day => millis / 86_400_000,
        Unit::Week => millis / (7 * 86_400_000),
        Unit::Month => months_between(a, b)?,
        Unit::Quarter => months_between(a, b)? / 3,
        Unit::Year => months_between(a, b)? / 12,
    })
}

/// Joda's count: the most months that, added to `a` (clamped to the month's end), do not pass `b`.
fn months_between(a: NaiveDateTime, b: NaiveDateTime) -> Result<i64> {
    if b < a {
        return Ok(-months_between_forward(b, a)?);
    }
    months_between_forward(a, b)
}

fn months_between_forward(from: NaiveDateTime, to: NaiveDateTime) -> Result<i64> {
    let guess = i64::from(to.year() - from.year()) * 12 + i64::from(to.month()) - i64::from(from.month());
    // Day of month and time of day decide whether the last month is whole; the last day of a month counts
    // as whole when the start lies past it.
    let last_day = to
        .date()
        .with_day(1)
        .and_then(|d| d.checked_add_months(Months::new(1)))
        .and_then(|d| d.pred_opt());
    let last = last_day.ok_or_else(out_of_calendar)?.day();
    let start_day = from.day().min(last);
    let before = (to.day(), to.time()) < (start_day, from.time());
    Ok(guess - i64::from(before))
}
