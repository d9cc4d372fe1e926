//! The server through the client that the engine uses, `object_store`'s `AmazonS3`, and where that client is too
//! polite, through a bare socket.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy knows helpers of tests only inside cfg(test)"
)]

use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3CopyIfNotExists};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, CopyOptions, Error, GetOptions, GetRange,
    ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig, UpdateVersion,
};
use owlake_mems3::{Builder, FaultAction, FaultPlan, FaultRule, Latency, MemS3, Operation};

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), test)
            .await
            .expect("hangs")
    })
}

fn started(settings: impl FnOnce(Builder) -> Builder) -> MemS3 {
    settings(MemS3::builder().bucket("lake")).start().unwrap()
}

fn options(s3: &MemS3, bucket: &str, agent: &str) -> AmazonS3Builder {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(2),
        base: 2.0,
    };
    AmazonS3Builder::new()
        .with_endpoint(s3.endpoint())
        .with_region(s3.region())
        .with_access_key_id(s3.access_key())
        .with_secret_access_key(s3.secret_key())
        .with_bucket_name(bucket)
        .with_allow_http(true)
        .with_client_options(
            ClientOptions::new()
                .with_allow_http(true)
                .with_user_agent(agent.parse().unwrap()),
        )
        .with_retry(RetryConfig {
            backoff,
            max_retries: 4,
            retry_timeout: Duration::from_secs(30),
        })
}

fn client(s3: &MemS3) -> AmazonS3 {
    options(s3, "lake", "owlake/0.1 query/q-1").build().unwrap()
}

fn path(key: &str) -> Path {
    Path::parse(key).unwrap()
}

async fn read(store: &AmazonS3, key: &str) -> object_store::Result<Bytes> {
    store.get(&path(key)).await?.bytes().await
}

async fn read_range(store: &AmazonS3, key: &str, range: GetRange) -> object_store::Result<Bytes> {
    let options = GetOptions {
        range: Some(range),
        ..GetOptions::default()
    };
    store.get_opts(&path(key), options).await?.bytes().await
}

/// Bytes that differ everywhere, so that a wrong offset shows.
fn pattern(len: usize) -> Bytes {
    (0..len)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8)
        .collect()
}

