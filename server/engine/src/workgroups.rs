//! Workgroups: named limits that queries run under; of the configuration (fixed) or made by SQL (in `ledger.db`).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use owlake_fault::{Code, Fault};
use owlake_metering::Ledger;

use crate::admission::GroupLimits;
use crate::config::{WorkgroupConfig, WorkgroupState};
use crate::context::{DEFAULT_WORKGROUP, QueryContext};
use crate::engine::Shared;

/// Athena's limit per account and region.
const MOST: usize = 1_000;

/// Where a workgroup comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// There without anybody's doing: `primary`.
    Built,
    /// A `[[workgroup]]` of the configuration.
    Config,
    /// CREATE or ALTER WORKGROUP.
    Sql,
}

impl Origin {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Built => "built-in",
            Self::Config => "config",
            Self::Sql => "sql",
        }
    }
}

type Groups = BTreeMap<String, (Origin, Arc<WorkgroupConfig>)>;

/// All workgroups of the process.
#[derive(Debug)]
pub(crate) struct Workgroups {
    groups: Arc<RwLock<Groups>>,
    ledger: Arc<Ledger>,
    /// One change at a time: what is checked is what is written.
    changing: tokio::sync::Mutex<()>,
}

impl Workgroups {
    /// Those of the configuration, those of the ledger, and `primary`. A stored one whose name the configuration
    /// has taken since stays stored and does not count.
    pub(crate) fn open(config: &[WorkgroupConfig], ledger: Arc<Ledger>) -> Result<Self, Fault> {
        let mut groups = BTreeMap::new();
        let primary = WorkgroupConfig {
            name: DEFAULT_WORKGROUP.to_owned(),
            ..WorkgroupConfig::default()
        };
        groups.insert(primary.name.clone(), (Origin::Built, Arc::new(primary)));
        for (name, definition) in ledger.stored_workgroups() {
            let group: WorkgroupConfig = serde_json::from_str(definition).map_err(|e| {
                Fault::new(
                    Code::GenericInternalError,
                    format!("workgroup `{name}` in the ledger cannot be read"),
                )
                .with_source(e)
            })?;
            groups.insert(name.clone(), (Origin::Sql, Arc::new(group)));
        }
        for group in config {
            check_name(&group.name)?;
            groups.insert(group.name.clone(), (Origin::Config, Arc::new(group.clone())));
        }
        Ok(Self {
            groups: Arc::new(RwLock::new(groups)),
            ledger,
            changing: tokio::sync::Mutex::default(),
        })
    }

    /// A workgroup that queries may run in now.
    pub(crate) fn usable(&self, name: &str) -> Result<Arc<WorkgroupConfig>, Fault> {
        let group = self.get(name).ok_or_else(|| {
            let error = Fault::new(
                Code::InvalidSessionProperty,
                format!("workgroup `{name}` does not exist"),
            );
            error.with_hint("SHOW WORKGROUPS lists them; SET SESSION workgroup picks one.")
        })?;
        match group.state {
            WorkgroupState::Enabled => Ok(group),
            WorkgroupState::Disabled => Err(Fault::new(
                Code::InvalidSessionProperty,
                format!("workgroup `{name}` is disabled"),
            )
            .with_hint("SET SESSION workgroup picks another one; its owner can enable it.")),
        }
    }

    /// A workgroup, whatever its state.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<WorkgroupConfig>> {
        self.read(|groups| groups.get(name).map(|(_, group)| Arc::clone(group)))
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<(Origin, Arc<WorkgroupConfig>)> {
        self.read(|groups| groups.values().cloned().collect())
    }

    /// CREATE. False where it exists and that is fine.
    pub(crate) async fn create(&self, group: WorkgroupConfig, if_not_exists: bool) -> Result<bool, Fault> {
        check_name(&group.name)?;
        let _one = self.changing.lock().await;
        if self.get(&group.name).is_some() {
            if if_not_exists {
                return Ok(false);
            }
            return Err(Fault::new(
                Code::AlreadyExists,
                format!("workgroup `{}` exists", group.name),
            ));
        }
        if self.read(BTreeMap::len) >= MOST {
            return Err(Fault::new(
                Code::InvalidArguments,
                format!("there are {MOST} workgroups, which is the limit"),
            ));
        }
        self.store(group).await?;
        Ok(true)
    }

