//! One SELECT while it is being put together.

use super::value::Value;

/// A statement that grows; it is wrapped into a subquery where something does not fit into it any more.
#[derive(Debug, Clone)]
pub(super) struct Select {
    /// What is selected, in the order of the plan's columns.
    pub columns: Vec<Value>,
    /// What stands after FROM.
    pub from: String,
    /// Whether that is several tables.
    pub joined: bool,
    /// What stands after WHERE, joined by AND.
    pub conditions: Vec<String>,
    /// Whether rows are those of groups; by nothing where the list is empty.
    pub groups: Option<Vec<String>>,
    /// What stands after ORDER BY.
    pub order: Vec<String>,
    /// Rows that are passed over.
    pub skip: u64,
    /// The most rows.
    pub limit: Option<u64>,
    /// Whether it is more than the rows of one table that pass a condition.
    pub works: bool,
    /// Whether it may have more rows than all its tables together.
    pub multiplies: bool,
    /// Rows as far as anybody knows.
    pub rows: Option<u64>,
}

impl Select {
    /// All of one table or subquery.
    pub(super) fn from(from: String, columns: Vec<Value>, rows: Option<u64>) -> Self {
        Self {
            columns,
            from,
            joined: false,
            conditions: Vec::new(),
            groups: None,
            order: Vec::new(),
            skip: 0,
            limit: None,
            works: false,
            multiplies: false,
            rows,
        }
    }

    /// Whether conditions, joins and groups can be added.
    pub(super) fn is_flat(&self) -> bool {
        self.groups.is_none() && self.order.is_empty() && self.limit.is_none() && self.skip == 0
    }

    /// FROM as an operand of a join.
    pub(super) fn operand(&self) -> String {
        if self.joined {
            format!("({})", self.from)
        } else {
            self.from.clone()
        }
    }

    /// WHERE and what follows, from here on with these conditions besides.
    fn rest(&self) -> String {
        let mut sql = String::new();
        if !self.conditions.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&self.conditions.join(" AND "));
        }
        if let Some(groups) = self.groups.as_ref().filter(|groups| !groups.is_empty()) {
            sql.push_str(" GROUP BY ");
            sql.push_str(&groups.join(", "));
        }
        if !self.order.is_empty() {
            sql.push_str(" ORDER BY ");
            sql.push_str(&self.order.join(", "));
        }
        if let Some(limit) = self.limit {
            sql.push_str(&format!(" LIMIT {limit}"));
        }
        if self.skip > 0 {
            sql.push_str(&format!(" OFFSET {}", self.skip));
        }
        sql
    }

    /// The statement; its columns are called `c0`, `c1` and so on.
    pub(super) fn sql(&self) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, value)| format!("{} AS c{at}", value.sql))
            .collect();
        format!("SELECT {} FROM {}{}", columns.join(", "), self.from, self.rest())
    }

    /// Whether a row is there, with one condition more.
    pub(super) fn exists(mut self, condition: Option<String>) -> String {
        self.conditions.extend(condition);
        format!("EXISTS (SELECT 1 FROM {}{})", self.from, self.rest())
    }
}
