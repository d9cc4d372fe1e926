//! CREATE, ALTER, DROP and SHOW of workgroups and quotas.

use super::cursor::{Cursor, shown};
use super::lexer::Kind;
use super::session;
use crate::DialectError;
use crate::limits::{CreateQuota, LimitCommand, Properties, QuotaUnit};
use crate::statement::Command;

/// The statement at the cursor, when it is about workgroups or quotas.
pub(super) fn statement(cursor: &mut Cursor) -> Option<Result<Command, DialectError>> {
    let read: fn(&mut Cursor) -> Result<LimitCommand, DialectError> =
        if cursor.accept(&["CREATE", "WORKGROUP"]) {
            create_workgroup
        } else if cursor.accept(&["ALTER", "WORKGROUP"]) {
            alter_workgroup
        } else if cursor.accept(&["DROP", "WORKGROUP"]) {
            |cursor| {
                let (if_exists, name) = dropped(cursor, "a workgroup name")?;
                Ok(LimitCommand::DropWorkgroup { if_exists, name })
            }
        } else if cursor.accept(&["SHOW", "WORKGROUPS"]) {
            |_| Ok(LimitCommand::ShowWorkgroups)
        } else if cursor.accept(&["CREATE", "QUOTA"]) {
            create_quota
        } else if cursor.accept(&["DROP", "QUOTA"]) {
            |cursor| {
                let (if_exists, name) = dropped(cursor, "a quota name")?;
                Ok(LimitCommand::DropQuota { if_exists, name })
            }
        } else if cursor.accept(&["SHOW", "QUOTAS"]) {
            |_| Ok(LimitCommand::ShowQuotas)
        } else {
            return None;
        };
    Some(read(cursor).map(Command::Limits))
}

fn create_workgroup(cursor: &mut Cursor) -> Result<LimitCommand, DialectError> {
    let if_not_exists = cursor.accept(&["IF", "NOT", "EXISTS"]);
    let name = name(cursor, "a workgroup name")?;
    let properties = if cursor.accept(&["WITH"]) {
        properties(cursor)?
    } else {
        Properties::new()
    };
    Ok(LimitCommand::CreateWorkgroup {
        if_not_exists,
        name,
        properties,
    })
}

fn alter_workgroup(cursor: &mut Cursor) -> Result<LimitCommand, DialectError> {
    let name = name(cursor, "a workgroup name")?;
    cursor.expect(&["SET"])?;
    Ok(LimitCommand::AlterWorkgroup {
        name,
        properties: properties(cursor)?,
    })
}

fn dropped(cursor: &mut Cursor, what: &str) -> Result<(bool, String), DialectError> {
    let if_exists = cursor.accept(&["IF", "EXISTS"]);
    Ok((if_exists, name(cursor, what)?))
}

fn create_quota(cursor: &mut Cursor) -> Result<LimitCommand, DialectError> {
    let if_not_exists = cursor.accept(&["IF", "NOT", "EXISTS"]);
    let quota = name(cursor, "a quota name")?;
    let keyed_by_principal = cursor.accept(&["KEYED"]);
    if keyed_by_principal {
        cursor.expect(&["BY"])?;
        cursor.expect(&["PRINCIPAL"])?;
    }
    cursor.expect(&["FOR", "INTERVAL"])?;
    let count = number(cursor, 1, 1_000, "a number of units from 1 to 1000")?;
    let unit = unit(cursor)?;
    cursor.expect(&["MAX"])?;
    let mut limits = Properties::new();
    loop {
        property(cursor, &mut limits)?;
        if !cursor.accept_symbol(',') {
            break;
        }
    }
    let mut warn_percent = None;
    if cursor.accept(&["WARN"]) {
        cursor.expect(&["AT"])?;
        let percent = number(cursor, 1, 100, "a share from 1 to 100")?;
        warn_percent = u8::try_from(percent).ok();
        cursor.expect(&["PERCENT"])?;
    }
    cursor.expect(&["TO", "WORKGROUP"])?;
    Ok(LimitCommand::CreateQuota(CreateQuota {
        if_not_exists,
        name: quota,
        keyed_by_principal,
        count,
        unit,
        limits,
        warn_percent,
        workgroup: name(cursor, "a workgroup name")?,
    }))
}

/// A bare word, or text in any quotes where it has `.` or `-`; lower case.
fn name(cursor: &mut Cursor, what: &str) -> Result<String, DialectError> {
    match cursor.peek() {
        Kind::Single(text) | Kind::Double(text) => {
            let name = text.to_lowercase();
            cursor.advance();
            Ok(name)
        }
        _ => cursor.identifier(what),
    }
}

fn number(cursor: &mut Cursor, least: u32, most: u32, what: &str) -> Result<u32, DialectError> {
    let found = match cursor.peek() {
        Kind::Number(text) => text.parse::<u32>().ok(),
        Kind::Single(text) => text.trim().parse::<u32>().ok(),
        _ => None,
    };
    match found.filter(|n| (least..=most).contains(n)) {
        Some(number) => {
            cursor.advance();
            Ok(number)
        }
        None => Err(cursor.unexpected(what)),
    }
}

fn unit(cursor: &mut Cursor) -> Result<QuotaUnit, DialectError> {
    for (words, unit) in [
        (["HOUR", "HOURS"], QuotaUnit::Hour),
        (["DAY", "DAYS"], QuotaUnit::Day),
        (["WEEK", "WEEKS"], QuotaUnit::Week),
        (["MONTH", "MONTHS"], QuotaUnit::Month),
    ] {
        if words.iter().any(|word| cursor.accept(&[*word])) {
            return Ok(unit);
        }
    }
    Err(cursor.unexpected("HOUR, DAY, WEEK or MONTH"))
}

/// `(k = v, ...)`
fn properties(cursor: &mut Cursor) -> Result<Properties, DialectError> {
    cursor.expect_symbol('(')?;
    let mut found = Properties::new();
    loop {
        property(cursor, &mut found)?;
        if !cursor.accept_symbol(',') {
            break;
        }
    }
    cursor.expect_symbol(')')?;
    Ok(found)
}

fn property(cursor: &mut Cursor, found: &mut Properties) -> Result<(), DialectError> {
    let place = cursor.location();
    let name = cursor.identifier("a property name")?;
    if found.iter().any(|(known, _)| *known == name) {
        return Err(DialectError::syntax(
            format!("property {} is there twice", shown(&name)),
            place,
        ));
    }
    cursor.expect_symbol('=')?;
    let value = session::value(cursor)?;
    found.push((name, value));
    Ok(())
}
