//! The session properties that clients may set: one list for SET SESSION, session options and headers.

use std::collections::BTreeMap;
use std::time::Duration;

use owlake_dialect::SessionValue;
use owlake_fault::{Code, Fault};
use owlake_metering::Usd;

use crate::context::SessionSettings;
use crate::reuse::MAX_AGE;

/// One property of the allow-list.
#[derive(Debug, Clone, Copy)]
pub struct SettingInfo {
    /// Name in SQL, headers and session options.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
}

/// Every session property there is. Engine settings of DataFusion are never among them.
pub const SETTINGS: &[SettingInfo] = &[
    SettingInfo {
        name: "catalog",
        description: "Catalog of names without a catalog part",
    },
    SettingInfo {
        name: "database",
        description: "Database of names without a database part (alias: schema)",
    },
    SettingInfo {
        name: "log_object_requests",
        description: "Whether requests to object stores are kept in system.object_requests",
    },
    SettingInfo {
        name: "max_cost_usd",
        description: "Cap on cost_usd of each query, such as 0.05; may only lower the server's",
    },
    SettingInfo {
        name: "max_data_scanned_bytes",
        description: "Cap on data_scanned_bytes of each query; may only lower the server's",
    },
    SettingInfo {
        name: "query_timeout",
        description: "Longest life of a query, such as 30s or 5m; may only lower the server's",
    },
    SettingInfo {
        name: "result_reuse_max_age",
        description: "Age up to which the kept result of an equal query over the same files is given again, such as \
                      60m; 0s for never",
    },
    SettingInfo {
        name: "source",
        description: "What the client calls itself, kept in system.queries",
    },
    SettingInfo {
        name: "tags",
        description: "Free tags, k=v,k2=v2, kept in system.queries",
    },
    SettingInfo {
        name: "verify_pushdown",
        description: "Whether a query over tables of other databases runs twice, once with all its work done here, and \
                      fails where the two answers differ",
    },
    SettingInfo {
        name: "workgroup",
        description: "Workgroup whose limits apply",
    },
];

fn bad(name: &str, reason: impl std::fmt::Display) -> Fault {
    Fault::new(
        Code::InvalidSessionProperty,
        format!("session property \"{name}\" {reason}"),
    )
}

impl SessionSettings {
    /// Sets one property from SQL.
    pub fn set(&mut self, name: &str, value: &SessionValue) -> Result<(), Fault> {
        self.set_text(name, &value.to_string())
    }

    /// Sets one property from text; an empty text resets it.
    pub fn set_text(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        if value.is_empty() {
            return self.reset(name);
        }
        match name {
            "catalog" => self.catalog = value.to_ascii_lowercase(),
            "database" | "schema" => self.database = value.to_ascii_lowercase(),
            "workgroup" => self.workgroup = value.to_ascii_lowercase(),
            "log_object_requests" => self.log_object_requests = boolean(name, value)?,
            "verify_pushdown" => self.verify_pushdown = boolean(name, value)?,
            "source" => self.source = Some(text(name, value)?),
            "tags" => self.tags = tags(value)?,
            "max_data_scanned_bytes" | "max_data_scanned" => {
                self.max_data_scanned_bytes = Some(parse_bytes(name, value)?)
            }
            "max_cost_usd" => self.max_cost_usd = Some(parse_usd(name, value)?),
            "query_timeout" => self.query_timeout = Some(parse_duration(name, value)?),
            "result_reuse_max_age" => {
                let age = parse_duration(name, value)?;
                if age > MAX_AGE {
                    return Err(bad(name, format!("`{value}` is more than 7 days")));
                }
                self.result_reuse_max_age = Some(age);
            }
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    /// Back to the default of a new session.
    pub fn reset(&mut self, name: &str) -> Result<(), Fault> {
        let fresh = Self::default();
        match name {
            "catalog" => self.catalog = fresh.catalog,
            "database" | "schema" => self.database = fresh.database,
            "workgroup" => self.workgroup = fresh.workgroup,
            "log_object_requests" => self.log_object_requests = fresh.log_object_requests,
            "verify_pushdown" => self.verify_pushdown = fresh.verify_pushdown,
            "source" => self.source = fresh.source,
            "tags" => self.tags = fresh.tags,
            "max_data_scanned_bytes" | "max_data_scanned" => self.max_data_scanned_bytes = None,
            "max_cost_usd" => self.max_cost_usd = None,
            "query_timeout" => self.query_timeout = None,
            "result_reuse_max_age" => self.result_reuse_max_age = None,
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    /// Current value as text, empty where unset.
    pub fn get(&self, name: &str) -> Option<String> {
        Some(match name {
            "catalog" => self.catalog.clone(),
            "database" | "schema" => self.database.clone(),
            "workgroup" => self.workgroup.clone(),
            "log_object_requests" => self.log_object_requests.to_string(),
            "verify_pushdown" => self.verify_pushdown.to_string(),
            "source" => self.source.clone().unwrap_or_default(),
            "tags" => self
                .tags
                .iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect::<Vec<_>>()
                .join(","),
            "max_data_scanned_bytes" => self
                .max_data_scanned_bytes
                .map(|b| b.to_string())
                .unwrap_or_default(),
            "max_cost_usd" => self.max_cost_usd.map(|usd| usd.to_string()).unwrap_or_default(),
            "query_timeout" => seconds(self.query_timeout),
            "result_reuse_max_age" => seconds(self.result_reuse_max_age),
            _ => return None,
        })
    }
}

fn seconds(duration: Option<Duration>) -> String {
    duration
        .map(|d| format!("{}s", d.as_secs_f64()))
        .unwrap_or_default()
}

fn unknown(name: &str) -> Fault {
    let known = SETTINGS.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
    bad(name, "does not exist").with_hint(format!("Known are: {known}."))
}

fn text(name: &str, value: &str) -> Result<String, Fault> {
    if value.len() > 256 || value.chars().any(char::is_control) {
        return Err(bad(name, "has more than 256 bytes or control characters"));
    }
    Ok(value.to_owned())
}

fn boolean(name: &str, value: &str) -> Result<bool, Fault> {
    if value.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if value.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err(bad(name, "is true or false"))
    }
}

fn tags(value: &str) -> Result<BTreeMap<String, String>, Fault> {
    let mut tags = BTreeMap::new();
    for pair in value.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (key, tag) = pair
            .split_once('=')
            .ok_or_else(|| bad("tags", "is not of the form k=v,k2=v2"))?;
        tags.insert(text("tags", key.trim())?, text("tags", tag.trim())?);
    }
    if tags.len() > 32 {
        return Err(bad("tags", "has more than 32 tags"));
    }
    Ok(tags)
}

/// `1000000`, `10MB` (10^6), `10MiB` (2^20).
pub(crate) fn parse_bytes(name: &str, value: &str) -> Result<u64, Fault> {
    let value = value.trim();
    let digits = value
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let unit: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => {
            return Err(bad(name, format!("`{value}` has an unknown unit")).with_hint("Write 500MB or 2GiB."));
        }
    };
    let malformed = || bad(name, format!("`{value}` is not a size")).with_hint("Write 500MB or 2GiB.");
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit).ok_or_else(malformed);
    }
    let number: f64 = number.parse().map_err(|_not_a_number| malformed())?;
    let bytes = number * unit as f64;
    if bytes.is_finite() && bytes < 9e18 {
        Ok(bytes as u64)
    } else {
        Err(malformed())
    }
}

