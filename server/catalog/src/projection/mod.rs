//! Partition projection: partitions computed from table properties instead of read from the catalog.
//!
//! Pure: no I/O, and the time is an argument. [`ProjectionSpec::parse`] reads and checks the properties,
//! [`ProjectionSpec::expand`] yields the partitions a query's filter leaves, without enumerating the rest.

mod column;
mod date_format;
mod date_pattern;
mod date_range;
mod expand;
mod layout;
mod notice;
mod registered;
mod values;

#[cfg(test)]
mod properties_tests;
#[cfg(test)]
mod refused_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use column::{ColumnType, Properties, Refusal, Rule, SUFFIXES};
pub use expand::{Expansion, ProjectedPartition};
use layout::Layout;
pub use registered::{hive_location, parse_hive_path, partition_values};

use crate::error::CatalogError;
use crate::model::Table;

/// Turns projection on.
pub const ENABLED: &str = "projection.enabled";
/// Where projected partitions lie; `${column}` stands for a value.
pub const LOCATION_TEMPLATE: &str = "storage.location.template";

const PREFIX: &str = "projection.";

/// The projection rules of one table, checked. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ProjectionSpec {
    table: Arc<str>,
    columns: Arc<Vec<ProjectedColumn>>,
    layout: Arc<Layout>,
}

#[derive(Debug)]
struct ProjectedColumn {
    name: String,
    hive_type: String,
    column_type: ColumnType,
    rule: Rule,
}

impl ProjectionSpec {
    /// Reads the projection properties of `table`; `None` where `projection.enabled` is not `true`, and for
    /// views (Athena ignores the properties there).
    ///
    /// Column names in keys and placeholders match case-insensitively, as the catalog lower-cases columns.
    ///
    /// # Errors
    /// `Property` with what is wrong and what would be right, for the first property that cannot be used;
    /// `ProjectionColumnsMissing` for partition columns without any property.
    pub fn parse(table: &Table) -> Result<Option<Self>, CatalogError> {
        let view = table
            .table_type
            .as_deref()
            .is_some_and(|t| t.eq_ignore_ascii_case("VIRTUAL_VIEW"));
        if !table.projection_enabled() || view {
            return Ok(None);
        }
        let name = table.qualified_name();
        let property = |refusal: Refusal| CatalogError::Property {
            table: name.clone(),
            property: refusal.property,
            reason: refusal.reason,
        };
        if table.partition_keys.is_empty() {
            return Err(property(Refusal {
                property: ENABLED.to_owned(),
                reason: "cannot be 'true' on a table that is not partitioned; remove it, or declare PARTITIONED BY columns"
                    .to_owned(),
            }));
        }
        let properties = sort_properties(table).map_err(property)?;
        let missing: Vec<String> = table
            .partition_keys
            .iter()
            .zip(&properties)
            .filter(|(_, found)| found.is_empty())
            .map(|(key, _)| key.name.clone())
            .collect();
        if !missing.is_empty() {
            return Err(CatalogError::ProjectionColumnsMissing {
                table: name,
                columns: missing,
            });
        }
        let mut columns = Vec::with_capacity(properties.len());
        for (key, found) in table.partition_keys.iter().zip(&properties) {
            let (column_type, rule) = found.rule().map_err(property)?;
            let (name, hive_type) = (key.name.clone(), key.data_type.clone());
            columns.push(ProjectedColumn {
                name,
                hive_type,
                column_type,
                rule,
            });
        }
        let layout = read_layout(table, &columns).map_err(property)?;
        Ok(Some(Self {
            table: name.into(),
            columns: Arc::new(columns),
            layout: Arc::new(layout),
        }))
    }

    /// One line per partition column, in order, for DESCRIBE and EXPLAIN:
    /// `dt string: date 'yyyy-MM-dd' from '2020-01-01,NOW' every 1 DAYS`.
    pub fn describe(&self) -> Vec<String> {
        self.columns.iter().map(ProjectedColumn::describe).collect()
    }
}

impl ProjectedColumn {
    fn property(&self, suffix: &str) -> String {
        format!("{PREFIX}{}.{suffix}", self.name)
    }

