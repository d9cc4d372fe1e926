//! The one door from [`Fault`] to `tonic::Status`: the table of gRPC codes, the trailers, the error details, the log line.
//!
//! Nothing else makes a status. What a client may read was decided where the fault was made; only
//! internal faults are masked here.

use std::error::Error;
use std::fmt::Write as _;

use bytes::Bytes;
use owlake_fault::{Fault, Kind, Retry};
use prost::Message;
use prost_types::Any;
use tonic::metadata::{AsciiMetadataValue, BinaryMetadataValue, MetadataMap};
use tonic::{Code, Status};

/// `google.rpc.ErrorInfo.domain` of every error of this server.
pub(crate) const ERROR_DOMAIN: &str = "owlake";

/// Longest status message in bytes as they travel (percent-encoded).
///
/// Everything of a failed call travels in one header block and gRPC clients refuse blocks above 8 KiB: the
/// message, its copy in the details and the receipt have to fit together.
const MESSAGE_MAX_BYTES: usize = 2048;

/// Longest receipt that is put beside an error; a longer one is fetched by query id.
pub(crate) const RECEIPT_TRAILER_MAX_BYTES: usize = 2048;

/// `google.rpc.Status` (googleapis, google/rpc/status.proto), as far as it is used.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<Any>,
}

/// `google.rpc.ErrorInfo` (googleapis, google/rpc/error_details.proto) without its metadata map.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ErrorInfo {
    #[prost(string, tag = "1")]
    pub(crate) reason: String,
    #[prost(string, tag = "2")]
    pub(crate) domain: String,
}

/// `google.rpc.RetryInfo`: how long to wait before the same request is sent again.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub(crate) retry_delay: Option<prost_types::Duration>,
}

/// The gRPC code of each class of failure.
pub(crate) const fn grpc_code(kind: Kind) -> Code {
    match kind {
        Kind::InvalidQuery => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::Denied => Code::PermissionDenied,
        Kind::Limit => Code::ResourceExhausted,
        Kind::Cancelled => Code::Cancelled,
        Kind::Timeout => Code::DeadlineExceeded,
        Kind::BadTable => Code::FailedPrecondition,
        Kind::Changed => Code::Aborted,
        Kind::Unavailable => Code::Unavailable,
        Kind::Corrupt => Code::DataLoss,
        Kind::Unimplemented => Code::Unimplemented,
        Kind::Internal => Code::Internal,
    }
}

/// The status a client gets for `fault`, and the one log line about it.
///
/// `query_id` goes into `x-request-id`; `receipt` is an encoded `owlake.v1.QueryReceipt` for the
/// `owlake-receipt-bin` trailer (left out above [`RECEIPT_TRAILER_MAX_BYTES`]).
pub(crate) fn status(fault: &Fault, query_id: Option<&str>, receipt: Option<&[u8]>) -> Status {
    log(fault, query_id);
    let code = grpc_code(fault.kind());
    let message = client_text(fault, query_id);
    let details = details(fault, code, &message);
    let metadata = trailers(fault, query_id, receipt);
    Status::with_details_and_metadata(code, message, details, metadata)
}

fn client_text(fault: &Fault, query_id: Option<&str>) -> String {
    if fault.kind() == Kind::Internal {
        return match query_id {
            Some(id) => format!("{}: internal error, query {id}", fault.code()),
            None => format!("{}: internal error", fault.code()),
        };
    }
    shorten(fault.to_string())
}

/// Cuts `text` so that its percent-encoded form fits into [`MESSAGE_MAX_BYTES`].
fn shorten(mut text: String) -> String {
    const MARK: &str = "...";
    let encoded_len = |c: char| match c {
        '%' => 3,
        ' '..='~' => 1,
        _ => 3 * c.len_utf8(),
    };
    if text.chars().map(encoded_len).sum::<usize>() <= MESSAGE_MAX_BYTES {
        return text;
    }
    let mut room = MESSAGE_MAX_BYTES - MARK.len();
    let keep = text
        .char_indices()
        .find(|(_, c)| match room.checked_sub(encoded_len(*c)) {
            Some(rest) => {
                room = rest;
                false
            }
            None => true,
        })
        .map_or(text.len(), |(at, _)| at);
    text.truncate(keep);
    text.push_str(MARK);
    text
}

