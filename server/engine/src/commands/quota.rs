//! CREATE QUOTA, DROP QUOTA and SHOW QUOTAS.

use owlake_dialect::{CreateQuota, Properties, QuotaUnit};
use owlake_fault::{Code, Fault};
use owlake_metering::{QuotaDefinition, QuotaInterval, QuotaPeriod, Usd};

use super::workgroup::{refused, size};
use super::{CommandOutcome, CommandRunner, text_rows};

/// Columns of SHOW QUOTAS.
pub(super) const QUOTA_COLUMNS: [&str; 7] = [
    "name",
    "workgroup",
    "keyed_by",
    "interval",
    "max_data_scanned_bytes",
    "max_cost_usd",
    "warn_percent",
];

/// Quotas of one server.
const MOST: usize = 1_000;

impl CommandRunner {
    pub(super) async fn create_quota(&self, create: CreateQuota) -> Result<(), Fault> {
        self.may_change("quotas")?;
        let (max_data_scanned_bytes, max_cost_usd) = limits(&create.limits)?;
        if self.workgroups.get(&create.workgroup).is_none() {
            return Err(Fault::new(
                Code::NotFound,
                format!("workgroup `{}` does not exist", create.workgroup),
            ));
        }
        if self.quotas.all().len() >= MOST {
            return Err(Fault::new(
                Code::InvalidArguments,
                format!("there are {MOST} quotas, which is the limit"),
            ));
        }
        let definition = QuotaDefinition {
            name: create.name.clone(),
            workgroup: create.workgroup,
            keyed_by_principal: create.keyed_by_principal,
            interval: QuotaInterval {
                count: create.count,
                unit: match create.unit {
                    QuotaUnit::Hour => QuotaPeriod::Hour,
                    QuotaUnit::Day => QuotaPeriod::Day,
                    QuotaUnit::Week => QuotaPeriod::Week,
                    QuotaUnit::Month => QuotaPeriod::Month,
                },
            },
            max_data_scanned_bytes,
            max_cost_usd,
            warn_percent: create.warn_percent,
        };
        if self.quotas.create(definition).await? || create.if_not_exists {
            return Ok(());
        }
        Err(Fault::new(
            Code::AlreadyExists,
            format!("quota `{}` exists", create.name),
        ))
    }

    pub(super) async fn drop_quota(&self, name: String, if_exists: bool) -> Result<(), Fault> {
        self.may_change("quotas")?;
        if self.quotas.drop_quota(&name).await? || if_exists {
            return Ok(());
        }
        Err(Fault::new(
            Code::NotFound,
            format!("quota `{name}` does not exist"),
        ))
    }

    /// A workgroup is dropped after its quotas, so that one made anew does not find old ones on it.
    pub(super) fn refuse_quotas_of(&self, workgroup: &str) -> Result<(), Fault> {
        match self
            .quotas
            .all()
            .iter()
            .find(|quota| quota.workgroup == workgroup)
        {
            None => Ok(()),
            Some(quota) => Err(Fault::new(
                Code::InvalidArguments,
                format!("workgroup `{workgroup}` has quota `{}`", quota.name),
            )
            .with_hint("Drop its quotas first.")),
        }
    }

    pub(super) fn show_quotas(&self) -> Result<CommandOutcome, Fault> {
        let rows = self
            .quotas
            .all()
            .into_iter()
            .map(|quota| {
                [
                    Some(quota.name.clone()),
                    Some(quota.workgroup.clone()),
                    quota.keyed_by_principal.then(|| "principal".to_owned()),
                    Some(quota.interval.to_string()),
                    quota.max_data_scanned_bytes.map(|n| n.to_string()),
                    quota.max_cost_usd.map(|n| n.to_string()),
                    quota.warn_percent.map(|n| n.to_string()),
                ]
            })
            .collect();
        Ok(CommandOutcome::rows(text_rows(QUOTA_COLUMNS, rows)?))
    }
}

fn limits(properties: &Properties) -> Result<(Option<u64>, Option<Usd>), Fault> {
    let (mut bytes, mut cost) = (None, None);
    for (name, value) in properties {
        let text = value.to_string();
        match name.as_str() {
            "data_scanned_bytes" => bytes = Some(size(name, &text)?),
            "cost_usd" => {
                let amount = text.parse::<Usd>().ok().filter(|usd| *usd >= Usd::ZERO);
                let hint = "Write an amount such as 10 or '0.50'.";
                cost = Some(amount.ok_or_else(|| refused(name, &text, hint))?);
            }
            _ => {
                let error = Fault::new(Code::InvalidArguments, format!("quotas do not limit `{name}`"));
                return Err(error.with_hint("They limit data_scanned_bytes and cost_usd."));
            }
        }
    }
    Ok((bytes, cost))
}