    fn describe(&self) -> String {
        let rule = match &self.rule {
            Rule::Enum(values) => {
                let texts: Vec<&str> = values.iter().map(|(_, text)| text.as_str()).collect();
                format!("'{}'", texts.join(","))
            }
            Rule::Integer(rule) => {
                let digits = if rule.digits > 0 {
                    format!(", {} digits", rule.digits)
                } else {
                    String::new()
                };
                format!(
                    "from {} to {} every {}{digits}",
                    rule.min, rule.max, rule.interval
                )
            }
            Rule::Date(rule) => format!(
                "'{}' from '{}' every {} {}",
                rule.format.pattern(),
                rule.range,
                rule.interval,
                rule.unit.as_str()
            ),
            Rule::Injected => "(each query must give its values with = or IN)".to_owned(),
        };
        format!("{} {}: {} {rule}", self.name, self.hive_type, self.rule.as_str())
    }
}

/// Gives each `projection.` property to its partition column; keys that belong nowhere are refused by name.
fn sort_properties(table: &Table) -> Result<Vec<Properties<'_>>, Refusal> {
    let mut sorted: Vec<Properties<'_>> = table
        .partition_keys
        .iter()
        .map(|key| Properties::new(&key.name, &key.data_type))
        .collect();
    for (key, value) in &table.parameters {
        let Some(rest) = key.strip_prefix(PREFIX).filter(|_| key != ENABLED) else {
            continue;
        };
        let mut named = table
            .partition_keys
            .iter()
            .zip(&mut sorted)
            .filter_map(|(column, properties)| Some((suffix_of(rest, &column.name)?, properties)))
            .peekable();
        let is_column = named.peek().is_some();
        let known = named.find_map(|(text, properties)| {
            SUFFIXES
                .iter()
                .find(|suffix| **suffix == text)
                .map(|suffix| (*suffix, properties))
        });
        match known {
            Some((suffix, properties)) => properties.add(suffix, key, value)?,
            None => return Err(unknown_key(table, key, rest, is_column)),
        }
    }
    Ok(sorted)
}

/// What follows `<column>.` in `rest`.
fn suffix_of<'a>(rest: &'a str, column: &str) -> Option<&'a str> {
    rest.get(..column.len())
        .filter(|head| head.eq_ignore_ascii_case(column))
        .and_then(|_| rest.get(column.len()..)?.strip_prefix('.'))
}

fn unknown_key(table: &Table, key: &str, rest: &str, is_column: bool) -> Refusal {
    let data_column = table
        .storage_descriptor
        .columns
        .iter()
        .find(|column| suffix_of(rest, &column.name).is_some());
    let keys: Vec<&str> = table.partition_keys.iter().map(|key| key.name.as_str()).collect();
    let reason = match (is_column, data_column) {
        (true, _) => format!("is not known; a partition column has {}", SUFFIXES.join(", ")),
        (false, Some(column)) => format!(
            "cannot be defined for non-partition column: '{}'; the partition columns are [{}]",
            column.name,
            keys.join(", ")
        ),
        (false, None) => {
            format!(
                "names no column of the table; the partition columns are [{}]",
                keys.join(", ")
            )
        }
    };
    Refusal {
        property: key.to_owned(),
        reason,
    }
}

fn read_layout(table: &Table, columns: &[ProjectedColumn]) -> Result<Layout, Refusal> {
    let refuse = |property: &str, reason: String| Refusal {
        property: property.to_owned(),
        reason,
    };
    let layout = match table.parameters.get(LOCATION_TEMPLATE) {
        Some(template) => {
            let named: Vec<(&str, bool)> = columns
                .iter()
                .map(|c| (c.name.as_str(), matches!(c.rule, Rule::Injected)))
                .collect();
            Layout::template(template, &named).map_err(|reason| refuse(LOCATION_TEMPLATE, reason))?
        }
        None => {
            let location = table
                .storage_descriptor
                .location
                .as_deref()
                .filter(|l| !l.is_empty());
            let location = location.ok_or_else(|| {
                let reason = "is missing, and the table has no LOCATION either; set one of them";
                refuse(LOCATION_TEMPLATE, reason.to_owned())
            })?;
            Layout::hive(location, columns.iter().map(|c| c.name.clone()).collect())
        }
    };
    for column in columns {
        match &column.rule {
            Rule::Enum(values) => {
                for (_, text) in values.iter() {
                    layout
                        .check_defined(text)
                        .map_err(|r| refuse(&column.property("values"), r))?;
                }
            }
            Rule::Date(rule) => {
                let sample = rule.format.print(chrono::NaiveDateTime::default());
                layout
                    .check_defined(&sample)
                    .map_err(|r| refuse(&column.property("format"), r))?;
            }
            Rule::Integer(_) | Rule::Injected => {}
        }
    }
    Ok(layout)
}
