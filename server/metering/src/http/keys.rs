//! Keys that `object_store` has no path for: it fails a whole listing for one of them, or takes it for another object.
//!
//! S3 knows no folders: a key is any text. `a//b` is read like any other; it goes through the client's parser with a
//! placeholder for each empty part. `a/` is a folder's marker, whatever lies in it, and no data file; nor is what lies
//! below a part `.` or `..`, which hides like every name with a dot in front.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::path::{Path, PathPart};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// Stands for an empty part of a key between the listing's page and its reader.
const EMPTY: &str = "\u{f8ff}empty\u{f8ff}";

/// The listing page with keys that the parser reads; `None` where it has no others.
pub(super) fn readable(page: &str) -> Option<String> {
    let mut rewritten: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    while let Some(start) = page[at..].find("<Contents>").map(|start| at + start) {
        let end = page[start..]
            .find("</Contents>")
            .map(|end| start + end + "</Contents>".len())?;
        at = end;
        let object = &page[start..end];
        let Some(key) = key_of(object) else { continue };
        let replacement = match kind_of(&object[key.clone()]) {
            Kind::Plain => continue,
            Kind::NoData => String::new(),
            Kind::EmptyParts(key_text) => {
                format!("{}{key_text}{}", &object[..key.start], &object[key.end..])
            }
        };
        let out = rewritten.get_or_insert_with(|| String::with_capacity(page.len()));
        out.push_str(&page[copied..start]);
        out.push_str(&replacement);
        copied = end;
    }
    let mut out = rewritten?;
    out.push_str(&page[copied..]);
    Some(out)
}

fn key_of(object: &str) -> Option<Range<usize>> {
    let start = object.find("<Key>")? + "<Key>".len();
    let end = start + object[start..].find("</Key>")?;
    Some(start..end)
}

enum Kind {
    Plain,
    NoData,
    /// With placeholders.
    EmptyParts(String),
}

fn kind_of(key: &str) -> Kind {
    if key.ends_with('/') || key.split('/').any(|part| part == "." || part == "..") {
        return Kind::NoData;
    }
    if key.split('/').all(|part| !part.is_empty()) {
        return Kind::Plain;
    }
    let part = |part| if str::is_empty(part) { EMPTY } else { part };
    Kind::EmptyParts(key.split('/').map(part).collect::<Vec<_>>().join("/"))
}

/// The key that was listed.
fn restored(location: Path) -> Result<Path> {
    if !location.as_ref().contains(EMPTY) {
        return Ok(location);
    }
    let mut key = Path::ROOT;
    for part in location.as_ref().split('/') {
        let part = if part == EMPTY { "" } else { part };
        if key.as_ref().is_empty() && part.is_empty() {
            return Err(Error::InvalidPath {
                source: object_store::path::Error::EmptySegment {
                    path: location.as_ref().replace(EMPTY, ""),
                },
            });
        }
        let part = PathPart::parse(part).map_err(|source| Error::InvalidPath {
            source: object_store::path::Error::BadSegment {
                path: location.to_string(),
                source,
            },
        })?;
        key = key.join(part);
    }
    Ok(key)
}

/// A store over a [`MeteredConnector`](super::MeteredConnector) that lists keys as they are.
#[derive(Debug)]
pub struct ListedKeys<S>(pub S);

impl<S: ObjectStore> fmt::Display for ListedKeys<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

fn as_listed(objects: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
    let restore = |meta: ObjectMeta| {
        let location = restored(meta.location)?;
        Ok(ObjectMeta { location, ..meta })
    };
    objects
        .and_then(move |meta| std::future::ready(restore(meta)))
        .boxed()
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for ListedKeys<S> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        as_listed(self.0.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        as_listed(self.0.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.0.list_with_delimiter(prefix).await?;
        for object in &mut listed.objects {
            object.location = restored(std::mem::take(&mut object.location))?;
        }
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&str]) -> String {
        let objects = keys
            .iter()
            .map(|key| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>"));
        format!("<R>{}<KeyCount>1</KeyCount></R>", objects.collect::<String>())
    }

    #[test]
    fn markers_go_and_empty_parts_get_a_placeholder() {
        assert_eq!(readable(&page(&["a/b", "a/.b", "..a", "a.", "&lt;/"][..4])), None);
        assert_eq!(readable(&page(&[])), None);
        let rewritten = readable(&page(&[
            "a/", "a/b", "a//b", "a/./b", "/a", "a//", "a/../b", "a///b",
        ]));
        let expected = page(&[
            "a/b",
            &format!("a/{EMPTY}/b"),
            &format!("{EMPTY}/a"),
            &format!("a/{EMPTY}/{EMPTY}/b"),
        ]);
        assert_eq!(rewritten, Some(expected));
    }

    #[test]
    fn placeholders_become_the_key_again() {
        let read = |key: &str| restored(Path::parse(key).unwrap());
        assert_eq!(read("a/b%2F").unwrap().as_ref(), "a/b%2F");
        let key = format!("a/{EMPTY}/{EMPTY}/b~{{");
        assert_eq!(read(&key).unwrap().as_ref(), "a///b~{");
        let error = read(&format!("{EMPTY}/a")).unwrap_err();
        assert!(error.to_string().contains("/a"), "{error}");
    }
}
