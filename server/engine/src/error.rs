//! From DataFusion's errors to faults: ours found in the chain, its own classified.

use datafusion::error::DataFusionError;
use owlake_fault::{Code, Fault, fault_of};

/// The fault behind an error that crossed DataFusion.
///
/// Ours come back as they went in; SQL errors by the dialect's table; what is left is a defect.
pub(crate) fn fault_from(error: DataFusionError) -> Fault {
    if let Some(fault) = fault_of(&error) {
        return fault.clone();
    }
    if let Some(fault) = owlake_dialect::semantics::fault_from_datafusion(&error) {
        return fault;
    }
    if let DataFusionError::External(_) | DataFusionError::ParquetError(_) | DataFusionError::ArrowError(..) =
        error.find_root()
    {
        return bad_data(error);
    }
    Fault::new(Code::GenericInternalError, "internal error").with_source(error)
}

/// What the decoder of a file refused, with the file's name.
fn bad_data(error: DataFusionError) -> Fault {
    let reason = first_line(&error.find_root().to_string());
    let text = match owlake_scan::file_of(&error) {
        Some(from) => format!(
            "file `{}` of `{}` cannot be read: {reason}",
            from.file, from.table
        ),
        None => format!("a file cannot be read: {reason}"),
    };
    Fault::new(Code::HiveBadData, text).with_source(error)
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(300)
        .collect()
}
