//! The local store reads what is allowed, counts it, and never mixes versions.

use std::fs;
use std::os::unix::fs::symlink;

use object_store::GetRange;

use super::*;
use crate::meter::Counters;

struct Lake {
    /// Holds the allowed root `lake` and its neighbour `secret`.
    dir: tempfile::TempDir,
    meter: Arc<Meter>,
    store: LocalStore,
}

impl Lake {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("lake")).unwrap();
        fs::create_dir_all(dir.path().join("secret")).unwrap();
        let meter = Meter::root("q");
        let store = LocalStore::new([dir.path().join("lake")], Arc::clone(&meter));
        let lake = Self { dir, meter, store };
        for (name, content) in files {
            lake.write(name, content);
        }
        lake
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
        fs::write(self.file(name), content).unwrap();
    }

    fn key(&self, name: &str) -> Path {
        Path::parse(self.file(name).to_str().unwrap()).unwrap()
    }

    async fn list(&self, name: &str) -> Result<Vec<String>> {
        let start = self.key("").to_string().len() + 1;
        let names = self
            .store
            .list(Some(&self.key(name)))
            .map_ok(|meta| meta.location.to_string()[start..].to_owned());
        names.try_collect().await
    }
}

#[tokio::test]
async fn a_whole_file_and_parts_of_it_are_read_and_counted() {
    let lake = Lake::new(&[("lake/a", "0123456789")]);
    let key = lake.key("lake/a");
    assert_eq!(
        lake.store.get(&key).await.unwrap().bytes().await.unwrap(),
        "0123456789"
    );
    assert_eq!(lake.store.get_range(&key, 2..5).await.unwrap(), "234");
    for (range, content) in [
        (GetRange::Suffix(3), "789"),
        (GetRange::Offset(8), "89"),
        (GetRange::Bounded(5..99), "56789"),
    ] {
        let result = lake
            .store
            .get_opts(&key, GetOptions::new().with_range(Some(range)))
            .await
            .unwrap();
        assert_eq!(result.bytes().await.unwrap(), content);
    }
    assert_eq!(lake.store.head(&key).await.unwrap().size, 10);
    assert_eq!(
        lake.meter.counters(),
        Counters {
            get_requests: 5,
            head_requests: 1,
            requested_bytes: 23,
            transferred_bytes: 23,
            ..Counters::default()
        }
    );
    assert!(lake.store.get_range(&key, 10..12).await.is_err());
}

#[tokio::test]
async fn near_ranges_are_one_request_that_includes_the_gap() {
    let lake = Lake::new(&[("lake/a", "0123456789")]);
    let parts = lake
        .store
        .get_ranges(&lake.key("lake/a"), &[0..2, 6..8])
        .await
        .unwrap();
    assert_eq!(parts, ["01", "67"]);
    let expected = Counters {
        get_requests: 1,
        requested_bytes: 8,
        transferred_bytes: 8,
        ..Counters::default()
    };
    assert_eq!(lake.meter.counters(), expected);
}

#[tokio::test]
async fn a_large_file_arrives_in_chunks_and_only_what_is_read_is_transferred() {
    let lake = Lake::new(&[]);
    let content: Vec<u8> = (0..2 * CHUNK_BYTES + 10).map(|i| (i % 251) as u8).collect();
    fs::write(lake.file("lake/a"), &content).unwrap();
    let chunks: Vec<Bytes> = lake
        .store
        .get(&lake.key("lake/a"))
        .await
        .unwrap()
        .into_stream()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(
        chunks.iter().map(Bytes::len).collect::<Vec<_>>(),
        [CHUNK_BYTES, CHUNK_BYTES, 10]
    );
    assert_eq!(chunks.concat(), content);
    let before = lake.meter.counters().transferred_bytes;
    let mut body = lake.store.get(&lake.key("lake/a")).await.unwrap().into_stream();
    body.next().await.unwrap().unwrap();
    drop(body);
    assert_eq!(
        lake.meter.counters().transferred_bytes - before,
        CHUNK_BYTES as u64
    );
}

