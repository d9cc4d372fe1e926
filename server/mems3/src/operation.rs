//! Which S3 operation an HTTP request asks for, on which bucket and key: read from the request line alone, so that
//! refused and malformed requests have a name in the log too. Nothing here decides what the answer is.

use http::{HeaderMap, Method, Uri};

/// S3 operation of a request, named as in the S3 API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Read an object or a range of it.
    GetObject,
    /// Read an object's headers.
    HeadObject,
    /// Write an object.
    PutObject,
    /// Remove an object.
    DeleteObject,
    /// Remove up to 1000 objects in one request.
    DeleteObjects,
    /// Write an object from another one.
    CopyObject,
    /// One page of a listing.
    ListObjectsV2,
    /// All buckets.
    ListBuckets,
    /// Make a bucket.
    CreateBucket,
    /// Whether a bucket exists.
    HeadBucket,
    /// Remove an empty bucket.
    DeleteBucket,
    /// Start of a multipart upload.
    CreateMultipartUpload,
    /// One part of a multipart upload.
    UploadPart,
    /// One part of a multipart upload from another object.
    UploadPartCopy,
    /// End of a multipart upload: the object appears.
    CompleteMultipartUpload,
    /// Give a multipart upload up.
    AbortMultipartUpload,
    /// Anything else, malformed requests included.
    Other,
}

impl Operation {
    /// Name in the S3 API; `Other` for the rest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GetObject => "GetObject",
            Self::HeadObject => "HeadObject",
            Self::PutObject => "PutObject",
            Self::DeleteObject => "DeleteObject",
            Self::DeleteObjects => "DeleteObjects",
            Self::CopyObject => "CopyObject",
            Self::ListObjectsV2 => "ListObjectsV2",
            Self::ListBuckets => "ListBuckets",
            Self::CreateBucket => "CreateBucket",
            Self::HeadBucket => "HeadBucket",
            Self::DeleteBucket => "DeleteBucket",
            Self::CreateMultipartUpload => "CreateMultipartUpload",
            Self::UploadPart => "UploadPart",
            Self::UploadPartCopy => "UploadPartCopy",
            Self::CompleteMultipartUpload => "CompleteMultipartUpload",
            Self::AbortMultipartUpload => "AbortMultipartUpload",
            Self::Other => "Other",
        }
    }

    /// The price class the request counts in.
    pub const fn class(self) -> RequestClass {
        match self {
            Self::GetObject => RequestClass::Get,
            Self::HeadObject | Self::HeadBucket => RequestClass::Head,
            Self::ListObjectsV2 | Self::ListBuckets => RequestClass::List,
            Self::PutObject
            | Self::CopyObject
            | Self::CreateBucket
            | Self::CreateMultipartUpload
            | Self::UploadPart
            | Self::UploadPartCopy
            | Self::CompleteMultipartUpload => RequestClass::Put,
            Self::DeleteObject
            | Self::DeleteObjects
            | Self::DeleteBucket
            | Self::AbortMultipartUpload
            | Self::Other => RequestClass::Other,
        }
    }
}

/// Price class of a request: the rows of S3's price list, with HEAD apart from GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestClass {
    /// GetObject.
    Get,
    /// HeadObject, HeadBucket.
    Head,
    /// ListObjectsV2 (each page), ListBuckets.
    List,
    /// PUT, COPY and POST requests that write.
    Put,
    /// Deletes (free of charge) and everything unknown.
    Other,
}

/// What a request addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) operation: Operation,
    /// Empty for requests on the service itself.
    pub(crate) bucket: String,
    /// Key of an object, prefix of a listing, else empty.
    pub(crate) key: String,
}

impl Target {
    /// Reads a path-style request line.
    pub(crate) fn parse(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let path = percent_decode(uri.path().strip_prefix('/').unwrap_or(""), false);
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        let query = Query::parse(uri.query().unwrap_or(""));
        let operation = match (bucket.is_empty(), key.is_empty()) {
            (true, _) if *method == Method::GET => Operation::ListBuckets,
            (true, _) => Operation::Other,
            (false, true) => bucket_operation(method, &query),
            (false, false) => object_operation(method, &query, headers),
        };
        let key = if operation == Operation::ListObjectsV2 {
            query.get("prefix").unwrap_or("")
        } else {
            key
        };
        Self {
            operation,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        }
    }
}

fn bucket_operation(method: &Method, query: &Query) -> Operation {
    if *method == Method::GET && query.get("list-type") == Some("2") {
        Operation::ListObjectsV2
    } else if *method == Method::POST && query.has("delete") {
        Operation::DeleteObjects
    } else if !query.is_empty() {
        // Sub-resources of a bucket (policy, acl, ...): none is served here.
        Operation::Other
    } else if *method == Method::PUT {
        Operation::CreateBucket
    } else if *method == Method::HEAD {
        Operation::HeadBucket
    } else if *method == Method::DELETE {
        Operation::DeleteBucket
    } else {
        Operation::Other
    }
}

