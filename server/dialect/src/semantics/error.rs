//! How the dialect's semantic errors travel: a [`Fault`] inside DataFusion's error, found again by `fault_of`.

use datafusion::error::DataFusionError;
use owlake_fault::{Code, Fault};

/// Wraps a fault for DataFusion's layers.
pub(crate) fn fault(fault: Fault) -> DataFusionError {
    DataFusionError::External(Box::new(fault))
}

/// `INVALID_FUNCTION_ARGUMENT`.
pub(crate) fn bad_argument(what: impl Into<String>) -> DataFusionError {
    fault(Fault::new(Code::InvalidFunctionArgument, what))
}

/// `INVALID_CAST_ARGUMENT`.
pub(crate) fn bad_cast(what: impl Into<String>) -> DataFusionError {
    fault(Fault::new(Code::InvalidCastArgument, what))
}

/// `NUMERIC_VALUE_OUT_OF_RANGE`.
pub(crate) fn out_of_range(what: impl Into<String>) -> DataFusionError {
    fault(Fault::new(Code::NumericValueOutOfRange, what))
}

/// `TYPE_MISMATCH`.
pub(crate) fn type_mismatch(what: impl Into<String>) -> DataFusionError {
    fault(Fault::new(Code::TypeMismatch, what))
}

/// `NOT_SUPPORTED`, pointing at the section of the user page that says what differs.
pub(crate) fn not_supported(what: &str, anchor: &str) -> DataFusionError {
    fault(Fault::new(
        Code::NotSupported,
        format!("{what} is not built yet; see docs/sql-differences.md#{anchor}"),
    ))
}