fn details(fault: &Fault, code: Code, message: &str) -> Bytes {
    let info = ErrorInfo {
        reason: fault.code().as_str().to_owned(),
        domain: ERROR_DOMAIN.to_owned(),
    };
    let mut details = vec![any("type.googleapis.com/google.rpc.ErrorInfo", &info)];
    if let Retry::Later(Some(delay)) = fault.retry() {
        let info = RetryInfo {
            retry_delay: prost_types::Duration::try_from(delay).ok(),
        };
        details.push(any("type.googleapis.com/google.rpc.RetryInfo", &info));
    }
    let status = RpcStatus {
        code: code as i32,
        message: message.to_owned(),
        details,
    };
    Bytes::from(status.encode_to_vec())
}

fn any(type_url: &str, message: &impl Message) -> Any {
    Any {
        type_url: type_url.to_owned(),
        value: message.encode_to_vec(),
    }
}

fn trailers(fault: &Fault, query_id: Option<&str>, receipt: Option<&[u8]>) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert(
        "owlake-error-code",
        AsciiMetadataValue::from_static(fault.code().as_str()),
    );
    if let Some(id) = query_id.and_then(|id| AsciiMetadataValue::try_from(id).ok()) {
        metadata.insert("x-request-id", id);
    }
    if let Retry::Later(Some(delay)) = fault.retry() {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        metadata.insert("retry-after-ms", AsciiMetadataValue::from(delay_ms));
    }
    if let Some(receipt) = receipt.filter(|bytes| bytes.len() <= RECEIPT_TRAILER_MAX_BYTES) {
        metadata.insert_bin("owlake-receipt-bin", BinaryMetadataValue::from_bytes(receipt));
    }
    metadata
}

/// Internal faults at error, broken dependencies and data at warn, faults of clients at debug.
fn log(fault: &Fault, query_id: Option<&str>) {
    let query_id = query_id.unwrap_or("-");
    match fault.kind() {
        Kind::Internal => tracing::error!(query_id, cause = causes(fault), "{fault}"),
        Kind::Unavailable | Kind::Corrupt => tracing::warn!(query_id, cause = causes(fault), "{fault}"),
        Kind::InvalidQuery
        | Kind::NotFound
        | Kind::AlreadyExists
        | Kind::Unauthenticated
        | Kind::Denied
        | Kind::Limit
        | Kind::Cancelled
        | Kind::Timeout
        | Kind::BadTable
        | Kind::Changed
        | Kind::Unimplemented => tracing::debug!(query_id, cause = causes(fault), "{fault}"),
    }
}