    /// ALTER: `change` gets the limits as they are.
    pub(crate) async fn alter(
        &self,
        name: &str,
        change: impl FnOnce(&mut WorkgroupConfig) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let _one = self.changing.lock().await;
        let (_, group) = self.changeable(name)?;
        let mut group = WorkgroupConfig::clone(&group);
        change(&mut group)?;
        self.store(group).await
    }

    /// DROP; `primary` stays. Queries that run in it go on. False where it is missing and that is fine.
    pub(crate) async fn drop_group(&self, name: &str, if_exists: bool) -> Result<bool, Fault> {
        let _one = self.changing.lock().await;
        if if_exists && self.get(name).is_none() {
            return Ok(false);
        }
        self.changeable(name)?;
        if name == DEFAULT_WORKGROUP {
            return Err(Fault::new(
                Code::InvalidArguments,
                format!("workgroup `{name}` cannot be dropped"),
            ));
        }
        let (groups, gone) = (Arc::clone(&self.groups), name.to_owned());
        let remove = move || {
            write(&groups, |groups| groups.remove(&gone));
        };
        self.ledger.drop_workgroup(name.to_owned(), remove).await?;
        Ok(true)
    }

    fn changeable(&self, name: &str) -> Result<(Origin, Arc<WorkgroupConfig>), Fault> {
        match self.read(|groups| groups.get(name).cloned()) {
            None => Err(Fault::new(
                Code::NotFound,
                format!("workgroup `{name}` does not exist"),
            )),
            Some((Origin::Config, _)) => Err(Fault::new(
                Code::NotSupported,
                format!("workgroup `{name}` comes from the configuration and is not changed by SQL"),
            )
            .with_hint("Change its [[workgroup]] entry and start the server again.")),
            Some(found) => Ok(found),
        }
    }

    async fn store(&self, group: WorkgroupConfig) -> Result<(), Fault> {
        let definition = serde_json::to_string(&group)
            .map_err(|e| Fault::new(Code::GenericInternalError, "internal error").with_source(e))?;
        let (groups, name) = (Arc::clone(&self.groups), group.name.clone());
        let insert = move || {
            write(&groups, |groups| {
                groups.insert(group.name.clone(), (Origin::Sql, Arc::new(group)))
            });
        };
        self.ledger.put_workgroup(name, definition, insert).await?;
        Ok(())
    }

    fn read<T>(&self, f: impl FnOnce(&Groups) -> T) -> T {
        f(&self.groups.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn write<T>(groups: &RwLock<Groups>, f: impl FnOnce(&mut Groups) -> T) -> T {
    f(&mut groups.write().unwrap_or_else(PoisonError::into_inner))
}

impl Shared {
    /// The workgroup of a query; `primary` for statements that pick another one, so that a session whose workgroup
    /// has gone can leave it.
    pub(crate) fn workgroup_of(
        &self,
        context: &QueryContext,
        sql: &str,
    ) -> Result<Arc<WorkgroupConfig>, Fault> {
        let first = sql.split_whitespace().next().unwrap_or_default();
        let picks = ["SET", "RESET"]
            .iter()
            .any(|word| first.eq_ignore_ascii_case(word));
        match self.workgroups.usable(&context.settings.workgroup) {
            Err(_unusable) if picks => self.workgroups.usable(DEFAULT_WORKGROUP),
            usable => usable,
        }
    }

    /// The cap of a query: the lowest of server, workgroup and session.
    pub(crate) fn cap(&self, context: &QueryContext, workgroup: &WorkgroupConfig) -> Option<u64> {
        [
            self.config.max_data_scanned_bytes,
            workgroup.bytes_scanned_cutoff_per_query,
            context.settings.max_data_scanned_bytes,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

impl WorkgroupConfig {
    pub(crate) fn group_limits(&self) -> GroupLimits {
        GroupLimits {
            max_running: self.max_running,
            max_queued: self.max_queued,
        }
    }
}

/// Athena's rule for names, in lower case.
fn check_name(name: &str) -> Result<(), Fault> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if (1..=128).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(Fault::new(
        Code::InvalidArguments,
        format!("`{}` cannot be a workgroup's name", name.escape_debug()),
    )
    .with_hint("Use at most 128 of a-z, 0-9, `.`, `_` and `-`."))
}
