//! What one scan of a table read: equal identities mean equal rows. No I/O.

use std::sync::Arc;

use owlake_catalog::Table;
use sha2::{Digest, Sha256};

use crate::listing::Listing;
use crate::partitions::{Registered, SelectedPartition};

/// One scan's table definition, partitions and file versions. Ordered, since scans are planned in no fixed order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScanIdentity {
    /// Catalog of the table.
    pub catalog: String,
    /// Its database.
    pub database: String,
    /// Its name.
    pub table: String,
    /// Version of its row in the catalog; a table that was dropped and made again has another one.
    pub version: i64,
    /// Over partition values and the versions of registered partitions, and of every file store, key, size, time and
    /// content identity. A digest, since a scan may have a million files.
    files: [u8; 32],
}

impl ScanIdentity {
    /// `None` where a file is known by time and size alone: another content could have the same.
    pub(crate) fn of(
        catalog: &str,
        table: &Table,
        listed: &[(SelectedPartition, Arc<Listing>)],
    ) -> Option<Self> {
        let mut digest = Sha256::new();
        number(&mut digest, listed.len() as u64);
        for (partition, listing) in listed {
            number(&mut digest, partition.values.len() as u64);
            for value in &partition.values {
                text(&mut digest, &format!("{value:?}"));
            }
            // A registered partition can say how its files are written.
            let registered = partition.registered.as_ref().and_then(Registered::get);
            let version = registered.map_or_else(String::new, |row| row.version.to_string());
            text(&mut digest, &version);
            number(&mut digest, listing.files.len() as u64);
            for file in listing.files.iter() {
                let (store, key, content) = file.version.exact()?;
                for part in [store.to_string().as_str(), key, content] {
                    text(&mut digest, part);
                }
                number(&mut digest, file.version.size_bytes());
                // A query can ask for it.
                text(
                    &mut digest,
                    &file.meta.last_modified.timestamp_micros().to_string(),
                );
            }
        }
        Some(Self {
            catalog: catalog.to_owned(),
            database: table.database_name.clone(),
            table: table.name.clone(),
            version: table.version,
            files: digest.finalize().into(),
        })
    }
}

fn number(digest: &mut Sha256, number: u64) {
    digest.update(number.to_le_bytes());
}

/// With its length, so that no two lists of texts look alike.
fn text(digest: &mut Sha256, text: &str) {
    number(digest, text.len() as u64);
    digest.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;
    use object_store::ObjectMeta;

    use super::*;
    use crate::file_version::FileVersion;
    use crate::listing::ListedFile;
    use crate::location::Location;

    fn table(version: i64) -> Table {
        Table {
            database_name: "db".to_owned(),
            name: "t".to_owned(),
            version,
            ..Table::default()
        }
    }

    /// One partition with one file.
    fn part(value: &str, key: &str, size: u64, tag: Option<&str>) -> (SelectedPartition, Arc<Listing>) {
        let location = Location::parse("s3://lake/t/").unwrap();
        let meta = ObjectMeta {
            location: key.into(),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size,
            e_tag: tag.map(str::to_owned),
            version: None,
        };
        let version = FileVersion::new(location.store.clone(), &meta);
        let listing = Listing {
            location: location.clone(),
            files: Arc::new(vec![ListedFile { meta, version }]),
            archived: 0,
            from_cache: false,
        };
        let partition = SelectedPartition {
            location,
            values: vec![ScalarValue::from(value)],
            registered: None,
        };
        (partition, Arc::new(listing))
    }

    #[test]
    fn whatever_can_change_the_rows_changes_the_identity() {
        let of = |version, parts: &[_]| ScanIdentity::of("c", &table(version), parts).unwrap();
        let base = of(1, &[part("a", "t/x", 10, Some("\"1\""))]);
        assert_eq!(base, of(1, &[part("a", "t/x", 10, Some("\"1\""))]));
        for other in [
            of(2, &[part("a", "t/x", 10, Some("\"1\""))]),
            of(1, &[part("b", "t/x", 10, Some("\"1\""))]),
            of(1, &[part("a", "t/y", 10, Some("\"1\""))]),
            of(1, &[part("a", "t/x", 11, Some("\"1\""))]),
            of(1, &[part("a", "t/x", 10, Some("\"2\""))]),
            of(1, &[]),
            of(
                1,
                &[
                    part("a", "t/x", 10, Some("\"1\"")),
                    part("a", "t/x", 10, Some("\"1\"")),
                ],
            ),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_file_known_by_its_time_alone_has_no_identity() {
        for tag in [None, Some("W/\"1\"")] {
            assert!(ScanIdentity::of("c", &table(1), &[part("a", "t/x", 10, tag)]).is_none());
        }
    }
}