/// The texts of a fault's sources, outermost first; for the log only.
fn causes(fault: &Fault) -> String {
    let mut text = String::new();
    let mut next = fault.source();
    while let Some(cause) = next {
        let separator = if text.is_empty() { "" } else { ": " };
        // Writing to a String does not fail.
        let _ = write!(text, "{separator}{cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use owlake_fault::Code as FaultCode;

    use super::*;

    /// Second, literal copy of the table: a change has to be made twice.
    const EXPECTED: &[(FaultCode, Code)] = &[
        (FaultCode::SyntaxError, Code::InvalidArgument),
        (FaultCode::NotSupported, Code::InvalidArgument),
        (FaultCode::TableNotFound, Code::InvalidArgument),
        (FaultCode::PartitionNotFound, Code::InvalidArgument),
        (FaultCode::HandleNotFound, Code::NotFound),
        (FaultCode::TableAlreadyExists, Code::AlreadyExists),
        (FaultCode::Unauthenticated, Code::Unauthenticated),
        (FaultCode::PermissionDenied, Code::PermissionDenied),
        (FaultCode::LocationNotAllowed, Code::PermissionDenied),
        (FaultCode::ExceededScanLimit, Code::ResourceExhausted),
        (FaultCode::QueryQueueFull, Code::ResourceExhausted),
        (FaultCode::UserCanceled, Code::Cancelled),
        (FaultCode::ExceededTimeLimit, Code::DeadlineExceeded),
        (FaultCode::HiveInvalidMetadata, Code::FailedPrecondition),
        (FaultCode::HiveFileChanged, Code::Aborted),
        (FaultCode::HiveFilesystemError, Code::Unavailable),
        (FaultCode::ServerShuttingDown, Code::Unavailable),
        (FaultCode::HiveBadData, Code::DataLoss),
        (FaultCode::Unimplemented, Code::Unimplemented),
        (FaultCode::GenericInternalError, Code::Internal),
    ];

    #[test]
    fn codes_follow_the_table() {
        for (code, expected) in EXPECTED {
            assert_eq!(
                status(&Fault::new(*code, "x"), None, None).code(),
                *expected,
                "{code}"
            );
        }
    }

    #[test]
    fn the_literal_table_covers_every_kind() {
        for code in FaultCode::ALL {
            assert!(
                EXPECTED.iter().any(|(c, _)| c.kind() == code.kind()),
                "{code} has no row"
            );
        }
    }

    #[test]
    fn trailers_carry_code_query_delay_and_receipt() {
        let fault = Fault::new(FaultCode::QueryQueueFull, "100 queries are waiting")
            .with_retry(Retry::Later(Some(Duration::from_millis(1500))));
        let status = status(&fault, Some("q-1"), Some(b"receipt"));
        let metadata = status.metadata();
        let text = |key| {
            metadata
                .get(key)
                .and_then(|v: &AsciiMetadataValue| v.to_str().ok())
        };
        assert_eq!(text("owlake-error-code"), Some("QUERY_QUEUE_FULL"));
        assert_eq!(text("x-request-id"), Some("q-1"));
        assert_eq!(text("retry-after-ms"), Some("1500"));
        let receipt = metadata
            .get_bin("owlake-receipt-bin")
            .and_then(|v| v.to_bytes().ok());
        assert_eq!(receipt.as_deref(), Some(b"receipt".as_slice()));
    }

    #[test]
    fn details_are_a_google_rpc_status_with_error_info() {
        let fault = Fault::new(FaultCode::HiveFileChanged, "an object changed")
            .with_retry(Retry::Later(Some(Duration::from_secs(2))));
        let status = status(&fault, None, None);
        let details = RpcStatus::decode(status.details()).unwrap();
        assert_eq!(details.code, Code::Aborted as i32);
        assert_eq!(details.message, status.message());
        let info = ErrorInfo::decode(details.details[0].value.as_slice()).unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("HIVE_FILE_CHANGED", "owlake")
        );
        let retry = RetryInfo::decode(details.details[1].value.as_slice()).unwrap();
        assert_eq!(retry.retry_delay.map(|d| d.seconds), Some(2));
    }

    #[test]
    fn internal_faults_are_masked_and_causes_never_travel() {
        let fault = Fault::new(FaultCode::GenericInternalError, "lock of /srv/x poisoned")
            .with_source(std::io::Error::other("hidden cause"));
        let status = status(&fault, Some("q-7"), None);
        assert_eq!(
            status.message(),
            "GENERIC_INTERNAL_ERROR: internal error, query q-7"
        );
        assert!(!String::from_utf8_lossy(status.details()).contains("hidden"));
        assert_eq!(causes(&fault), "hidden cause");
    }

    #[test]
    fn long_texts_are_cut_at_a_character_and_fit_the_header() {
        let fault = Fault::new(FaultCode::SyntaxError, "ä".repeat(5000));
        let status = status(&fault, None, Some(&vec![0; RECEIPT_TRAILER_MAX_BYTES + 1]));
        assert!(status.message().ends_with("ä..."));
        let encoded: usize = status
            .message()
            .bytes()
            .map(|b| if b.is_ascii() { 1 } else { 3 })
            .sum();
        assert!(
            encoded <= MESSAGE_MAX_BYTES && encoded > MESSAGE_MAX_BYTES - 10,
            "{encoded}"
        );
        assert!(status.metadata().get_bin("owlake-receipt-bin").is_none());
    }

    #[test]
    fn a_query_id_that_is_no_header_value_is_left_out() {
        let status = status(&Fault::new(FaultCode::SyntaxError, "x"), Some("a\nb"), None);
        assert!(status.metadata().get("x-request-id").is_none());
    }
}
