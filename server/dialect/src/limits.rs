//! Statements over workgroups and quotas: plain data. Which properties exist and what they mean is the engine's.

use crate::statement::{SessionValue, StatementClass};

/// Names and literals, in the order written; names are lower case, each there once.
pub type Properties = Vec<(String, SessionValue)>;

/// A statement over workgroups or quotas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitCommand {
    /// `CREATE WORKGROUP [IF NOT EXISTS] w [WITH (k = v, ...)]`
    CreateWorkgroup {
        /// No error when it exists.
        if_not_exists: bool,
        /// Its name.
        name: String,
        /// Limits.
        properties: Properties,
    },
    /// `ALTER WORKGROUP w SET (k = v, ...)`
    AlterWorkgroup {
        /// Which.
        name: String,
        /// Limits to change; `DEFAULT` takes one away.
        properties: Properties,
    },
    /// `DROP WORKGROUP [IF EXISTS] w`
    DropWorkgroup {
        /// No error when it is missing.
        if_exists: bool,
        /// Which.
        name: String,
    },
    /// `SHOW WORKGROUPS`
    ShowWorkgroups,
    /// `CREATE QUOTA ...`
    CreateQuota(CreateQuota),
    /// `DROP QUOTA [IF EXISTS] q`
    DropQuota {
        /// No error when it is missing.
        if_exists: bool,
        /// Which.
        name: String,
    },
    /// `SHOW QUOTAS`
    ShowQuotas,
}

/// `CREATE QUOTA [IF NOT EXISTS] q [KEYED BY principal] FOR INTERVAL n unit MAX k = v, ... [WARN AT n PERCENT]
/// TO WORKGROUP w`: ClickHouse's grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateQuota {
    /// No error when it exists.
    pub if_not_exists: bool,
    /// Its name.
    pub name: String,
    /// Each principal has a budget of its own.
    pub keyed_by_principal: bool,
    /// How many units a window has, at least 1.
    pub count: u32,
    /// The unit.
    pub unit: QuotaUnit,
    /// Resources and what may be used of each.
    pub limits: Properties,
    /// Share of a limit at which a warning is sent, 1 to 100.
    pub warn_percent: Option<u8>,
    /// Whose queries it is for.
    pub workgroup: String,
}

/// Units of a quota's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaUnit {
    /// Full hours.
    Hour,
    /// Days from 00:00 UTC.
    Day,
    /// Weeks from Monday 00:00 UTC.
    Week,
    /// Calendar months.
    Month,
}

impl LimitCommand {
    /// The class that is reported for it.
    pub fn class(&self) -> StatementClass {
        match self {
            Self::ShowWorkgroups | Self::ShowQuotas => StatementClass::Utility,
            _ => StatementClass::Ddl,
        }
    }
}
