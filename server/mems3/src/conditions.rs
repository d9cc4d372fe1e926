//! Preconditions of reads and writes, in the order of RFC 9110 section 13.2.2.

use http::{HeaderMap, header};
use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use crate::storage::StoredObject;

/// Conditional headers of a read.
#[derive(Debug, Default)]
pub(crate) struct ReadConditions {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
    pub(crate) if_modified_since: Option<Timestamp>,
    pub(crate) if_unmodified_since: Option<Timestamp>,
}

impl ReadConditions {
    /// 412 or 304 when the object does not pass.
    pub(crate) fn check(&self, object: &StoredObject) -> S3Result<()> {
        let modified = Timestamp::from(object.last_modified);
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) if !strong_match(condition, object) => {
                return Err(s3_error!(PreconditionFailed));
            }
            (None, Some(since)) if modified > *since => return Err(s3_error!(PreconditionFailed)),
            _ => {}
        }
        match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) if weak_match(condition, object) => Err(not_modified(object)),
            (None, Some(since)) if modified <= *since => Err(not_modified(object)),
            _ => Ok(()),
        }
    }
}

/// The answer 304 names the entity tag, as S3's does.
fn not_modified(object: &StoredObject) -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::NotModified);
    if let Ok(etag) = entity_tag(object).to_http_header() {
        error.set_headers(HeaderMap::from_iter([(header::ETAG, etag)]));
    }
    error
}

/// The object's tag in the form the wire types want.
pub(crate) fn entity_tag(object: &StoredObject) -> ETag {
    ETag::Strong(object.etag.clone())
}

fn strong_match(condition: &ETagCondition, object: &StoredObject) -> bool {
    condition
        .as_etag()
        .is_none_or(|etag| etag.strong_cmp(&entity_tag(object)))
}

fn weak_match(condition: &ETagCondition, object: &StoredObject) -> bool {
    condition
        .as_etag()
        .is_none_or(|etag| etag.weak_cmp(&entity_tag(object)))
}

/// 412 (or 404 for `If-Match` on nothing) when a write must not replace what is there.
pub(crate) fn check_write(
    existing: Option<&StoredObject>,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    if let Some(condition) = if_match {
        let object = existing.ok_or_else(|| s3_error!(NoSuchKey))?;
        if !strong_match(condition, object) {
            return Err(s3_error!(PreconditionFailed));
        }
    }
    match (existing, if_none_match) {
        (Some(object), Some(condition)) if weak_match(condition, object) => {
            Err(s3_error!(PreconditionFailed))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn object() -> StoredObject {
        StoredObject::new(Bytes::from_static(b"x"))
    }

    fn at(object: &StoredObject, seconds: i64) -> Timestamp {
        let shift = Duration::from_secs(seconds.unsigned_abs());
        let time = object.last_modified;
        Timestamp::from(if seconds < 0 { time - shift } else { time + shift })
    }

    fn code(result: S3Result<()>) -> Option<S3ErrorCode> {
        result.err().map(|e| e.code().clone())
    }

    #[test]
    fn entity_tags_win_over_dates() {
        let object = object();
        let same = Some(ETagCondition::ETag(entity_tag(&object)));
        let other = Some(ETagCondition::ETag(ETag::Strong("0".into())));
        let (old, new) = (Some(at(&object, -10)), Some(at(&object, 10)));
        let check = |if_match, if_unmodified_since, if_none_match, if_modified_since| {
            let all = ReadConditions {
                if_match,
                if_none_match,
                if_modified_since,
                if_unmodified_since,
            };
            code(all.check(&object))
        };
        assert_eq!(check(same.clone(), old.clone(), None, None), None);
        assert_eq!(
            check(other.clone(), new.clone(), None, None),
            Some(S3ErrorCode::PreconditionFailed)
        );
        assert_eq!(
            check(None, old.clone(), None, None),
            Some(S3ErrorCode::PreconditionFailed)
        );
        assert_eq!(check(None, Some(at(&object, 0)), None, None), None);
        assert_eq!(
            check(None, None, same, old.clone()),
            Some(S3ErrorCode::NotModified)
        );
        assert_eq!(check(None, None, other, new.clone()), None);
        assert_eq!(
            check(None, None, None, Some(at(&object, 0))),
            Some(S3ErrorCode::NotModified)
        );
        assert_eq!(check(None, None, None, old), None);
    }

    #[test]
    fn a_weak_tag_never_passes_if_match() {
        let object = object();
        let weak = ETagCondition::ETag(ETag::Weak(object.etag.clone()));
        let conditions = ReadConditions {
            if_match: Some(weak),
            ..ReadConditions::default()
        };
        assert_eq!(
            code(conditions.check(&object)),
            Some(S3ErrorCode::PreconditionFailed)
        );
    }

    #[test]
    fn writes_can_demand_absence_or_a_version() {
        let object = object();
        let (any, same) = (ETagCondition::Any, ETagCondition::ETag(entity_tag(&object)));
        let other = ETagCondition::ETag(ETag::Strong("0".into()));
        assert_eq!(code(check_write(None, None, Some(&any))), None);
        assert_eq!(
            code(check_write(Some(&object), None, Some(&any))),
            Some(S3ErrorCode::PreconditionFailed)
        );
        assert_eq!(code(check_write(Some(&object), Some(&same), None)), None);
        assert_eq!(
            code(check_write(Some(&object), Some(&other), None)),
            Some(S3ErrorCode::PreconditionFailed)
        );
        assert_eq!(
            code(check_write(None, Some(&same), None)),
            Some(S3ErrorCode::NoSuchKey)
        );
    }
}
