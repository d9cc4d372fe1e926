//! LOCATION text: what it means, and whether it lies under the roots an operator allowed.

use std::fmt;

use object_store::path::Path as ObjectPath;

use crate::error::ScanError;

/// Which store a location is in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StoreId {
    /// A bucket behind the S3 protocol.
    S3 {
        /// Bucket name.
        bucket: String,
    },
    /// The local file system.
    File,
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket } => write!(f, "s3://{bucket}/"),
            Self::File => f.write_str("file:///"),
        }
    }
}

/// A directory-like prefix in a store. Always compared and listed by whole path segments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// The store.
    pub store: StoreId,
    /// Key prefix without slashes at either end.
    pub prefix: ObjectPath,
}

impl Location {
    /// Reads `s3://bucket/prefix/` (also `s3a`, `s3n`) or `file:///directory/`.
    ///
    /// Percent signs are literal, `//` collapses as Athena does, `.` and `..` segments, control
    /// characters, hosts in `file:` and every other scheme are refused.
    pub fn parse(text: &str) -> Result<Self, ScanError> {
        let bad = |reason: &str| ScanError::BadLocation {
            location: text.to_owned(),
            reason: reason.to_owned(),
        };
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(bad("has no scheme; write s3://bucket/prefix/"));
        };
        let (store, key) = match scheme {
            "s3" | "s3a" | "s3n" => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                if !valid_bucket(bucket) {
                    return Err(bad("has no valid bucket name; write s3://bucket/prefix/"));
                }
                (
                    StoreId::S3 {
                        bucket: bucket.to_owned(),
                    },
                    key,
                )
            }
            "file" => {
                let Some(key) = rest.strip_prefix('/') else {
                    return Err(bad("names a host; write file:///directory/"));
                };
                if key.starts_with('/') {
                    return Err(bad("has an empty first segment; write file:///directory/"));
                }
                (StoreId::File, key)
            }
            _ => return Err(bad("uses a scheme that is not read; only s3:// and file:// are")),
        };
        if key.contains(['*', '?']) && store != StoreId::File {
            return Err(bad("holds a glob character; name a folder"));
        }
        let collapsed = key
            .split('/')
            .filter(|s| !s.is_empty())
            .collect::<Vec<_>>()
            .join("/");
        let prefix =
            ObjectPath::parse(&collapsed).map_err(|e| bad(&format!("is not a usable path ({e})")))?;
        Ok(Self { store, prefix })
    }

    /// Every location above this one, nearest first, up to the whole store.
    pub(crate) fn parents(&self) -> impl Iterator<Item = Self> {
        let mut rest = self.prefix.as_ref();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            rest = rest.rfind('/').map_or("", |end| &rest[..end]);
            Some(Self {
                store: self.store.clone(),
                prefix: ObjectPath::parse(rest).ok()?,
            })
        })
    }

    /// Whether `self` is `root` or lies below it.
    pub fn is_under(&self, root: &Self) -> bool {
        self.store == root.store && self.prefix.prefix_matches(&root.prefix)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.as_ref().is_empty() { "" } else { "/" };
        write!(f, "{}{}{slash}", self.store, self.prefix)
    }
}

fn valid_bucket(bucket: &str) -> bool {
    (3..=255).contains(&bucket.len())
        && bucket
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        && !bucket.starts_with(['.', '-'])
        && !bucket.contains("..")
}

/// The roots that tables, partitions and listed keys must lie under.
#[derive(Debug, Clone, Default)]
pub struct AllowedRoots {
    any_s3: bool,
    roots: Vec<Location>,
}

impl AllowedRoots {
    /// Roots from configuration text; `s3://` alone allows every bucket.
    pub fn parse<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Result<Self, ScanError> {
        let mut allowed = Self::default();
        for text in texts {
            match text.as_ref() {
                "s3://" => allowed.any_s3 = true,
                text => allowed.roots.push(Location::parse(text)?),
            }
        }
        Ok(allowed)
    }

    /// Refuses a location outside every root.
    pub fn check(&self, location: &Location) -> Result<(), ScanError> {
        let inside = (self.any_s3 && matches!(location.store, StoreId::S3 { .. }))
            || self.roots.iter().any(|root| location.is_under(root));
        if inside {
            Ok(())
        } else {
            Err(ScanError::LocationNotAllowed {
                location: location.to_string(),
            })
        }
    }

    /// The local roots, for the local store's own check of resolved symlinks.
    pub fn local_roots(&self) -> Vec<std::path::PathBuf> {
        self.roots
            .iter()
            .filter(|r| r.store == StoreId::File)
            .map(|r| std::path::PathBuf::from(format!("/{}", r.prefix)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_as_directories() {
        let a = Location::parse("s3://lake/sales//events/").unwrap();
        assert_eq!(a.to_string(), "s3://lake/sales/events/");
        assert_eq!(Location::parse("s3a://lake/sales/events").unwrap(), a);
        assert_eq!(Location::parse("s3://lake").unwrap().to_string(), "s3://lake/");
        assert_eq!(
            Location::parse("s3://lake/ts=10%3A00/").unwrap().prefix.as_ref(),
            "ts=10%3A00"
        );
    }

    #[test]
    fn parents_go_up_to_the_whole_store() {
        let parents = |text| -> Vec<String> {
            let location = Location::parse(text).unwrap();
            location.parents().map(|p| p.to_string()).collect()
        };
        let above = ["s3://lake/sales/events/", "s3://lake/sales/", "s3://lake/"];
        assert_eq!(parents("s3://lake/sales/events/dt=1/"), above);
        assert!(parents("s3://lake/").is_empty());
    }

    #[test]
    fn everything_that_could_leave_the_lake_is_refused() {
        for text in [
            "/etc/passwd",
            "etc/passwd",
            "FILE:///etc/passwd",
            "file:////etc/passwd",
            "file://host/etc",
            "%66ile:///etc/passwd",
            "http://169.254.169.254/latest",
            "http://[::ffff:169.254.169.254]/",
            "https://lake/x",
            "gs://lake/x",
            "az://lake/x",
            "memory://lake/x",
            "s3://",
            "s3:///x",
            "s3://a/x",
            "s3://..a/x",
            "s3://user@lake/x",
            "s3://lake:9000/x",
            "s3://lake/a/../b",
            "s3://lake/./b",
            "s3://lake/a\nb",
            "s3://lake/*.parquet",
            "file:///data/../etc",
        ] {
            assert!(Location::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn roots_match_whole_segments() {
        let roots = AllowedRoots::parse(["s3://lake/sales/", "file:///data/lake/"]).unwrap();
        let ok = |t: &str| roots.check(&Location::parse(t).unwrap()).is_ok();
        assert!(ok("s3://lake/sales") && ok("s3://lake/sales/x/y") && ok("file:///data/lake/t"));
        assert!(
            !ok("s3://lake/sales2/x") && !ok("s3://lake/") && !ok("s3://other/sales/") && !ok("file:///data")
        );
        let any = AllowedRoots::parse(["s3://"]).unwrap();
        assert!(any.check(&Location::parse("s3://any/x").unwrap()).is_ok());
        assert!(any.check(&Location::parse("file:///x").unwrap()).is_err());
    }
}
