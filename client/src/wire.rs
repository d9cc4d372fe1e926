//! Names of headers and trailers, and where a receipt can be found in an answer.

use bytes::Bytes;
use owlake_proto::v1::{QUERY_RECEIPT_TYPE_URL, QueryReceipt};
use prost::Message;
use prost_types::Any;
use tonic::metadata::MetadataMap;

/// Response header: the query id.
pub(crate) const REQUEST_ID: &str = "x-request-id";
/// Trailer (success and error) and header of eagerly executed statements: the receipt.
pub(crate) const RECEIPT: &str = "owlake-receipt-bin";
/// Trailer: stable error name.
pub(crate) const ERROR_CODE: &str = "owlake-error-code";
/// Trailer: milliseconds to wait before a retry.
pub(crate) const RETRY_AFTER_MS: &str = "retry-after-ms";

/// ASCII value of `name`.
pub(crate) fn text<'a>(metadata: &'a MetadataMap, name: &str) -> Option<&'a str> {
    metadata.get(name)?.to_str().ok()
}

/// Receipt in headers or trailers; a value that does not decode counts as none.
pub(crate) fn receipt_of_metadata(metadata: &MetadataMap) -> Option<QueryReceipt> {
    let bytes = metadata.get_bin(RECEIPT)?.to_bytes().ok()?;
    // Both the message itself and the message inside `Any` are accepted; a QueryReceipt never decodes as an Any that
    // names the type.
    receipt_of_any(&bytes).or_else(|| QueryReceipt::decode(bytes).ok())
}

/// Receipt in the `app_metadata` of a Flight message. Other messages there are none of ours and ignored.
pub(crate) fn receipt_of_any(app_metadata: &Bytes) -> Option<QueryReceipt> {
    if app_metadata.is_empty() {
        return None;
    }
    let any = Any::decode(app_metadata.clone()).ok()?;
    if any.type_url != QUERY_RECEIPT_TYPE_URL {
        return None;
    }
    QueryReceipt::decode(any.value.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::metadata::BinaryMetadataValue;

    fn receipt() -> QueryReceipt {
        QueryReceipt {
            query_id: "0193".into(),
            state: 3,
            rows_returned: 7,
            ..QueryReceipt::default()
        }
    }

    fn any(type_url: &str) -> Bytes {
        Any {
            type_url: type_url.into(),
            value: receipt().encode_to_vec(),
        }
        .encode_to_vec()
        .into()
    }

    #[test]
    fn a_receipt_is_known_by_its_type() {
        assert_eq!(receipt_of_any(&any(QUERY_RECEIPT_TYPE_URL)), Some(receipt()));
        assert_eq!(receipt_of_any(&any("type.googleapis.com/other.Message")), None);
        assert_eq!(receipt_of_any(&Bytes::from_static(b"\xff\xff")), None);
        assert_eq!(receipt_of_any(&Bytes::new()), None);
    }

    #[test]
    fn a_trailer_holds_the_message_bare_or_in_any() {
        for bytes in [receipt().encode_to_vec(), any(QUERY_RECEIPT_TYPE_URL).to_vec()] {
            let mut metadata = MetadataMap::new();
            metadata.insert_bin(RECEIPT, BinaryMetadataValue::from_bytes(&bytes));
            assert_eq!(receipt_of_metadata(&metadata), Some(receipt()));
        }
        assert_eq!(receipt_of_metadata(&MetadataMap::new()), None);
    }
}