/// `0.05`: dollars, decimal, not negative.
fn parse_usd(name: &str, value: &str) -> Result<Usd, Fault> {
    let malformed = || bad(name, format!("`{value}` is not an amount of dollars")).with_hint("Write 0.05.");
    let usd: Usd = value.trim().parse().map_err(|e| malformed().with_source(e))?;
    if usd < Usd::ZERO {
        Err(malformed())
    } else {
        Ok(usd)
    }
}

/// `30s`, `5m`, `24h`, `500ms`.
pub(crate) fn parse_duration(name: &str, value: &str) -> Result<Duration, Fault> {
    let malformed = || bad(name, format!("`{value}` is not a duration")).with_hint("Write 30s, 5m or 24h.");
    let value = value.trim();
    let digits = value
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let number: f64 = number.parse().map_err(|_not_a_number| malformed())?;
    let seconds = match unit.trim() {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        "d" => number * 86_400.0,
        _ => return Err(malformed()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_out_of_range| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_setting_can_be_set_read_and_reset() {
        let values = [
            ("catalog", "pg"),
            ("database", "sales"),
            ("log_object_requests", "true"),
            ("max_cost_usd", "0.050000000000"),
            ("max_data_scanned_bytes", "1000000"),
            ("query_timeout", "30s"),
            ("result_reuse_max_age", "3600s"),
            ("source", "bi"),
            ("tags", "a=1,b=2"),
            ("verify_pushdown", "true"),
            ("workgroup", "bi"),
        ];
        assert_eq!(
            values.map(|(n, _)| n).to_vec(),
            SETTINGS.iter().map(|s| s.name).collect::<Vec<_>>()
        );
        for (name, value) in values {
            let mut settings = SessionSettings::default();
            settings.set_text(name, value).unwrap();
            assert_eq!(settings.get(name).as_deref(), Some(value));
            settings.reset(name).unwrap();
            assert_eq!(settings, SessionSettings::default());
        }
    }

    #[test]
    fn engine_settings_are_out_of_reach() {
        let mut settings = SessionSettings::default();
        for name in [
            "datafusion.execution.batch_size",
            "datafusion.runtime.temp_directory",
            "batch_size",
        ] {
            assert_eq!(
                settings.set_text(name, "1").unwrap_err().code(),
                Code::InvalidSessionProperty
            );
        }
    }

    #[test]
    fn a_kept_result_may_be_a_week_old_at_most() {
        let mut settings = SessionSettings::default();
        settings.set_text("result_reuse_max_age", "7d").unwrap();
        for value in ["8d", "x", "-1s"] {
            assert!(
                settings.set_text("result_reuse_max_age", value).is_err(),
                "{value}"
            );
        }
    }

    #[test]
    fn sizes_are_decimal_or_binary_by_their_unit() {
        let mut settings = SessionSettings::default();
        for (value, bytes) in [
            ("10MB", 10_000_000),
            ("1MiB", 1 << 20),
            ("1.5GB", 1_500_000_000),
            ("7", 7),
        ] {
            settings.set_text("max_data_scanned_bytes", value).unwrap();
            assert_eq!(settings.max_data_scanned_bytes, Some(bytes));
        }
        for value in ["x", "10 apples", "-1MB", "99999999999TB"] {
            assert!(
                settings.set_text("max_data_scanned_bytes", value).is_err(),
                "{value}"
            );
        }
    }
}
