//! The S3 operations over `storage`: what each one answers. No counting, no faults, no sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::TryStreamExt;
use s3s::crypto::{Checksum, Md5};
use s3s::dto::*;
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use crate::conditions::{ReadConditions, check_write, entity_tag};
use crate::encoding::{base64, decode_token, encode_token, url_encode};
use crate::range::{select, slice};
use crate::storage::{Attributes, ListItem, ListQuery, Storage, StoredObject};

/// The operations; everything not named here is answered 501 by s3s.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) storage: Arc<Storage>,
    /// Most names on one listing page.
    pub(crate) page_size: Arc<AtomicUsize>,
}

/// The attribute headers of a writing request, as its input type names them.
macro_rules! attributes {
    ($input:ident) => {
        Attributes {
            content_type: $input.content_type,
            content_encoding: $input.content_encoding,
            content_language: $input.content_language,
            content_disposition: $input.content_disposition,
            cache_control: $input.cache_control,
            storage_class: $input.storage_class.map(|class| class.as_str().to_owned()),
            metadata: $input.metadata.unwrap_or_default(),
        }
    };
}

/// The conditions of a reading request.
macro_rules! conditions {
    ($input:ident) => {
        ReadConditions {
            if_match: $input.if_match,
            if_none_match: $input.if_none_match,
            if_modified_since: $input.if_modified_since,
            if_unmodified_since: $input.if_unmodified_since,
        }
    };
}

/// The conditions of a copy on the object that it reads.
macro_rules! source_conditions {
    ($input:ident) => {
        ReadConditions {
            if_match: $input.copy_source_if_match,
            if_none_match: $input.copy_source_if_none_match,
            if_modified_since: $input.copy_source_if_modified_since,
            if_unmodified_since: $input.copy_source_if_unmodified_since,
        }
    };
}

/// The answer to a reading request: what GetObject and HeadObject both say of the object.
macro_rules! describe {
    ($output:ident, $object:ident, $range:ident, $content_range:ident) => {
        $output {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(signed($range.end - $range.start)),
            content_range: $content_range,
            content_type: $object.attributes.content_type.clone(),
            content_encoding: $object.attributes.content_encoding.clone(),
            content_language: $object.attributes.content_language.clone(),
            content_disposition: $object.attributes.content_disposition.clone(),
            cache_control: $object.attributes.cache_control.clone(),
            metadata: Some($object.attributes.metadata.clone()),
            e_tag: Some(entity_tag(&$object)),
            last_modified: Some(Timestamp::from($object.last_modified)),
            ..$output::default()
        }
    };
}

/// Reads a request body whole and checks it against the header's MD5.
async fn receive(body: Option<StreamingBlob>, content_md5: Option<&str>) -> S3Result<Bytes> {
    let mut frames: Vec<Bytes> = match body {
        Some(body) => body
            .try_collect()
            .await
            .map_err(|e| S3Error::with_source(S3ErrorCode::IncompleteBody, e))?,
        None => Vec::new(),
    };
    let bytes = match frames.len() {
        1 => frames.swap_remove(0),
        _ => frames.concat().into(),
    };
    if let Some(expected) = content_md5 {
        let actual = Md5::checksum(&bytes);
        if base64(&actual) != expected {
            return Err(s3_error!(BadDigest));
        }
    }
    Ok(bytes)
}

/// Lengths fit: objects are far smaller than 2^63.
fn signed(len: u64) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

impl Api {
    /// The object that a copy reads.
    fn copy_source(&self, source: &CopySource, conditions: &ReadConditions) -> S3Result<Arc<StoredObject>> {
        let CopySource::Bucket {
            bucket,
            key,
            version_id: None,
        } = source
        else {
            return Err(s3_error!(NotImplemented, "Only <bucket>/<key> is a source"));
        };
        let source = self.storage.get(bucket, key)?;
        // A copy has no 304: every condition that fails is 412.
        let passed = conditions.check(&source);
        passed.map_err(|_| s3_error!(PreconditionFailed))?;
        Ok(source)
    }
}

