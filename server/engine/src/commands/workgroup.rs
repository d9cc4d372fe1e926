//! CREATE, ALTER, DROP WORKGROUP and SHOW WORKGROUPS.

use std::time::Duration;

use owlake_dialect::{LimitCommand, Properties, SessionValue};
use owlake_fault::{Code, Fault};

use super::{CommandOutcome, CommandRunner, text_rows};
use crate::authorizer::{Action, Resource};
use crate::config::{WorkgroupConfig, WorkgroupState};
use crate::resolve::SYSTEM_SCHEMA;
use crate::settings::{parse_bytes, parse_duration};

/// Columns of SHOW WORKGROUPS.
pub(super) const WORKGROUP_COLUMNS: [&str; 7] = [
    "name",
    "state",
    "bytes_scanned_cutoff_per_query",
    "max_running",
    "max_queued",
    "result_reuse_max_age",
    "defined_by",
];

/// Athena's smallest cutoff.
const LEAST_CUTOFF: u64 = 10_000_000;

impl CommandRunner {
    /// Statements over workgroups and quotas.
    pub(super) async fn limits(&self, command: LimitCommand) -> Result<CommandOutcome, Fault> {
        match command {
            LimitCommand::CreateWorkgroup {
                if_not_exists,
                name,
                properties,
            } => {
                self.may_change("workgroups")?;
                let mut group = WorkgroupConfig {
                    name,
                    ..WorkgroupConfig::default()
                };
                set(&mut group, &properties)?;
                self.workgroups.create(group, if_not_exists).await?;
            }
            LimitCommand::AlterWorkgroup { name, properties } => {
                self.may_change("workgroups")?;
                self.workgroups
                    .alter(&name, |group| set(group, &properties))
                    .await?;
            }
            LimitCommand::DropWorkgroup { if_exists, name } => {
                self.may_change("workgroups")?;
                self.refuse_quotas_of(&name)?;
                self.workgroups.drop_group(&name, if_exists).await?;
            }
            LimitCommand::ShowWorkgroups => return self.show_workgroups(),
            LimitCommand::CreateQuota(create) => self.create_quota(create).await?,
            LimitCommand::DropQuota { if_exists, name } => self.drop_quota(name, if_exists).await?,
            LimitCommand::ShowQuotas => return self.show_quotas(),
        }
        Ok(CommandOutcome::nothing())
    }

    /// Limits are changed by whom the authorizer lets change `system.workgroups` or `system.quotas`.
    pub(super) fn may_change(&self, what: &str) -> Result<(), Fault> {
        let resource = Resource {
            catalog: &self.context.settings.catalog,
            database: SYSTEM_SCHEMA,
            table: Some(what),
        };
        self.resolver.authorize(&self.context, Action::Change, resource)
    }

    fn show_workgroups(&self) -> Result<CommandOutcome, Fault> {
        let rows = self
            .workgroups
            .all()
            .into_iter()
            .map(|(origin, group)| {
                [
                    Some(group.name.clone()),
                    Some(group.state.as_str().to_owned()),
                    group.bytes_scanned_cutoff_per_query.map(|n| n.to_string()),
                    group.max_running.map(|n| n.to_string()),
                    group.max_queued.map(|n| n.to_string()),
                    group
                        .result_reuse_max_age
                        .map(|age| format!("{}s", age.as_secs_f64())),
                    Some(origin.as_str().to_owned()),
                ]
            })
            .collect();
        Ok(CommandOutcome::rows(text_rows(WORKGROUP_COLUMNS, rows)?))
    }
}

/// Takes the properties over; `DEFAULT` takes a limit away.
fn set(group: &mut WorkgroupConfig, properties: &Properties) -> Result<(), Fault> {
    for (name, value) in properties {
        let text = value.to_string();
        let default = matches!(value, SessionValue::Text(t) if t.eq_ignore_ascii_case("default"));
        match name.as_str() {
            "bytes_scanned_cutoff_per_query" => {
                group.bytes_scanned_cutoff_per_query = (!default).then(|| cutoff(name, &text)).transpose()?;
            }
            "max_running" => group.max_running = (!default).then(|| count(name, &text, 1)).transpose()?,
            "max_queued" => group.max_queued = (!default).then(|| count(name, &text, 0)).transpose()?,
            "result_reuse_max_age" => {
                group.result_reuse_max_age = (!default).then(|| age(name, &text)).transpose()?;
            }
            "state" if default => group.state = WorkgroupState::default(),
            "state" => {
                group.state = WorkgroupState::from_name(&text)
                    .ok_or_else(|| refused(name, &text, "Write 'ENABLED' or 'DISABLED'."))?;
            }
            _ => {
                let error = Fault::new(
                    Code::InvalidArguments,
                    format!("workgroups have no property `{name}`"),
                );
                return Err(error.with_hint(format!("Known are: {}.", WORKGROUP_COLUMNS[1..6].join(", "))));
            }
        }
    }
    Ok(())
}

pub(super) fn refused(name: &str, value: &str, hint: &str) -> Fault {
    let value: String = value.chars().take(64).collect();
    Fault::new(
        Code::InvalidArguments,
        format!("`{name}` cannot be '{}'", value.escape_debug()),
    )
    .with_hint(hint)
}

pub(super) fn size(name: &str, value: &str) -> Result<u64, Fault> {
    parse_bytes(name, value)
        .map_err(|_not_a_size| refused(name, value, "Write a size such as '500MB' or '2GiB'."))
}

fn cutoff(name: &str, value: &str) -> Result<u64, Fault> {
    match size(name, value)? {
        bytes if bytes >= LEAST_CUTOFF => Ok(bytes),
        _ => Err(refused(name, value, "The smallest cutoff is 10MB, as in Athena.")),
    }
}

fn count(name: &str, value: &str, least: usize) -> Result<usize, Fault> {
    let number = value
        .trim()
        .parse::<usize>()
        .ok()
        .filter(|n| (least..=1_000_000).contains(n));
    number.ok_or_else(|| refused(name, value, &format!("Write a whole number, at least {least}.")))
}

/// Athena's bound on the age of a reused result: seven days.
fn age(name: &str, value: &str) -> Result<Duration, Fault> {
    let hint = "Write a duration of at most 7 days, such as '60m'.";
    parse_duration(name, value)
        .ok()
        .filter(|age| *age <= Duration::from_secs(7 * 86_400))
        .ok_or_else(|| refused(name, value, hint))
}