/// One unsigned request on a connection of its own; the whole answer.
fn raw(s3: &MemS3, method: &str, target: &str, headers: &str, body: &str) -> String {
    let address = s3.endpoint().strip_prefix("http://").unwrap();
    let mut tcp = TcpStream::connect(address).unwrap();
    let len = body.len();
    let head = format!("{method} {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    write!(tcp, "{head}content-length: {len}\r\n{headers}\r\n{body}").unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn what_is_put_is_read_back_whole_and_in_ranges() {
    run(async {
        let s3 = started(|b| b);
        let store = client(&s3);
        let data = pattern(300_000);
        let put = store
            .put(&path("t/x=1/f"), PutPayload::from(data.clone()))
            .await
            .unwrap();
        assert_eq!(s3.object("lake", "t/x=1/f").unwrap().bytes, data);
        assert_eq!(read(&store, "t/x=1/f").await.unwrap(), data);
        let cases = [
            (GetRange::Bounded(7..200_001), data.slice(7..200_001)),
            (GetRange::Bounded(299_999..400_000), data.slice(299_999..)),
            (GetRange::Offset(250_000), data.slice(250_000..)),
            (GetRange::Suffix(8), data.slice(299_992..)),
        ];
        for (range, expected) in cases {
            assert_eq!(read_range(&store, "t/x=1/f", range).await.unwrap(), expected);
        }
        assert!(
            read_range(&store, "t/x=1/f", GetRange::Offset(300_000))
                .await
                .is_err()
        );
        let meta = store.head(&path("t/x=1/f")).await.unwrap();
        assert_eq!((meta.size, &meta.e_tag), (300_000, &put.e_tag));

        let counts = s3.counts();
        assert_eq!(
            (counts.get_requests, counts.head_requests, counts.put_requests),
            (6, 1, 1)
        );
        assert_eq!(counts.error_responses, 1, "the range past the end");
        let got = 300_000 + 199_994 + 1 + 50_000 + 8;
        assert_eq!(
            (counts.object_body_bytes_planned, counts.object_body_bytes_sent),
            (got, got)
        );
        assert_eq!(s3.requests_in_flight(), 0);
        let statuses: Vec<_> = s3.requests().iter().map(|r| r.status.unwrap()).collect();
        assert_eq!(statuses, [200, 200, 206, 206, 206, 206, 416, 200]);

        store.delete(&path("t/x=1/f")).await.unwrap();
        assert!(matches!(
            read(&store, "t/x=1/f").await,
            Err(Error::NotFound { .. })
        ));
    });
}

#[test]
fn listings_come_in_pages_and_each_page_is_a_request() {
    run(async {
        let s3 = started(|b| b.page_size(4));
        let store = client(&s3);
        let keys = [
            "a",
            "a/b",
            "a/c/d",
            "t/p=1/f",
            "t/p=1/g",
            "t/p=2/f",
            "t/p=3/f",
            "t/p=a%2Fb +#&<é/f",
            "u",
        ];
        for key in keys {
            s3.put("lake", key, key.as_bytes().to_vec());
        }
        let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
        let mut sorted = keys.to_vec();
        sorted.sort_unstable();
        assert_eq!(
            listed.iter().map(|m| m.location.as_ref()).collect::<Vec<_>>(),
            sorted
        );
        assert_eq!(s3.counts().list_requests, 3);

        for meta in listed.iter().filter(|m| !m.location.as_ref().contains('%')) {
            let head = store.head(&meta.location).await.unwrap();
            let (etag, size) = (&meta.e_tag, meta.size);
            assert_eq!(
                (&head.e_tag, head.size, head.last_modified),
                (etag, size, meta.last_modified)
            );
            assert_eq!(size, meta.location.as_ref().len() as u64);
        }

        s3.reset_log();
        let level = store.list_with_delimiter(Some(&path("t"))).await.unwrap();
        let prefixes: Vec<_> = level.common_prefixes.iter().map(|p| p.as_ref()).collect();
        assert_eq!(prefixes, ["t/p=1", "t/p=2", "t/p=3", "t/p=a%2Fb +#&<é"]);
        assert!(level.objects.is_empty());
        assert_eq!(s3.counts().list_requests, 1);
        assert_eq!(s3.requests()[0].key, "t/");

        let after: Vec<_> = store
            .list_with_offset(None, &path("t/p=2/f"))
            .try_collect()
            .await
            .unwrap();
        assert_eq!(after.len(), 3);
    });
}

#[test]
fn reads_can_be_pinned_to_a_version() {
    run(async {
        let s3 = started(|b| b);
        let store = client(&s3);
        let first = s3.put("lake", "k", "one");
        let meta = store.head(&path("k")).await.unwrap();
        let second = s3.put("lake", "k", "two");
        assert_ne!(
            first, second,
            "another content of the same size is another version"
        );

        let key = path("k");
        let get = |options| store.get_opts(&key, options);
        let options = GetOptions::default;
        let stale = get(GetOptions {
            if_match: Some(first.clone()),
            ..options()
        })
        .await;
        assert!(matches!(stale, Err(Error::Precondition { .. })));
        assert!(
            get(GetOptions {
                if_match: Some(second.clone()),
                ..options()
            })
            .await
            .is_ok()
        );
        let same = get(GetOptions {
            if_none_match: Some(second.clone()),
            ..options()
        })
        .await;
        assert!(matches!(same, Err(Error::NotModified { .. })));
        assert!(
            get(GetOptions {
                if_none_match: Some(first),
                ..options()
            })
            .await
            .is_ok()
        );

        let (time, hour) = (meta.last_modified, Duration::from_secs(3600));
        let too_new = get(GetOptions {
            if_unmodified_since: Some(time - hour),
            ..options()
        })
        .await;
        assert!(matches!(too_new, Err(Error::Precondition { .. })));
        assert!(
            get(GetOptions {
                if_unmodified_since: Some(time + hour),
                ..options()
            })
            .await
            .is_ok()
        );
        let unchanged = get(GetOptions {
            if_modified_since: Some(time + hour),
            ..options()
        })
        .await;
        assert!(matches!(unchanged, Err(Error::NotModified { .. })));
        assert!(
            get(GetOptions {
                if_modified_since: Some(time - hour),
                ..options()
            })
            .await
            .is_ok()
        );
        let head = GetOptions {
            head: true,
            if_match: Some("\"0\"".into()),
            ..options()
        };
        assert!(matches!(get(head).await, Err(Error::Precondition { .. })));
    });
}

#[test]
fn writes_can_demand_absence_or_a_version() {
    run(async {
        let s3 = started(|b| b);
        let store = client(&s3);
        let put = |mode: PutMode, text: &'static str| {
            let options = PutOptions {
                mode,
                ..PutOptions::default()
            };
            let store = &store;
            async move {
                store
                    .put_opts(
                        &Path::from("k"),
                        PutPayload::from_static(text.as_bytes()),
                        options,
                    )
                    .await
            }
        };
        let first = put(PutMode::Create, "one").await.unwrap();
        assert!(matches!(
            put(PutMode::Create, "two").await,
            Err(Error::AlreadyExists { .. })
        ));
        let version = UpdateVersion {
            e_tag: first.e_tag,
            version: None,
        };
        put(PutMode::Update(version.clone()), "three").await.unwrap();
        assert!(matches!(
            put(PutMode::Update(version), "four").await,
            Err(Error::Precondition { .. })
        ));
        assert_eq!(s3.object("lake", "k").unwrap().bytes, "three");
    });
}

