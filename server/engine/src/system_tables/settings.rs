//! `system.settings`: the session properties with their value in this session.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::error::ArrowError;

use crate::context::{QueryContext, SessionSettings};
use crate::settings::{SETTINGS, SettingInfo};

pub(super) fn batch(context: &QueryContext) -> Result<RecordBatch, ArrowError> {
    let fresh = SessionSettings::default();
    let column = |f: &dyn Fn(&SettingInfo) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(SETTINGS.iter().map(f)))
    };
    RecordBatch::try_from_iter([
        ("name", column(&|s| s.name.to_owned())),
        (
            "value",
            column(&|s| context.settings.get(s.name).unwrap_or_default()),
        ),
        ("default", column(&|s| fresh.get(s.name).unwrap_or_default())),
        ("description", column(&|s| s.description.to_owned())),
    ])
}
