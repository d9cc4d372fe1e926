//! `system.settings`: the session properties with their value in this session, and what the server was configured with.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::error::ArrowError;

use super::columns::Columns;
use crate::config::ServerSetting;
use crate::context::{QueryContext, SessionSettings};
use crate::settings::{SETTINGS, SettingInfo};

/// Where a value was set.
fn source(row: &ServerSetting) -> &'static str {
    match (row.value == row.default, row.env.is_empty()) {
        (true, _) => "default",
        (false, true) => "session",
        (false, false) => "server",
    }
}

pub(super) fn batch(context: &QueryContext, server: &[ServerSetting]) -> Result<RecordBatch, ArrowError> {
    let fresh = SessionSettings::default();
    let of_session = |s: &SettingInfo| ServerSetting {
        name: s.name.to_owned(),
        value: context.settings.get(s.name).unwrap_or_default(),
        default: fresh.get(s.name).unwrap_or_default(),
        env: String::new(),
        description: s.description.to_owned(),
    };
    let session = SETTINGS.iter().map(of_session);
    let rows: Vec<ServerSetting> = session.chain(server.iter().cloned()).collect();
    Columns::of(&rows)
        .text("name", |s| Some(&s.name))
        .text("value", |s| Some(&s.value))
        .text("default", |s| Some(&s.default))
        .text("source", |s| Some(source(s)))
        .text("env", |s| Some(s.env.as_str()).filter(|env| !env.is_empty()))
        .text("description", |s| Some(&s.description))
        .finish()
}