#[test]
fn objects_can_be_uploaded_in_parts_copied_and_deleted_in_bulk() {
    run(async {
        let s3 = started(|b| b);
        let store = client(&s3);
        let data = pattern(700_000);
        let mut upload = store.put_multipart(&path("big")).await.unwrap();
        for part in [0..300_000, 300_000..700_000] {
            upload.put_part(PutPayload::from(data.slice(part))).await.unwrap();
        }
        assert!(s3.object("lake", "big").is_none());
        upload.complete().await.unwrap();
        assert_eq!(s3.object("lake", "big").unwrap().bytes, data);
        let mut given_up = store.put_multipart(&path("never")).await.unwrap();
        given_up.put_part(PutPayload::from_static(b"x")).await.unwrap();
        given_up.abort().await.unwrap();

        store
            .copy_opts(&path("big"), &path("copy"), CopyOptions::default())
            .await
            .unwrap();
        assert_eq!(s3.object("lake", "copy").unwrap().bytes, data);
        assert_eq!(s3.keys("lake"), ["big", "copy"]);
        assert_eq!(
            s3.counts().put_requests,
            7,
            "2 starts, 3 parts, 1 completion, 1 copy"
        );

        s3.reset_log();
        let keys = futures::stream::iter(["big", "copy", "absent"].map(|key| Ok(Path::from(key)))).boxed();
        let deleted: Vec<_> = store.delete_stream(keys).try_collect().await.unwrap();
        assert_eq!(deleted.len(), 3);
        assert!(s3.keys("lake").is_empty());
        let operations: Vec<_> = s3.requests().iter().map(|r| r.operation).collect();
        assert_eq!(operations, [Operation::DeleteObjects]);
    });
}

#[test]
fn a_copy_can_demand_that_its_target_is_absent() {
    run(async {
        let s3 = started(|b| b);
        let store = options(&s3, "lake", "x").with_copy_if_not_exists(S3CopyIfNotExists::Multipart);
        let store = store.build().unwrap();
        s3.put("lake", "k", "x");
        store.copy_if_not_exists(&path("k"), &path("copy")).await.unwrap();
        assert_eq!(s3.object("lake", "copy").unwrap().bytes, "x");
        s3.put("lake", "k", "y");
        let again = store.copy_if_not_exists(&path("k"), &path("copy")).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })));
        assert_eq!(s3.object("lake", "copy").unwrap().bytes, "x");
    });
}

