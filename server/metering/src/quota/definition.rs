//! What a quota says: resources, limits, and its calendar windows in UTC.

use chrono::{DateTime, Datelike, NaiveDate, TimeZone, Utc};
use serde::{Deserialize, Serialize};

use crate::budget::decimal_bytes;
use crate::usd::Usd;

/// A quota, as CREATE QUOTA made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaDefinition {
    /// Its name, lower case.
    pub name: String,
    /// Whose queries it is for.
    pub workgroup: String,
    /// Each principal has a budget of its own.
    pub keyed_by_principal: bool,
    /// Its windows.
    pub interval: QuotaInterval,
    /// Most bytes per window, as the counter `data_scanned_bytes`.
    pub max_data_scanned_bytes: Option<u64>,
    /// Most money per window, by the price plan.
    pub max_cost_usd: Option<Usd>,
    /// Share of a limit at which a warning is sent.
    pub warn_percent: Option<u8>,
}

/// What a quota limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuotaResource {
    /// Bytes.
    DataScannedBytes,
    /// Money, in 10^-12 dollars.
    CostUsd,
}

impl QuotaResource {
    /// Both, in the order of their discriminants.
    pub const ALL: [Self; 2] = [Self::DataScannedBytes, Self::CostUsd];

    /// The name in statements and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DataScannedBytes => "data_scanned_bytes",
            Self::CostUsd => "cost_usd",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.as_str() == name)
    }

    /// An amount as people read it.
    pub(super) fn shown(self, amount: u64) -> String {
        match self {
            Self::DataScannedBytes => decimal_bytes(amount),
            Self::CostUsd => format!("{} USD", Usd::from_pico(i128::from(amount))),
        }
    }

    /// An amount for machines.
    pub(super) fn exact(self, amount: u64) -> String {
        match self {
            Self::DataScannedBytes => amount.to_string(),
            Self::CostUsd => Usd::from_pico(i128::from(amount)).to_string(),
        }
    }
}

impl QuotaDefinition {
    /// The limit of a resource, in its unit; money beyond 18 million dollars stops there.
    pub(super) fn limit(&self, resource: QuotaResource) -> Option<u64> {
        match resource {
            QuotaResource::DataScannedBytes => self.max_data_scanned_bytes,
            QuotaResource::CostUsd => self.max_cost_usd.map(pico),
        }
    }
}

/// Saturating; prices and limits are never negative.
pub(super) fn pico(usd: Usd) -> u64 {
    u64::try_from(usd.pico().max(0)).unwrap_or(u64::MAX)
}

/// The unit of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuotaPeriod {
    /// Full hours.
    Hour,
    /// Days from 00:00.
    Day,
    /// Weeks from Monday 00:00.
    Week,
    /// Calendar months.
    Month,
}

/// `count` units: windows that lie end to end from 1970 on (weeks: from Monday, 1970-01-05).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaInterval {
    /// Units per window, at least 1.
    pub count: u32,
    /// The unit.
    pub unit: QuotaPeriod,
}

impl std::fmt::Display for QuotaInterval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = match self.unit {
            QuotaPeriod::Hour => "hour",
            QuotaPeriod::Day => "day",
            QuotaPeriod::Week => "week",
            QuotaPeriod::Month => "month",
        };
        write!(f, "{} {unit}", self.count)
    }
}

impl QuotaInterval {
    /// Start and end of the window that `at` lies in; `None` beyond the calendar.
    pub fn window(&self, at: DateTime<Utc>) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let count = i64::from(self.count.max(1));
        if self.unit == QuotaPeriod::Month {
            let month = i64::from(at.year()) * 12 + i64::from(at.month0());
            // 1970-01 is month 23640, which not every count divides: windows are counted from there.
            let index = (month - 1970 * 12).div_euclid(count);
            let first = |index: i64| -> Option<DateTime<Utc>> {
                let month = index.checked_mul(count)?.checked_add(1970 * 12)?;
                let year = i32::try_from(month.div_euclid(12)).ok()?;
                let month = u32::try_from(month.rem_euclid(12)).ok()? + 1;
                let day = NaiveDate::from_ymd_opt(year, month, 1)?;
                Some(Utc.from_utc_datetime(&day.and_hms_opt(0, 0, 0)?))
            };
            return Some((first(index)?, first(index + 1)?));
        }
        let (unit, origin) = match self.unit {
            QuotaPeriod::Hour => (3_600, 0),
            QuotaPeriod::Week => (7 * 86_400, 4 * 86_400),
            QuotaPeriod::Day | QuotaPeriod::Month => (86_400, 0),
        };
        let length = unit * count;
        let start = (at.timestamp() - origin).div_euclid(length) * length + origin;
        let time = |seconds| DateTime::from_timestamp(seconds, 0);
        Some((time(start)?, time(start.checked_add(length)?)?))
    }
}