#[tokio::test]
async fn conditions_are_honoured() {
    let lake = Lake::new(&[("lake/a", "one")]);
    let key = lake.key("lake/a");
    let meta = lake.store.head(&key).await.unwrap();
    let same = GetOptions::new().with_if_match(meta.e_tag.clone());
    assert!(lake.store.get_opts(&key, same.clone()).await.is_ok());
    let unmodified = GetOptions::new().with_if_unmodified_since(Some(meta.last_modified));
    assert!(lake.store.get_opts(&key, unmodified).await.is_ok());
    let earlier = meta.last_modified - chrono::Duration::seconds(1);
    let since = GetOptions::new().with_if_unmodified_since(Some(earlier));
    assert!(matches!(
        lake.store.get_opts(&key, since).await,
        Err(Error::Precondition { .. })
    ));
    lake.write("lake/a", "three");
    assert!(matches!(
        lake.store.get_opts(&key, same.clone()).await,
        Err(Error::Precondition { .. })
    ));
    assert!(matches!(
        lake.store.get_opts(&key, same.with_head(true)).await,
        Err(Error::Precondition { .. })
    ));
}

#[tokio::test]
async fn a_replaced_file_of_equal_size_and_time_has_another_tag() {
    let lake = Lake::new(&[("lake/a", "one"), ("lake/b", "two")]);
    let time = fs::metadata(lake.file("lake/a")).unwrap().modified().unwrap();
    fs::File::options()
        .write(true)
        .open(lake.file("lake/b"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    let before = lake.store.head(&lake.key("lake/a")).await.unwrap();
    fs::rename(lake.file("lake/b"), lake.file("lake/a")).unwrap();
    let after = lake.store.head(&lake.key("lake/a")).await.unwrap();
    assert_eq!(
        (before.size, before.last_modified),
        (after.size, after.last_modified)
    );
    assert_ne!(before.e_tag, after.e_tag);
}

#[tokio::test]
async fn a_file_that_changes_after_its_opening_ends_the_body_with_precondition() {
    for change in ["longer than it was", "x"] {
        let lake = Lake::new(&[("lake/a", "0123456789")]);
        let opened = lake.store.get(&lake.key("lake/a")).await.unwrap();
        lake.write("lake/a", change);
        assert!(
            matches!(opened.bytes().await, Err(Error::Precondition { .. })),
            "{change}"
        );
    }
}

#[tokio::test]
async fn an_open_file_that_is_replaced_is_read_as_it_was() {
    let lake = Lake::new(&[("lake/a", "0123456789"), ("lake/b", "new")]);
    let opened = lake.store.get(&lake.key("lake/a")).await.unwrap();
    fs::rename(lake.file("lake/b"), lake.file("lake/a")).unwrap();
    assert_eq!(opened.bytes().await.unwrap(), "0123456789");
}

#[tokio::test]
async fn ranges_of_a_file_that_stays_open_are_those_of_the_file_that_is_there() {
    let lake = Lake::new(&[("lake/a", "0123456789"), ("lake/b", "abcdefghij")]);
    let key = lake.key("lake/a");
    let tag = lake.store.head(&key).await.unwrap().e_tag;
    let pinned = |range: Range<u64>| {
        GetOptions::new()
            .with_range(Some(range))
            .with_if_match(tag.clone())
    };
    let get = async |options: GetOptions| lake.store.get_opts(&key, options).await?.bytes().await;
    for _ in 0..3 {
        assert_eq!(get(pinned(2..5)).await.unwrap(), "234");
    }
    let counted = lake.meter.counters();
    assert_eq!(
        (
            counted.get_requests,
            counted.requested_bytes,
            counted.transferred_bytes
        ),
        (3, 9, 9)
    );
    fs::rename(lake.file("lake/b"), lake.file("lake/a")).unwrap();
    assert!(matches!(get(pinned(2..5)).await, Err(Error::Precondition { .. })));
    for _ in 0..2 {
        assert_eq!(
            get(GetOptions::new().with_range(Some(2..5))).await.unwrap(),
            "cde"
        );
    }
    lake.write("lake/a", "shorter");
    assert_eq!(
        get(GetOptions::new().with_range(Some(2..5))).await.unwrap(),
        "ort"
    );
    fs::remove_file(lake.file("lake/a")).unwrap();
    let gone = get(GetOptions::new().with_range(Some(2..5))).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_link_that_leads_out_of_the_roots_by_now_is_not_followed_to_an_open_file() {
    let lake = Lake::new(&[("secret/a", "secret"), ("lake/a", "public")]);
    symlink(lake.file("lake/a"), lake.file("lake/link")).unwrap();
    let key = lake.key("lake/link");
    let get = async || lake.store.get_range(&key, 0..6).await;
    assert_eq!(get().await.unwrap(), "public");
    fs::remove_file(lake.file("lake/link")).unwrap();
    symlink(lake.file("secret/a"), lake.file("lake/link")).unwrap();
    assert!(matches!(get().await, Err(Error::PermissionDenied { .. })));
}

#[tokio::test]
async fn few_files_stay_open() {
    let files: Vec<_> = (0..100).map(|n| (format!("lake/{n:03}"), "0123456789")).collect();
    let named: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let lake = Lake::new(&named);
    for (name, _) in &files {
        assert_eq!(lake.store.get_range(&lake.key(name), 3..5).await.unwrap(), "34");
    }
    let root = lake.file("lake");
    let open = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
    let open = open.filter(|path| path.starts_with(&root)).count();
    assert!((1..=32).contains(&open), "{open}");
}

#[tokio::test]
async fn nothing_outside_the_roots_is_reached() {
    let lake = Lake::new(&[("secret/a", "secret"), ("lake/a", "open"), ("lakeside/a", "near")]);
    symlink(lake.file("secret/a"), lake.file("lake/link")).unwrap();
    symlink(lake.file("secret"), lake.file("lake/dir")).unwrap();
    symlink(lake.file("lake/a"), lake.file("lake/inner")).unwrap();
    for name in [
        "secret/a",
        "lakeside/a",
        "lake/link",
        "lake/dir/a",
        "secret/missing",
    ] {
        let key = lake.key(name);
        assert!(
            matches!(lake.store.get(&key).await, Err(Error::PermissionDenied { .. })),
            "{name}"
        );
        assert!(
            matches!(lake.store.head(&key).await, Err(Error::PermissionDenied { .. })),
            "{name}"
        );
    }
    for name in ["secret", "lake/dir", "lake"] {
        assert!(
            matches!(lake.list(name).await, Err(Error::PermissionDenied { .. })),
            "{name}"
        );
        let level = lake.store.list_with_delimiter(Some(&lake.key(name))).await;
        assert!(matches!(level, Err(Error::PermissionDenied { .. })), "{name}");
    }
    assert!(matches!(
        lake.store.list(None).try_collect::<Vec<_>>().await,
        Err(Error::PermissionDenied { .. })
    ));
    assert_eq!(
        lake.store
            .get(&lake.key("lake/inner"))
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap(),
        "open"
    );
    assert_eq!(lake.meter.counters().transferred_bytes, 4);
}

#[tokio::test]
async fn roots_that_are_not_absolute_allow_nothing() {
    let lake = Lake::new(&[("lake/a", "open")]);
    for root in ["", ".", "..", "lake"] {
        let store = LocalStore::new([PathBuf::from(root)], Arc::clone(&lake.meter));
        let got = store.get(&lake.key("lake/a")).await;
        assert!(matches!(got, Err(Error::PermissionDenied { .. })), "`{root}`");
    }
    let none = LocalStore::new([], Arc::clone(&lake.meter));
    assert!(matches!(
        none.get(&lake.key("lake/a")).await,
        Err(Error::PermissionDenied { .. })
    ));
}

#[tokio::test]
async fn a_root_reached_through_a_link_is_allowed_by_both_names() {
    let lake = Lake::new(&[("lake/a", "open")]);
    symlink(lake.file("lake"), lake.file("alias")).unwrap();
    let store = LocalStore::new([lake.file("alias")], Arc::clone(&lake.meter));
    for name in ["alias/a", "lake/a"] {
        assert_eq!(
            store.get(&lake.key(name)).await.unwrap().bytes().await.unwrap(),
            "open",
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_tree_is_listed_in_key_order_with_one_request_per_directory() {
    let files = [
        "lake/t/b/2",
        "lake/t/b/1",
        "lake/t/a",
        "lake/t/b-c",
        "lake/t/dt=2024-01-01 00%3A00/x",
    ];
    let lake = Lake::new(&files.map(|name| (name, "x")));
    fs::create_dir(lake.file("lake/t/empty")).unwrap();
    symlink(lake.file("lake/nowhere"), lake.file("lake/t/dangling")).unwrap();
    let expected = [
        "lake/t/a",
        "lake/t/b-c",
        "lake/t/b/1",
        "lake/t/b/2",
        "lake/t/dt=2024-01-01 00%3A00/x",
    ];
    assert_eq!(lake.list("lake/t").await.unwrap(), expected);
    assert_eq!(
        lake.meter.counters(),
        Counters {
            list_requests: 4,
            ..Counters::default()
        }
    );
    assert!(lake.list("lake/missing").await.unwrap().is_empty());
    assert!(lake.list("lake/t/a").await.unwrap().is_empty());
    assert_eq!(lake.meter.counters().list_requests, 6);
    let offset = lake
        .store
        .list_with_offset(Some(&lake.key("lake/t")), &lake.key("lake/t/b/1"));
    assert_eq!(offset.try_collect::<Vec<_>>().await.unwrap().len(), 2);
    let key = lake.key("lake/t/dt=2024-01-01 00%3A00/x");
    assert_eq!(lake.store.get(&key).await.unwrap().bytes().await.unwrap(), "x");
}

#[tokio::test]
async fn one_level_has_files_and_directories() {
    let lake = Lake::new(&[("lake/t/a", "x"), ("lake/t/p=1/b", "x"), ("lake/t/p=2/c/d", "x")]);
    let level = lake
        .store
        .list_with_delimiter(Some(&lake.key("lake/t")))
        .await
        .unwrap();
    assert_eq!(
        level.objects.iter().map(|o| &o.location).collect::<Vec<_>>(),
        [&lake.key("lake/t/a")]
    );
    assert_eq!(
        level.common_prefixes,
        [lake.key("lake/t/p=1"), lake.key("lake/t/p=2")]
    );
    assert_eq!(
        lake.meter.counters(),
        Counters {
            list_requests: 1,
            ..Counters::default()
        }
    );
}

#[tokio::test]
async fn link_cycles_end_with_an_error() {
    let lake = Lake::new(&[("lake/a/x", "x"), ("lake/b/y", "y")]);
    symlink(lake.file("lake/b"), lake.file("lake/a/to_b")).unwrap();
    symlink(lake.file("lake/a"), lake.file("lake/b/to_a")).unwrap();
    let error = lake.list("lake/a").await.unwrap_err();
    assert!(error.to_string().contains("symbolic link"), "{error}");
}

#[tokio::test]
async fn what_is_no_regular_file_is_not_found() {
    let lake = Lake::new(&[("lake/d/a", "x")]);
    let _socket = std::os::unix::net::UnixListener::bind(lake.file("lake/d/socket")).unwrap();
    for name in ["lake/d", "lake/d/socket", "lake/d/none", "lake/d/a/below"] {
        let got = lake.store.get(&lake.key(name)).await;
        assert!(matches!(got, Err(Error::NotFound { .. })), "{name}: {got:?}");
    }
    assert_eq!(lake.list("lake/d").await.unwrap(), ["lake/d/a"]);
}

#[tokio::test]
async fn nothing_is_written() {
    let lake = Lake::new(&[("lake/a", "x")]);
    let (a, b) = (lake.key("lake/a"), lake.key("lake/b"));
    assert!(matches!(
        lake.store.put(&a, "y".into()).await,
        Err(Error::NotSupported { .. })
    ));
    assert!(matches!(
        lake.store.delete(&a).await,
        Err(Error::NotSupported { .. })
    ));
    assert!(matches!(
        lake.store.rename(&a, &b).await,
        Err(Error::NotSupported { .. })
    ));
    assert!(matches!(
        lake.store.put_multipart(&b).await,
        Err(Error::NotSupported { .. })
    ));
    let version = GetOptions::new().with_version(Some("1"));
    assert!(matches!(
        lake.store.get_opts(&a, version).await,
        Err(Error::NotSupported { .. })
    ));
    assert_eq!(fs::read_to_string(lake.file("lake/a")).unwrap(), "x");
}

#[tokio::test]
async fn what_reads_and_listings_cost_is_reserved_first_and_stays_below_the_cap() {
    use crate::{Ledger, PricePlan, QuotaError, Quotas, Usd};

    let lake = Lake::new(&[("lake/a", "0123456789"), ("lake/sub/b", "x")]);
    let quotas = Quotas::open(
        Arc::new(Ledger::in_memory().unwrap()),
        || DateTime::UNIX_EPOCH,
        None,
    );
    let price = PricePlan {
        get_request_usd: Usd::from_pico(100),
        head_request_usd: Usd::from_pico(10),
        list_request_usd: Usd::from_pico(1_000),
        transferred_byte_usd: Usd::from_pico(1),
        ..PricePlan::athena()
    };
    let store = |cap: i128| {
        let meter = Meter::root("q");
        let grant = quotas.grant("bi", "ann".to_owned(), &price, Some(Usd::from_pico(cap)));
        let store = LocalStore::new([lake.file("lake")], Arc::clone(&meter)).with_quotas(grant);
        (store, meter)
    };
    let key = lake.key("lake/a");
    // A whole file, a part of it that is read at hand, a HEAD, and two directories.
    let (rich, meter) = store(10_000);
    assert_eq!(rich.get(&key).await.unwrap().bytes().await.unwrap().len(), 10);
    for _ in 0..2 {
        assert_eq!(rich.get_range(&key, 2..5).await.unwrap(), "234");
    }
    rich.head(&key).await.unwrap();
    let listed: Vec<ObjectMeta> = rich.list(Some(&lake.key("lake"))).try_collect().await.unwrap();
    assert_eq!(listed.len(), 2);
    let cost = price.cost(&meter.counters());
    assert_eq!(cost, Usd::from_pico(2_000 + 10 + 3 * 100 + 16));
    // With exactly that all of it is done again, and not one byte or request more.
    let (exact, meter) = store(cost.pico());
    exact.get(&key).await.unwrap().bytes().await.unwrap();
    for _ in 0..2 {
        exact.get_range(&key, 2..5).await.unwrap();
    }
    exact.head(&key).await.unwrap();
    let listed: Result<Vec<ObjectMeta>> = exact.list(Some(&lake.key("lake"))).try_collect().await;
    assert_eq!(listed.unwrap().len(), 2);
    let before = meter.counters();
    let error = exact.get_range(&key, 0..1).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.downcast_ref::<QuotaError>().is_some(), "{error}");
    assert!(exact.list(None).try_collect::<Vec<_>>().await.is_err());
    assert_eq!(meter.counters(), before, "refused before it was made");
    // Bytes count too: the request alone would fit.
    let (poor, meter) = store(105);
    assert!(poor.get(&key).await.is_err());
    assert_eq!(meter.counters().transferred_bytes, 0);
}