#[test]
fn what_a_writer_says_about_an_object_reaches_its_readers_and_copies() {
    run(async {
        let s3 = started(|b| b);
        let store = client(&s3);
        let attributes = Attributes::from_iter([
            (Attribute::ContentType, "application/json"),
            (Attribute::ContentEncoding, "gzip"),
            (Attribute::CacheControl, "no-cache"),
            (Attribute::Metadata("origin".into()), "a b"),
        ]);
        let options = PutOptions {
            attributes: attributes.clone(),
            ..PutOptions::default()
        };
        store
            .put_opts(&path("k"), PutPayload::from_static(b"x"), options)
            .await
            .unwrap();
        store.copy(&path("k"), &path("copy")).await.unwrap();
        for key in ["k", "copy"] {
            assert_eq!(store.get(&path(key)).await.unwrap().attributes, attributes);
        }
    });
}

#[test]
fn what_is_missing_and_who_is_not_allowed_is_told_and_logged() {
    run(async {
        let s3 = started(|b| b);
        s3.put("lake", "k", "x");
        let elsewhere = options(&s3, "nowhere", "x").build().unwrap();
        let missing = read(&elsewhere, "k").await.unwrap_err().to_string();
        assert!(missing.contains("NoSuchBucket"), "{missing}");
        let listing = elsewhere
            .list(None)
            .try_collect::<Vec<_>>()
            .await
            .unwrap_err()
            .to_string();
        assert!(listing.contains("NoSuchBucket"), "{listing}");
        let key = read(&client(&s3), "other").await.unwrap_err().to_string();
        assert!(key.contains("NoSuchKey"), "{key}");

        let forged = options(&s3, "lake", "x")
            .with_secret_access_key("guess")
            .build()
            .unwrap();
        let refused = read(&forged, "k").await.unwrap_err().to_string();
        assert!(refused.contains("SignatureDoesNotMatch"), "{refused}");
        let stranger = options(&s3, "lake", "x")
            .with_access_key_id("who")
            .build()
            .unwrap();
        let refused = read(&stranger, "k").await.unwrap_err().to_string();
        assert!(refused.contains("InvalidAccessKeyId"), "{refused}");
        let anonymous = options(&s3, "lake", "x")
            .with_skip_signature(true)
            .build()
            .unwrap();
        let refused = read(&anonymous, "k").await.unwrap_err().to_string();
        assert!(refused.contains("AccessDenied"), "{refused}");

        let statuses: Vec<_> = s3.requests().iter().map(|r| r.status.unwrap()).collect();
        assert_eq!(statuses, [404, 404, 404, 403, 403, 403]);
        assert_eq!(
            (s3.counts().error_responses, s3.counts().object_body_bytes_planned),
            (6, 0)
        );

        let open = started(|b| b.allow_anonymous(true));
        open.put("lake", "k", "x");
        let anonymous = options(&open, "lake", "x")
            .with_skip_signature(true)
            .build()
            .unwrap();
        assert_eq!(read(&anonymous, "k").await.unwrap(), "x");
        let forged = options(&open, "lake", "x")
            .with_secret_access_key("guess")
            .build()
            .unwrap();
        assert!(
            read(&forged, "k").await.is_err(),
            "a wrong signature is refused even so"
        );
    });
}

#[test]
fn keys_are_opaque() {
    let s3 = started(|b| b.allow_anonymous(true));
    for key in ["../x", "a", "a/", "a/b", "a//b", "a+b %23#", "."] {
        let target: String = key.bytes().map(|b| format!("%{b:02X}")).collect();
        assert!(raw(&s3, "PUT", &format!("/lake/{target}"), "", key).starts_with("HTTP/1.1 200"));
        assert_eq!(s3.object("lake", key).unwrap().bytes, key);
        assert!(raw(&s3, "GET", &format!("/lake/{target}"), "", "").ends_with(key));
        assert_eq!(s3.requests().last().unwrap().key, key);
    }
    assert_eq!(s3.keys("lake").len(), 7);
    assert!(raw(&s3, "GET", "/lake/../x", "", "").ends_with("../x"));
    let listing = raw(
        &s3,
        "GET",
        "/lake?list-type=2&encoding-type=url&max-keys=2&start-after=a",
        "",
        "",
    );
    assert!(listing.contains("<Key>a%2Bb%20%2523%23</Key>"), "{listing}");
    assert!(listing.contains("<KeyCount>2</KeyCount>"), "{listing}");
    assert!(listing.contains("<IsTruncated>true</IsTruncated>"), "{listing}");
}

