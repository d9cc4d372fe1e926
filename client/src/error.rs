//! [`ClientError`]: what a call can end with, sorted by what the caller does about it.

use std::time::Duration;

use arrow::error::ArrowError;
use arrow_flight::error::FlightError;
use owlake_proto::v1::QueryReceipt;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::options::OptionsError;
use crate::wire;

/// Errors by which the server refuses to spend more than allowed.
const REFUSAL_CODES: &[&str] = &["EXCEEDED_SCAN_LIMIT"];
/// Error of a query that was stopped on request.
const CANCEL_CODE: &str = "USER_CANCELED";

/// What the server said about a call that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Stable error name such as `TABLE_NOT_FOUND`; the gRPC code's name if the server gave none.
    pub code: String,
    /// The server's text, with its error name.
    pub message: String,
    /// What the query read until it failed, if it got that far.
    pub receipt: Option<Box<QueryReceipt>>,
    /// gRPC status code.
    pub grpc_code: Code,
    /// How long to wait before a retry makes sense, if the server said so.
    pub retry_after: Option<Duration>,
}

/// Why a call ended without its result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The options cannot be used; nothing was sent.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The server cannot be reached, or the connection was lost.
    #[error("no connection to {to}: {reason}")]
    Connect {
        /// Server address.
        to: String,
        /// The innermost cause as text.
        reason: String,
        /// The transport's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// `UNAUTHENTICATED` or `PERMISSION_DENIED`.
    #[error("{}", .0.message)]
    Denied(Failure),
    /// A cap on bytes was reached or would be passed.
    #[error("{}", .0.message)]
    Refused(Failure),
    /// The query was stopped on request, by whomever.
    #[error("{}", .0.message)]
    Cancelled(Failure),
    /// Every other error that the server reports.
    #[error("{}", .0.message)]
    Query(Failure),
    /// The server's answer breaks the protocol.
    #[error("the server's answer cannot be used: {what}")]
    Protocol {
        /// What is wrong with it.
        what: String,
        /// The decoder's error, if one was the cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl ClientError {
    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol {
            what: what.into(),
            source: None,
        }
    }

    pub(crate) fn decoding(what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let error = error.into();
        Self::Protocol {
            what: format!("{what}: {error}"),
            source: Some(error),
        }
    }

    pub(crate) fn connect(to: &str, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Connect {
            to: to.to_owned(),
            reason: innermost(&error),
            source: Box::new(error),
        }
    }

    /// Sorts a status that came from the server at `to`, or from the transport on the way there.
    pub(crate) fn from_status(to: &str, status: Status) -> Self {
        let named = wire::text(status.metadata(), wire::ERROR_CODE).or_else(|| error_name(status.message()));
        // A status that the transport made has a cause; one that the server sent has none.
        if named.is_none()
            && (std::error::Error::source(&status).is_some() || status.code() == Code::Unavailable)
        {
            return Self::connect(to, status);
        }
        let failure = Failure {
            code: named.map_or_else(|| grpc_name(status.code()), str::to_owned),
            message: message(&status),
            receipt: wire::receipt_of_metadata(status.metadata()).map(Box::new),
            grpc_code: status.code(),
            retry_after: retry_after(status.metadata()),
        };
        match status.code() {
            _ if REFUSAL_CODES.contains(&failure.code.as_str()) => Self::Refused(failure),
            Code::Unauthenticated | Code::PermissionDenied => Self::Denied(failure),
            Code::Cancelled => Self::Cancelled(failure),
            _ if failure.code == CANCEL_CODE => Self::Cancelled(failure),
            _ => Self::Query(failure),
        }
    }

    pub(crate) fn from_flight(to: &str, error: FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => Self::from_status(to, *status),
            other => Self::decoding("a Flight message", other),
        }
    }

    /// What the server said, if it was the server that failed the call.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Denied(failure)
            | Self::Refused(failure)
            | Self::Cancelled(failure)
            | Self::Query(failure) => Some(failure),
            Self::Options(_) | Self::Connect { .. } | Self::Protocol { .. } => None,
        }
    }

    /// Stable error name, if the server gave one.
    pub fn code(&self) -> Option<&str> {
        self.failure().map(|failure| failure.code.as_str())
    }

    /// Receipt of the failed query, if it got that far.
    pub fn receipt(&self) -> Option<&QueryReceipt> {
        self.failure()?.receipt.as_deref()
    }
}

impl From<ArrowError> for ClientError {
    fn from(error: ArrowError) -> Self {
        Self::decoding("Arrow data", error)
    }
}

/// The error name before the first colon, as in `SYNTAX_ERROR: ...`.
fn error_name(message: &str) -> Option<&str> {
    let (name, _) = message.split_once(": ")?;
    let shape = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (name.len() > 3 && name.bytes().all(shape)).then_some(name)
}

