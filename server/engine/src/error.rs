//! From DataFusion's errors to faults: ours found in the chain, its own classified.

use datafusion::error::DataFusionError;
use owlake_fault::{Code, Fault, fault_of};

/// The fault behind an error that crossed DataFusion.
///
/// Ours come back as they went in; SQL errors by the dialect's table; what a decoder refused with the name of its file.
/// What is left is a defect.
pub(crate) fn fault_from(error: DataFusionError) -> Fault {
    if let Some(fault) = fault_of(&error) {
        return fault.clone();
    }
    if let Some(fault) = owlake_dialect::semantics::fault_from_datafusion(&error) {
        return fault;
    }
    match owlake_scan::file_of(&error) {
        Some(from) => {
            let reason = first_line(&error.find_root().to_string());
            let text = format!(
                "file `{}` of `{}` cannot be read: {reason}",
                from.file, from.table
            );
            Fault::new(Code::HiveBadData, text).with_source(error)
        }
        None => Fault::new(Code::GenericInternalError, "internal error").with_source(error),
    }
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(300)
        .collect()
}