#[test]
fn heads_and_odd_requests_are_answered_as_s3_does() {
    let s3 = started(|b| b.allow_anonymous(true));
    let etag = s3.put("lake", "k", "hello");
    let head = raw(&s3, "HEAD", "/lake/k", "", "");
    assert!(
        head.contains("content-length: 5\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let cached = raw(&s3, "GET", "/lake/k", &format!("if-none-match: {etag}\r\n"), "");
    assert!(
        cached.starts_with("HTTP/1.1 304") && cached.ends_with("\r\n\r\n"),
        "{cached}"
    );
    assert!(cached.contains(&format!("etag: {etag}\r\n")), "{cached}");
    let past = raw(&s3, "GET", "/lake/k", "range: bytes=5-\r\n", "");
    assert!(
        past.starts_with("HTTP/1.1 416") && past.contains("content-range: bytes */5\r\n"),
        "{past}"
    );
    assert!(raw(&s3, "DELETE", "/lake/none", "", "").starts_with("HTTP/1.1 204"));
    assert!(raw(&s3, "PUT", "/lake", "", "").starts_with("HTTP/1.1 409"));
    assert!(raw(&s3, "DELETE", "/lake", "", "").contains("BucketNotEmpty"));
    assert!(raw(&s3, "GET", "/", "", "").contains("<Name>lake</Name>"));
    let damaged = raw(
        &s3,
        "PUT",
        "/lake/k",
        "content-md5: 1B2M2Y8AsgTpgAmY7PhCfg==\r\n",
        "x",
    );
    assert!(damaged.contains("BadDigest"), "{damaged}");
    assert!(raw(&s3, "GET", "/lake/k?acl", "", "").starts_with("HTTP/1.1 501"));
    assert!(raw(&s3, "GET", "/UPPER/k", "", "").contains("InvalidBucketName"));
    let log = s3.requests();
    let statuses: Vec<_> = log.iter().map(|r| r.status.unwrap()).collect();
    assert_eq!(statuses, [200, 304, 416, 204, 409, 409, 200, 400, 501, 400]);
    assert_eq!(log[2].range.as_deref(), Some("bytes=5-"));
    assert_eq!(
        (log[8].operation, log[9].operation),
        (Operation::Other, Operation::GetObject)
    );
}

#[test]
fn the_client_retries_through_passing_faults_and_the_log_shows_each_attempt() {
    run(async {
        let s3 = started(|b| b);
        let store = client(&s3);
        let data = pattern(500_000);
        s3.put("lake", "k", data.clone());
        let passing = [
            (FaultAction::INTERNAL_ERROR, Some(500)),
            (FaultAction::SLOW_DOWN, Some(503)),
            (FaultAction::TOO_MANY_REQUESTS, Some(429)),
            (FaultAction::ResetBeforeResponse, None),
            (FaultAction::ResetAfterBody { bytes: 100_000 }, Some(200)),
            (FaultAction::ResetAfterBody { bytes: 0 }, Some(200)),
            (FaultAction::ShortBody { bytes: 100_000 }, Some(200)),
        ];
        for (action, status) in passing {
            s3.reset_log();
            s3.set_faults(FaultPlan::new(1).rule(FaultRule::new(action.clone()).max_count(2)));
            assert_eq!(read(&store, "k").await.unwrap(), data, "{action:?}");
            let log = s3.requests();
            assert_eq!(log.len(), 3, "{action:?}");
            assert_eq!((log[0].status, &log[0].fault), (status, &Some(action.clone())));
            assert_eq!((log[2].fault.is_none(), log[2].finished), (true, true));
            if let FaultAction::ResetAfterBody { bytes } | FaultAction::ShortBody { bytes } = action {
                assert_eq!(
                    (log[0].body_bytes_planned, log[0].body_bytes_sent),
                    (500_000, bytes)
                );
                let sent = s3.counts().object_body_bytes_sent;
                assert_eq!(sent, 500_000, "the client goes on where the body broke");
            }
        }
    });
}

#[test]
fn faults_that_no_retry_heals_reach_the_client() {
    run(async {
        let s3 = started(|b| b);
        let store = client(&s3);
        let data = pattern(1_000);
        s3.put("lake", "k", data.clone());
        let always = |action| s3.set_faults(FaultPlan::new(1).rule(FaultRule::new(action)));

        always(FaultAction::ACCESS_DENIED);
        assert!(matches!(
            read(&store, "k").await,
            Err(Error::PermissionDenied { .. })
        ));
        always(FaultAction::NO_SUCH_KEY);
        assert!(matches!(read(&store, "k").await, Err(Error::NotFound { .. })));
        always(FaultAction::PRECONDITION_FAILED);
        assert!(matches!(read(&store, "k").await, Err(Error::Precondition { .. })));
        always(FaultAction::WrongContentRange);
        assert!(read_range(&store, "k", GetRange::Bounded(10..20)).await.is_err());
        always(FaultAction::WrongLength { bytes: 4 });
        let short = read_range(&store, "k", GetRange::Bounded(10..20)).await.unwrap();
        assert_eq!(
            short,
            data.slice(10..14),
            "the client does not notice: readers compare lengths"
        );
        always(FaultAction::GarbageBody);
        let garbage = read(&store, "k").await.unwrap();
        assert_eq!(garbage.len(), data.len());
        assert_ne!(garbage, data);
        assert!(store.list(None).try_collect::<Vec<_>>().await.is_err());
        always(FaultAction::ErrorInBody);
        assert!(store.copy(&path("k"), &path("copy")).await.is_err());
        assert!(s3.object("lake", "copy").is_none());
        always(FaultAction::Redirect {
            location: format!("{}/lake/other", s3.endpoint()),
        });
        assert!(read(&store, "k").await.is_err());

        s3.set_faults(FaultPlan::default());
        assert_eq!(read(&store, "k").await.unwrap(), data);
    });
}

#[test]
fn a_write_whose_answer_is_lost_has_happened() {
    run(async {
        let s3 = started(|b| b);
        let store = client(&s3);
        let rule = FaultRule::new(FaultAction::LoseResponse)
            .operation(Operation::PutObject)
            .max_count(1);
        s3.set_faults(FaultPlan::new(1).rule(rule));
        // The client cannot know, and does not send a conditional put twice.
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        let put = store
            .put_opts(&path("k"), PutPayload::from_static(b"x"), options)
            .await;
        assert!(put.is_err());
        assert_eq!(s3.object("lake", "k").unwrap().bytes, "x");
        assert_eq!(s3.counts().unanswered_requests, 1);
    });
}

#[test]
fn slow_answers_carry_the_same_bytes() {
    run(async {
        let ms = Duration::from_millis;
        let slow = Latency {
            first_byte: ms(2),
            bytes_per_second: Some(10_000_000),
        };
        let s3 = started(|b| b.latency(slow));
        let store = client(&s3);
        let data = pattern(200_000);
        s3.put("lake", "k", data.clone());
        let late = FaultAction::StallBody {
            after_bytes: 100_000,
            duration: ms(3),
        };
        let actions = [
            FaultAction::Stall { duration: ms(3) },
            late,
            FaultAction::Trickle {
                bytes_per_second: 5_000_000,
            },
        ];
        let plan = actions.into_iter().fold(FaultPlan::new(1), |plan, a| {
            plan.rule(FaultRule::new(a).max_count(1))
        });
        s3.set_faults(plan);
        for _ in 0..4 {
            assert_eq!(read(&store, "k").await.unwrap(), data);
        }
        s3.set_latency(Latency::default());
        assert_eq!(read(&store, "k").await.unwrap(), data);
        assert_eq!(s3.counts().object_body_bytes_sent, 1_000_000);
        assert_eq!(s3.requests().iter().filter(|r| r.fault.is_some()).count(), 3);
    });
}

#[test]
fn requests_are_attributed_to_the_query_in_the_user_agent() {
    run(async {
        let s3 = started(|b| b);
        s3.put("lake", "k", pattern(1_000));
        let (one, two) = (client(&s3), options(&s3, "lake", "query/q-2").build().unwrap());
        let reads = (0..20).map(|n| {
            read_range(
                if n % 4 == 0 { &two } else { &one },
                "k",
                GetRange::Bounded(0..n + 1),
            )
        });
        for bytes in future::join_all(reads).await {
            bytes.unwrap();
        }
        two.list(None).try_collect::<Vec<_>>().await.unwrap();
        let (first, second, all) = (s3.counts_for("q-1"), s3.counts_for("q-2"), s3.counts());
        assert_eq!(
            (first.get_requests, second.get_requests, second.list_requests),
            (15, 5, 1)
        );
        assert_eq!(second.object_body_bytes_sent, 1 + 5 + 9 + 13 + 17);
        assert_eq!(
            first.object_body_bytes_sent + second.object_body_bytes_sent,
            all.object_body_bytes_sent
        );
        assert_eq!(all.requests(), 21);
        assert_eq!(s3.counts_for("q-3").requests(), 0);
    });
}

#[test]
fn a_body_that_the_client_gives_up_counts_what_was_sent() {
    run(async {
        let s3 = started(|b| b.send_buffer_bytes(64 * 1024));
        let store = client(&s3);
        s3.put("lake", "big", vec![7; 32 << 20]);
        let mut body = store.get(&path("big")).await.unwrap().into_stream();
        let got = body.try_next().await.unwrap().unwrap().len() as u64;
        assert_eq!(s3.requests_in_flight(), 1);
        drop(body);
        s3.wait_idle().await;
        let counts = s3.counts();
        assert_eq!(counts.object_body_bytes_planned, 32 << 20);
        assert!(
            (got..32 << 20).contains(&counts.object_body_bytes_sent),
            "{counts:?}"
        );
        assert!(s3.requests()[0].finished);
    });
}

#[test]
fn an_object_can_be_changed_between_listing_and_reading() {
    run(async {
        let s3 = started(|b| b);
        let store = client(&s3);
        s3.put("lake", "t/f", "old");
        let gate = s3.pause_after("t/", Operation::ListObjectsV2);
        let query = async {
            let listed: Vec<_> = store.list(Some(&path("t"))).try_collect().await?;
            let options = GetOptions {
                if_match: listed[0].e_tag.clone(),
                ..GetOptions::default()
            };
            store.get_opts(&listed[0].location, options).await
        };
        let change = async {
            gate.wait_reached().await;
            s3.put("lake", "t/f", "new");
            gate.release();
        };
        let (read, ()) = future::join(query, change).await;
        assert!(matches!(read, Err(Error::Precondition { .. })));
        assert_eq!(
            read_range(&store, "t/f", GetRange::Suffix(3)).await.unwrap(),
            "new"
        );
    });
}

#[test]
fn parallel_requests_show_and_cancelled_ones_leave() {
    run(async {
        let s3 = started(|b| b);
        let store = Arc::new(client(&s3));
        s3.put("lake", "k", "x");
        let gate = s3.pause_before("k", Operation::GetObject);
        let mut reads = tokio::task::JoinSet::new();
        for _ in 0..5 {
            let store = Arc::clone(&store);
            reads.spawn(async move { read(&store, "k").await });
        }
        gate.wait_reached_by(5).await;
        assert_eq!((s3.requests_in_flight(), s3.in_flight_max()), (5, 5));
        assert_eq!(s3.counts().requests(), 0, "none is answered yet");
        reads.shutdown().await;
        s3.wait_idle().await;
        assert_eq!(s3.counts().unanswered_requests, 5);
        gate.release();
        assert_eq!(read(&store, "k").await.unwrap(), "x");
        s3.reset_log();
        assert_eq!((s3.in_flight_max(), s3.requests().len()), (0, 0));
    });
}

#[test]
fn dropping_the_server_ends_its_connections() {
    run(async {
        let s3 = started(|b| b);
        let store = Arc::new(client(&s3));
        s3.put("lake", "k", "x");
        let gate = s3.pause_before("k", Operation::GetObject);
        let reader = Arc::clone(&store);
        let mut reads = tokio::task::JoinSet::new();
        reads.spawn(async move { read(&reader, "k").await });
        gate.wait_reached().await;
        drop(s3);
        assert!(reads.join_next().await.unwrap().unwrap().is_err());
        drop(gate);
    });
}

#[test]
fn a_bucket_name_that_s3_refuses_does_not_start() {
    let error = MemS3::builder().bucket("No_Bucket").start().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