fn object_operation(method: &Method, query: &Query, headers: &HeaderMap) -> Operation {
    let upload = query.has("uploadId");
    let copy = headers.contains_key("x-amz-copy-source");
    match *method {
        Method::GET if upload || SUB_RESOURCES.iter().any(|name| query.has(name)) => Operation::Other,
        Method::GET => Operation::GetObject,
        Method::HEAD => Operation::HeadObject,
        Method::PUT if upload && copy => Operation::UploadPartCopy,
        Method::PUT if upload => Operation::UploadPart,
        Method::PUT if SUB_RESOURCES.iter().any(|name| query.has(name)) => Operation::Other,
        Method::PUT if copy => Operation::CopyObject,
        Method::PUT => Operation::PutObject,
        Method::POST if query.has("uploads") => Operation::CreateMultipartUpload,
        Method::POST if upload => Operation::CompleteMultipartUpload,
        Method::DELETE if upload => Operation::AbortMultipartUpload,
        Method::DELETE if SUB_RESOURCES.iter().any(|name| query.has(name)) => Operation::Other,
        Method::DELETE => Operation::DeleteObject,
        _ => Operation::Other,
    }
}

/// Query parameters that turn a request on an object into one on something of the object.
const SUB_RESOURCES: [&str; 6] = [
    "acl",
    "attributes",
    "legal-hold",
    "retention",
    "tagging",
    "torrent",
];

/// Decoded query parameters in request order.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (percent_decode(name, true), percent_decode(value, true))
                })
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Undoes percent-encoding; broken escapes stay as they are. `plus_is_space` for query strings only: in a path `+`
/// is a plus.
fn percent_decode(text: &str, plus_is_space: bool) -> String {
    let hex = |b: u8| char::from(b).to_digit(16);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    // Two hex digits fit a byte.
                    out.push((high * 16 + low) as u8);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            (b'+', _) if plus_is_space => out.push(b' '),
            _ => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: Method, uri: &str) -> (Operation, String, String) {
        let t = Target::parse(&method, &uri.parse().unwrap(), &HeaderMap::new());
        (t.operation, t.bucket, t.key)
    }

    #[test]
    fn request_lines_name_their_operation() {
        let cases = [
            (Method::GET, "/", Operation::ListBuckets, "", ""),
            (Method::GET, "/lake/a/b", Operation::GetObject, "lake", "a/b"),
            (Method::GET, "/lake/a//b/", Operation::GetObject, "lake", "a//b/"),
            (
                Method::GET,
                "/lake/a%2Bb%20c+d",
                Operation::GetObject,
                "lake",
                "a+b c+d",
            ),
            (Method::GET, "/lake/../x", Operation::GetObject, "lake", "../x"),
            (Method::HEAD, "/lake/a", Operation::HeadObject, "lake", "a"),
            (Method::HEAD, "/lake", Operation::HeadBucket, "lake", ""),
            (
                Method::GET,
                "/lake?list-type=2&prefix=a%2Fb+c",
                Operation::ListObjectsV2,
                "lake",
                "a/b c",
            ),
            (
                Method::GET,
                "/lake/?list-type=2",
                Operation::ListObjectsV2,
                "lake",
                "",
            ),
            (Method::POST, "/lake?delete", Operation::DeleteObjects, "lake", ""),
            (Method::PUT, "/lake", Operation::CreateBucket, "lake", ""),
            (Method::PUT, "/lake/k", Operation::PutObject, "lake", "k"),
            (
                Method::PUT,
                "/lake/k?partNumber=1&uploadId=u",
                Operation::UploadPart,
                "lake",
                "k",
            ),
            (
                Method::POST,
                "/lake/k?uploads",
                Operation::CreateMultipartUpload,
                "lake",
                "k",
            ),
            (
                Method::POST,
                "/lake/k?uploadId=u",
                Operation::CompleteMultipartUpload,
                "lake",
                "k",
            ),
            (
                Method::DELETE,
                "/lake/k?uploadId=u",
                Operation::AbortMultipartUpload,
                "lake",
                "k",
            ),
            (Method::DELETE, "/lake/k", Operation::DeleteObject, "lake", "k"),
            (Method::GET, "/lake/k?tagging", Operation::Other, "lake", "k"),
            (Method::GET, "/lake?policy", Operation::Other, "lake", ""),
        ];
        for (method, uri, operation, bucket, key) in cases {
            assert_eq!(
                target(method, uri),
                (operation, bucket.into(), key.into()),
                "{uri}"
            );
        }
    }

    #[test]
    fn a_put_with_a_copy_source_is_a_copy() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-copy-source", "lake/a".parse().unwrap());
        let t = Target::parse(&Method::PUT, &"/lake/b".parse().unwrap(), &headers);
        assert_eq!(t.operation, Operation::CopyObject);
        let part = "/lake/b?partNumber=1&uploadId=u".parse().unwrap();
        assert_eq!(
            Target::parse(&Method::PUT, &part, &headers).operation,
            Operation::UploadPartCopy
        );
    }

    #[test]
    fn broken_escapes_stay_literal() {
        assert_eq!(percent_decode("a%zzb%4", false), "a%zzb%4");
        assert_eq!(percent_decode("%C3%A9", false), "é");
    }
}
