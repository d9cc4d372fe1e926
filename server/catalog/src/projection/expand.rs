//! From rules, a query's domains and its time to partitions: counted first, then produced one by one.

use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::column::Rule;
use super::layout::{Layout, check_injected};
use super::notice::no_match;
use super::values::{Item, Selection, Values};
use super::{ProjectedColumn, ProjectionSpec};
use crate::domain::{Domain, Domains, PartitionValue};
use crate::error::CatalogError;

/// Most values a query may give for one injected column (Athena's limit).
const MAX_INJECTED: usize = 1_000;

/// One partition that projection yields. Whether anything lies there is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectedPartition {
    /// The value of each partition column, in the column's SQL type.
    pub values: Vec<PartitionValue>,
    /// The same as Hive writes it: integers with their `digits`, dates `yyyy-MM-dd`, timestamps
    /// `yyyy-MM-dd HH:mm:ss[.f]`, strings as they are.
    pub texts: Vec<String>,
    /// Where its files are, with a slash at its end.
    pub location: String,
}

/// The partitions of one scan, produced one by one: columns in declared order, the last one fastest.
#[derive(Debug)]
pub struct Expansion {
    /// Partitions without any filter (`u64::MAX` for more); `None` where an injected column leaves it open.
    pub total: Option<u64>,
    /// Partitions left by the filter: what this iterator yields in all.
    pub selected: u64,
    /// What the user should know when nothing is left: which filter missed which property.
    pub notices: Vec<String>,
    layout: Arc<Layout>,
    columns: Vec<Cursor>,
    remaining: u64,
}

/// One column's walk over its selected values.
#[derive(Debug)]
struct Cursor {
    values: Values,
    selection: Selection,
    range: usize,
    index: u128,
    item: Item,
}

impl ProjectionSpec {
    /// The partitions whose values satisfy `domains` at `now`; the rest costs nothing.
    ///
    /// Exactly those for which [`Domain::contains`] holds for every column. Domains of other columns are ignored.
    ///
    /// # Errors
    /// `InjectedFilter` where an injected column has no list of 1 to 1,000 usable values;
    /// `TooManyPartitions` where more than `max_partitions` are left, before any is made;
    /// `Property` where a NOW offset leaves the years 1 to 9999.
    pub fn expand(
        &self,
        domains: &Domains,
        now: DateTime<Utc>,
        max_partitions: u64,
    ) -> Result<Expansion, CatalogError> {
        // Injected columns first: their error must come before any other work, as in Athena.
        for column in self.columns.iter().filter(|c| matches!(c.rule, Rule::Injected)) {
            self.check_injected_domain(column, domain_of(column, domains))?;
        }
        let mut total = Some(1_u128);
        let mut selected = 1_u128;
        let mut notices = Vec::new();
        let mut cuts = Vec::with_capacity(self.columns.len());
        for column in self.columns.iter() {
            let domain = domain_of(column, domains);
            let values = self.values(column, domain, now)?;
            let selection = values
                .select(domain)
                .map_err(|_| CatalogError::TooManyPartitions {
                    table: self.table.to_string(),
                    limit: max_partitions,
                    count: format!(
                        "{} values of {} have to be tested, as its format does not sort like its dates",
                        values.len(),
                        column.name
                    ),
                    columns: vec![column.name.clone()],
                })?;
            total = match column.rule {
                Rule::Injected => None,
                _ => total.map(|t| t.saturating_mul(values.len())),
            };
            let count = selection
                .iter()
                .map(|range| range.end - range.start)
                .sum::<u128>();
            selected = selected.saturating_mul(count);
            if count == 0 {
                notices.extend(no_match(&self.table, column, &values, domain, now));
            }
            cuts.push((values, selection, count));
        }
        let Some(selected) = u64::try_from(selected)
            .ok()
            .filter(|count| *count <= max_partitions)
        else {
            let counts: Vec<u128> = cuts.iter().map(|(_, _, count)| *count).collect();
            return Err(self.too_many(domains, &counts, selected, max_partitions));
        };
        Ok(Expansion {
            total: total.map(|t| u64::try_from(t).unwrap_or(u64::MAX)),
            selected,
            notices,
            layout: Arc::clone(&self.layout),
            columns: cuts
                .into_iter()
                .filter_map(|(values, cut, _)| Cursor::new(values, cut))
                .collect(),
            remaining: selected,
        })
    }