/// `INVALID_ARGUMENT` from `InvalidArgument`: what the gRPC papers call a code.
fn grpc_name(code: Code) -> String {
    let mut name = String::new();
    for (index, letter) in format!("{code:?}").char_indices() {
        if index > 0 && letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

fn message(status: &Status) -> String {
    if status.message().is_empty() {
        grpc_name(status.code())
    } else {
        status.message().to_owned()
    }
}

fn retry_after(metadata: &MetadataMap) -> Option<Duration> {
    wire::text(metadata, wire::RETRY_AFTER_MS)?
        .parse()
        .ok()
        .map(Duration::from_millis)
}

/// Text of the last error in the chain: transports wrap the one that says something.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    match last.downcast_ref::<Status>() {
        Some(status) => message(status),
        None => last.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use tonic::metadata::{BinaryMetadataValue, MetadataValue};

    fn status(code: Code, name: Option<&'static str>, message: &str) -> ClientError {
        let mut metadata = MetadataMap::new();
        if let Some(name) = name {
            metadata.insert(wire::ERROR_CODE, MetadataValue::from_static(name));
        }
        ClientError::from_status("grpc://h:1", Status::with_metadata(code, message, metadata))
    }

    #[test]
    fn the_trailer_names_the_error_before_the_text_does() {
        let error = status(Code::InvalidArgument, Some("TABLE_NOT_FOUND"), "SYNTAX_ERROR: x");
        assert!(matches!(error, ClientError::Query(_)));
        assert_eq!(error.code(), Some("TABLE_NOT_FOUND"));
        assert_eq!(error.to_string(), "SYNTAX_ERROR: x");
        assert_eq!(
            status(Code::InvalidArgument, None, "SYNTAX_ERROR: x").code(),
            Some("SYNTAX_ERROR")
        );
        assert_eq!(
            status(Code::InvalidArgument, None, "Error: x").code(),
            Some("INVALID_ARGUMENT")
        );
        assert_eq!(status(Code::NotFound, None, "").to_string(), "NOT_FOUND");
    }

    #[test]
    fn a_scan_cap_is_a_refusal_whatever_its_grpc_code() {
        for code in [Code::ResourceExhausted, Code::Cancelled, Code::FailedPrecondition] {
            assert!(
                matches!(
                    status(code, Some("EXCEEDED_SCAN_LIMIT"), "x"),
                    ClientError::Refused(_)
                ),
                "{code:?}"
            );
        }
        assert!(matches!(
            status(Code::ResourceExhausted, Some("EXCEEDED_MEMORY_LIMIT"), "x"),
            ClientError::Query(_)
        ));
    }

    #[test]
    fn identity_and_rights_are_denials_and_stops_are_cancellations() {
        assert!(matches!(
            status(Code::Unauthenticated, None, "no"),
            ClientError::Denied(_)
        ));
        assert!(matches!(
            status(Code::PermissionDenied, Some("PERMISSION_DENIED"), "no"),
            ClientError::Denied(_)
        ));
        assert!(matches!(
            status(Code::Cancelled, None, ""),
            ClientError::Cancelled(_)
        ));
        assert!(matches!(
            status(Code::Aborted, Some("USER_CANCELED"), ""),
            ClientError::Cancelled(_)
        ));
    }

    #[test]
    fn a_nameless_unavailable_is_the_connection_and_a_named_one_the_server() {
        assert!(matches!(
            status(Code::Unavailable, None, "no route"),
            ClientError::Connect { .. }
        ));
        assert!(matches!(
            status(Code::Unavailable, Some("HIVE_FILESYSTEM_ERROR"), "x"),
            ClientError::Query(_)
        ));
        let lost = Status::from_error(Box::new(std::io::Error::other("connection reset")));
        let error = ClientError::from_status("grpc://h:1", lost);
        assert_eq!(error.to_string(), "no connection to grpc://h:1: connection reset");
    }

    #[test]
    fn an_error_carries_its_receipt_and_retry_delay() {
        let mut metadata = MetadataMap::new();
        let receipt = QueryReceipt {
            query_id: "q1".into(),
            ..QueryReceipt::default()
        };
        metadata.insert_bin(
            wire::RECEIPT,
            BinaryMetadataValue::from_bytes(&receipt.encode_to_vec()),
        );
        metadata.insert(wire::RETRY_AFTER_MS, MetadataValue::from_static("1500"));
        let status = Status::with_metadata(Code::ResourceExhausted, "QUERY_QUEUE_FULL: x", metadata);
        let error = ClientError::from_status("h", status);
        assert_eq!(error.receipt().unwrap().query_id, "q1");
        assert_eq!(
            error.failure().unwrap().retry_after,
            Some(Duration::from_millis(1500))
        );
    }
}