#[async_trait::async_trait]
impl S3 for Api {
    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        let object = self.storage.get(&input.bucket, &input.key)?;
        let conditions = conditions!(input);
        conditions.check(&object)?;
        let (range, content_range) = select(&object, input.range)?;
        let body = Some(StreamingBlob::from(Body::from(slice(&object.bytes, &range))));
        let output = describe!(GetObjectOutput, object, range, content_range);
        Ok(S3Response::new(GetObjectOutput { body, ..output }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        let object = self.storage.get(&input.bucket, &input.key)?;
        let conditions = conditions!(input);
        conditions.check(&object)?;
        let (range, content_range) = select(&object, input.range)?;
        let status = if content_range.is_some() {
            http::StatusCode::PARTIAL_CONTENT
        } else {
            http::StatusCode::OK
        };
        let output = describe!(HeadObjectOutput, object, range, content_range);
        Ok(S3Response::with_status(output, status))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = req.input;
        self.storage.has_bucket(&input.bucket)?;
        let bytes = receive(input.body, input.content_md5.as_deref()).await?;
        let object = StoredObject {
            attributes: attributes!(input),
            ..StoredObject::new(bytes)
        };
        let object = self.storage.put(&input.bucket, &input.key, object, |existing| {
            check_write(existing, input.if_match.as_ref(), input.if_none_match.as_ref())
        })?;
        let e_tag = Some(entity_tag(&object));
        Ok(S3Response::new(PutObjectOutput {
            e_tag,
            ..PutObjectOutput::default()
        }))
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = req.input;
        let conditions = source_conditions!(input);
        let source = self.copy_source(&input.copy_source, &conditions)?;
        let replace = input
            .metadata_directive
            .as_ref()
            .is_some_and(|d| d.as_str() == MetadataDirective::REPLACE);
        let copy = StoredObject {
            attributes: if replace {
                attributes!(input)
            } else {
                source.attributes.clone()
            },
            ..StoredObject::new(source.bytes.clone())
        };
        let object = self.storage.put(&input.bucket, &input.key, copy, |_| Ok(()))?;
        let copy_object_result = Some(CopyObjectResult {
            e_tag: Some(entity_tag(&object)),
            last_modified: Some(Timestamp::from(object.last_modified)),
            ..CopyObjectResult::default()
        });
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result,
            ..CopyObjectOutput::default()
        }))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.storage.delete(&req.input.bucket, &req.input.key)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = req.input;
        if input.delete.objects.len() > 1000 {
            return Err(s3_error!(MalformedXML, "At most 1000 keys in one request"));
        }
        let mut deleted = Vec::with_capacity(input.delete.objects.len());
        for object in input.delete.objects {
            self.storage.delete(&input.bucket, &object.key)?;
            deleted.push(DeletedObject {
                key: Some(object.key),
                ..DeletedObject::default()
            });
        }
        let deleted = Some(deleted).filter(|_| !input.delete.quiet.unwrap_or(false));
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted,
            ..DeleteObjectsOutput::default()
        }))
    }

    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        if !self.storage.create_bucket(&req.input.bucket) {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
        let location = Some(format!("/{}", req.input.bucket));
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    async fn delete_bucket(
        &self,
        req: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        self.storage.delete_bucket(&req.input.bucket)?;
        Ok(S3Response::new(DeleteBucketOutput::default()))
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.storage.has_bucket(&req.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let bucket = |(name, created)| Bucket {
            name: Some(name),
            creation_date: Some(Timestamp::from(created)),
            ..Bucket::default()
        };
        let buckets = Some(self.storage.buckets().into_iter().map(bucket).collect());
        Ok(S3Response::new(ListBucketsOutput {
            buckets,
            ..ListBucketsOutput::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        let asked = match input.max_keys {
            Some(n) => usize::try_from(n).map_err(|_| s3_error!(InvalidArgument, "max-keys is negative"))?,
            None => usize::MAX,
        };
        let limit = asked.min(self.page_size.load(Ordering::Acquire));
        // A token continues a listing; where the listing started no longer matters then.
        let after = match &input.continuation_token {
            Some(token) => decode_token(token)?,
            None => input.start_after.clone().unwrap_or_default(),
        };
        let query = ListQuery {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone().unwrap_or_default(),
            after,
            limit,
        };
        let page = self.storage.list(&input.bucket, &query)?;
        let next = page
            .items
            .last()
            .filter(|_| page.truncated)
            .map(|item| encode_token(item.name()));
        let url = input
            .encoding_type
            .as_ref()
            .is_some_and(|e| e.as_str() == EncodingType::URL);
        let show = |name: String| if url { url_encode(&name) } else { name };
        let key_count = page.items.len();
        let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
        for item in page.items {
            match item {
                ListItem::Object(key, object) => contents.push(Object {
                    key: Some(show(key)),
                    e_tag: Some(entity_tag(&object)),
                    last_modified: Some(Timestamp::from(object.last_modified)),
                    size: Some(signed(object.len())),
                    storage_class: Some(ObjectStorageClass::from(
                        object
                            .attributes
                            .storage_class
                            .clone()
                            .unwrap_or_else(|| ObjectStorageClass::STANDARD.to_owned()),
                    )),
                    ..Object::default()
                }),
                ListItem::CommonPrefix(prefix) => prefixes.push(CommonPrefix {
                    prefix: Some(show(prefix)),
                }),
            }
        }
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(show(query.prefix)),
            delimiter: input.delimiter.map(show),
            start_after: input.start_after.map(show),
            encoding_type: input.encoding_type,
            max_keys: i32::try_from(limit).ok(),
            key_count: i32::try_from(key_count).ok(),
            is_truncated: Some(page.truncated),
            continuation_token: input.continuation_token,
            next_continuation_token: next,
            contents: Some(contents),
            common_prefixes: Some(prefixes),
            ..ListObjectsV2Output::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = req.input;
        let attributes = attributes!(input);
        let id = self
            .storage
            .create_upload(&input.bucket, &input.key, attributes)?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let input = req.input;
        let bytes = receive(input.body, input.content_md5.as_deref()).await?;
        let (bucket, key, id) = (&input.bucket, &input.key, &input.upload_id);
        let etag = self.storage.put_part(bucket, key, id, input.part_number, bytes)?;
        let e_tag = Some(ETag::Strong(etag));
        Ok(S3Response::new(UploadPartOutput {
            e_tag,
            ..UploadPartOutput::default()
        }))
    }

    async fn upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let input = req.input;
        let conditions = source_conditions!(input);
        let source = self.copy_source(&input.copy_source, &conditions)?;
        let range = input.copy_source_range.as_deref().map(Range::parse).transpose();
        let range = range.map_err(|error| s3_error!(error, InvalidArgument))?;
        let (range, _) = select(&source, range)?;
        let (bucket, key, id) = (&input.bucket, &input.key, &input.upload_id);
        let bytes = slice(&source.bytes, &range);
        let etag = self.storage.put_part(bucket, key, id, input.part_number, bytes)?;
        let copy_part_result = Some(CopyPartResult {
            e_tag: Some(ETag::Strong(etag)),
            last_modified: Some(Timestamp::from(source.last_modified)),
            ..CopyPartResult::default()
        });
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result,
            ..UploadPartCopyOutput::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        let named = input
            .multipart_upload
            .and_then(|upload| upload.parts)
            .unwrap_or_default();
        let parts: Vec<(i32, Option<String>)> = named
            .into_iter()
            .map(|part| {
                (
                    part.part_number.unwrap_or_default(),
                    part.e_tag.map(ETag::into_value),
                )
            })
            .collect();
        let object = self.storage.complete_upload(
            &input.bucket,
            &input.key,
            &input.upload_id,
            &parts,
            |existing| check_write(existing, input.if_match.as_ref(), input.if_none_match.as_ref()),
        )?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(entity_tag(&object)),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.storage
            .abort_upload(&req.input.bucket, &req.input.key, &req.input.upload_id)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}