    fn values(
        &self,
        column: &ProjectedColumn,
        domain: &Domain,
        now: DateTime<Utc>,
    ) -> Result<Values, CatalogError> {
        Ok(match &column.rule {
            Rule::Enum(values) => Values::Listed(Arc::clone(values)),
            Rule::Integer(rule) => Values::Integers {
                rule: *rule,
                column_type: column.column_type,
            },
            Rule::Date(rule) => {
                let (start, end) = rule.bounds(now).map_err(|reason| CatalogError::Property {
                    table: self.table.to_string(),
                    property: column.property("range"),
                    reason: format!("= '{}': {reason}", rule.range),
                })?;
                Values::Dates {
                    times: rule.times(start, end),
                    format: Arc::clone(&rule.format),
                    column_type: column.column_type,
                }
            }
            Rule::Injected => {
                let texts = domain
                    .points()
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|point| match point {
                        PartitionValue::Text(text) => Some((point.clone(), text.clone())),
                        _ => None,
                    });
                Values::Listed(Arc::new(texts.collect()))
            }
        })
    }

    fn check_injected_domain(&self, column: &ProjectedColumn, domain: &Domain) -> Result<(), CatalogError> {
        let refuse = |detail: String| CatalogError::InjectedFilter {
            table: self.table.to_string(),
            column: column.name.clone(),
            detail,
        };
        let unusable = |why: String| {
            refuse(format!(
                " Predicates provided cannot be converted to a valid partition. {why}"
            ))
        };
        let points = domain.points().ok_or_else(|| refuse(String::new()))?;
        if points.len() > MAX_INJECTED {
            return Err(unusable(format!(
                "At most {MAX_INJECTED} values are allowed, {} were given.",
                points.len()
            )));
        }
        for point in points {
            let PartitionValue::Text(text) = point else {
                return Err(unusable(format!("{} is not a string.", point.sql_literal())));
            };
            check_injected(text)
                .map_err(|why| unusable(format!("The value {} {why}.", point.sql_literal())))?;
        }
        Ok(())
    }

    fn too_many(&self, domains: &Domains, counts: &[u128], selected: u128, limit: u64) -> CatalogError {
        let named = |unfiltered_only: bool| {
            let mut wide: Vec<(u128, &str)> = self
                .columns
                .iter()
                .zip(counts)
                .filter(|(column, count)| {
                    **count > 1 && !(unfiltered_only && *domain_of(column, domains) != Domain::All)
                })
                .map(|(column, count)| (*count, column.name.as_str()))
                .collect();
            wide.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
            wide.into_iter()
                .map(|(_, name)| name.to_owned())
                .collect::<Vec<_>>()
        };
        let mut columns = named(true);
        if columns.is_empty() {
            columns = named(false);
        }
        let more = if selected == u128::MAX { "more than " } else { "" };
        CatalogError::TooManyPartitions {
            table: self.table.to_string(),
            limit,
            count: format!("{more}{selected}"),
            columns,
        }
    }
}

fn domain_of<'a>(column: &ProjectedColumn, domains: &'a Domains) -> &'a Domain {
    domains.get(&column.name).unwrap_or(&Domain::All)
}

impl Cursor {
    /// At the first value; `None` where nothing is selected.
    fn new(values: Values, selection: Selection) -> Option<Self> {
        let index = selection.first()?.start;
        let item = values.item(index);
        Some(Self {
            values,
            selection,
            range: 0,
            index,
            item,
        })
    }

    /// Goes to the next value; false where that wraps around to the first.
    fn advance(&mut self) -> bool {
        let current: Option<&Range<u128>> = self.selection.get(self.range);
        let wrapped = if current.is_some_and(|range| self.index + 1 < range.end) {
            self.index += 1;
            false
        } else {
            self.range += 1;
            let wrapped = self.range >= self.selection.len();
            if wrapped {
                self.range = 0;
            }
            self.index = self.selection.get(self.range).map_or(0, |range| range.start);
            wrapped
        };
        self.item = self.values.item(self.index);
        !wrapped
    }
}

impl Iterator for Expansion {
    type Item = ProjectedPartition;

    fn next(&mut self) -> Option<ProjectedPartition> {
        self.remaining = self.remaining.checked_sub(1)?;
        let partition = ProjectedPartition {
            values: self.columns.iter().map(|c| c.item.value.clone()).collect(),
            texts: self.columns.iter().map(|c| c.item.text.clone()).collect(),
            location: self
                .layout
                .location(|index| self.columns.get(index).map_or("", |c| c.item.path.as_str())),
        };
        if self.remaining > 0 {
            // Like an odometer: a column that wraps moves the one before it.
            for column in self.columns.iter_mut().rev() {
                if column.advance() {
                    break;
                }
            }
        }
        Some(partition)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let exact = usize::try_from(self.remaining).ok();
        (exact.unwrap_or(usize::MAX), exact)
    }
}

impl std::iter::FusedIterator for Expansion {}
