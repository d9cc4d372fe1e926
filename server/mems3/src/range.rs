//! Which bytes of an object a `Range` header selects.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use s3s::{S3Error, S3ErrorCode, S3Result, dto};

use crate::storage::StoredObject;

/// Bytes of `object` that a `Range` header selects, and its `Content-Range`.
pub(crate) fn select(
    object: &StoredObject,
    range: Option<dto::Range>,
) -> S3Result<(Range<u64>, Option<String>)> {
    let len = object.len();
    let Some(range) = range else {
        return Ok((0..len, None));
    };
    // A suffix of an empty object cannot be satisfied either, although the range arithmetic allows it.
    match range.check(len) {
        Ok(bytes) if len > 0 => {
            let text = format!("bytes {}-{}/{len}", bytes.start, bytes.end - 1);
            Ok((bytes, Some(text)))
        }
        _ => {
            let mut error = S3Error::new(S3ErrorCode::InvalidRange);
            if let Ok(value) = HeaderValue::try_from(format!("bytes */{len}")) {
                error.set_headers(HeaderMap::from_iter([(header::CONTENT_RANGE, value)]));
            }
            Err(error)
        }
    }
}

/// Slice bounds; objects live in memory, so their offsets fit `usize`.
pub(crate) fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    bytes.slice(range.start as usize..range.end as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_range_selects_the_right_bytes_or_is_416() {
        let object = StoredObject::new(Bytes::from_static(b"0123456789"));
        let pick = |text: &str| {
            let (range, header) = select(&object, Some(dto::Range::parse(text).unwrap())).ok()?;
            Some((slice(&object.bytes, &range), header.unwrap()))
        };
        let hit = |bytes: &'static str, header: &str| {
            Some((Bytes::from_static(bytes.as_bytes()), header.to_owned()))
        };
        assert_eq!(pick("bytes=2-4"), hit("234", "bytes 2-4/10"));
        assert_eq!(pick("bytes=7-"), hit("789", "bytes 7-9/10"));
        assert_eq!(pick("bytes=8-99"), hit("89", "bytes 8-9/10"));
        assert_eq!(pick("bytes=-3"), hit("789", "bytes 7-9/10"));
        assert_eq!(pick("bytes=-99"), hit("0123456789", "bytes 0-9/10"));
        assert_eq!(pick("bytes=10-"), None);
        assert_eq!(pick("bytes=-0"), None);
        let empty = StoredObject::new(Bytes::new());
        assert!(select(&empty, Some(dto::Range::parse("bytes=-5").unwrap())).is_err());
        assert_eq!(select(&empty, None).unwrap(), (0..0, None));
    }
}
