//! Counts through the real S3 client of `object_store`, against a scripted server on the loopback interface.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};

use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, GetOptions, ObjectStore, ObjectStoreExt, RetryConfig};

use super::*;
use crate::meter::{Counters, Meter};

/// What the server does with one request.
enum Reply {
    /// Head and body; the length header is the body's.
    Whole(&'static str, Vec<u8>),
    /// Announces more than it sends, then closes.
    Short {
        head: &'static str,
        announced: usize,
        sent: Vec<u8>,
    },
    /// Sends the head and these bytes, then nothing until the other side closes.
    Stall {
        head: &'static str,
        announced: usize,
        sent: Vec<u8>,
    },
    /// Reads the request and closes.
    Close,
    /// Reads the request, tells the test, and waits for the other side to close.
    Silent(mpsc::Sender<()>),
}

#[derive(Debug, Clone)]
struct Seen {
    line: String,
    headers: Vec<(String, String)>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

struct Script {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

const OBJECT: &str = "200 OK\r\nETag: \"e\"\r\nLast-Modified: Sat, 01 Jan 2022 00:00:00 GMT";

fn part(content_range: &'static str) -> &'static str {
    let head = "206 Partial Content\r\nETag: \"e\"\r\nLast-Modified: Sat, 01 Jan 2022 00:00:00 GMT\r\nContent-Range: ";
    Box::leak(format!("{head}{content_range}").into_boxed_str())
}

impl Script {
    /// One connection per reply, in order.
    fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for reply in replies {
                let (stream, _) = listener.accept().unwrap();
                serve(stream, reply, &log);
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, reply: Reply, log: &Mutex<Vec<Seen>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let headers = lines.iter().skip(1).filter_map(|l| l.split_once(": "));
    let headers = headers
        .map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned()))
        .collect();
    log.lock().unwrap().push(Seen {
        line: lines.first().cloned().unwrap_or_default(),
        headers,
    });
    let head = |stream: &mut TcpStream, head: &str, length: usize| {
        write!(
            stream,
            "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
    };
    let wait_for_close = |mut reader: BufReader<TcpStream>| {
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
    };
    match reply {
        Reply::Whole(text, body) => {
            head(&mut stream, text, body.len());
            // HEAD has no body; the client closes then.
            if !lines[0].starts_with("HEAD") {
                stream.write_all(&body).unwrap();
            }
        }
        Reply::Short {
            head: text,
            announced,
            sent,
        } => {
            head(&mut stream, text, announced);
            stream.write_all(&sent).unwrap();
        }
        Reply::Stall {
            head: text,
            announced,
            sent,
        } => {
            head(&mut stream, text, announced);
            stream.write_all(&sent).unwrap();
            wait_for_close(reader);
        }
        Reply::Close => {}
        Reply::Silent(tell) => {
            tell.send(()).unwrap();
            wait_for_close(reader);
        }
    }
}

#[derive(Debug, Default)]
struct Recorder {
    responses: Mutex<Vec<(StoreOp, u16)>>,
    bytes: AtomicU64,
}

impl RequestObserver for Recorder {
    fn on_response(&self, op: StoreOp, status: u16, _elapsed: Duration) {
        self.responses.lock().unwrap().push((op, status));
    }
    fn on_transferred(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

struct Bench {
    script: Script,
    io: tokio::runtime::Runtime,
    meter: Arc<Meter>,
    recorder: Arc<Recorder>,
    store: AmazonS3,
}

impl Bench {
    fn new(replies: Vec<Reply>) -> Self {
        let script = Script::start(replies);
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let meter = Meter::root("server").child("q");
        let recorder = Arc::new(Recorder::default());
        let connector = MeteredConnector::new(
            SharedHttp::new(&HttpOptions::default()).unwrap(),
            Arc::clone(&meter),
            "01-ab\r\nX: y",
            io.handle().clone(),
            RequestHooks {
                observer: Some(Arc::clone(&recorder) as Arc<dyn RequestObserver>),
                ..RequestHooks::default()
            },
        );
        let store = store(&script, connector, true);
        Self {
            script,
            io,
            meter,
            recorder,
            store,
        }
    }

    /// Drives the caller's side on a runtime of its own that has no I/O driver.
    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(future)
    }

    fn counted(&self, expected: Counters) {
        assert_eq!(self.meter.counters(), expected);
    }
}

fn store(script: &Script, connector: MeteredConnector, allow_http: bool) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_bucket_name("lake")
        .with_region("us-east-1")
        .with_endpoint(format!("http://{}", script.address))
        .with_access_key_id("id")
        .with_secret_access_key("key")
        .with_client_options(ClientOptions::new().with_allow_http(allow_http))
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(1),
                max_backoff: Duration::from_millis(2),
                base: 2.0,
            },
            max_retries: 3,
            retry_timeout: Duration::from_secs(60),
        })
        .with_http_connector(connector)
        .build()
        .unwrap()
}

fn path() -> Path {
    Path::from("t/a.parquet")
}

#[test]
fn a_whole_object_is_requested_and_transferred_once() {
    let bench = Bench::new(vec![Reply::Whole(OBJECT, vec![7; 1_000])]);
    let bytes = bench.run(async { bench.store.get(&path()).await.unwrap().bytes().await.unwrap() });
    assert_eq!(bytes.len(), 1_000);
    bench.counted(Counters {
        get_requests: 1,
        requested_bytes: 1_000,
        transferred_bytes: 1_000,
        ..Counters::default()
    });
    assert_eq!(*bench.recorder.responses.lock().unwrap(), [(StoreOp::Get, 200)]);
    assert_eq!(bench.recorder.bytes.load(Ordering::Relaxed), 1_000);
}

#[test]
fn callers_need_no_runtime_of_their_own() {
    let bench = Bench::new(vec![Reply::Whole(OBJECT, vec![7; 1_000])]);
    let read = async { bench.store.get(&path()).await.unwrap().bytes().await.unwrap() };
    assert_eq!(futures::executor::block_on(read).len(), 1_000);
}

#[test]
fn a_range_is_requested_as_sent_and_the_query_id_is_in_the_user_agent() {
    let bench = Bench::new(vec![Reply::Whole(part("bytes 10-19/1000"), vec![7; 10])]);
    bench.run(async { bench.store.get_range(&path(), 10..20).await.unwrap() });
    bench.counted(Counters {
        get_requests: 1,
        requested_bytes: 10,
        transferred_bytes: 10,
        ..Counters::default()
    });
    let seen = &bench.script.seen()[0];
    let agent = format!("owlake/{} query/01-ab__X__y", env!("CARGO_PKG_VERSION"));
    assert_eq!(seen.header("user-agent"), Some(agent.as_str()));
    assert_eq!(seen.header("range"), Some("bytes=10-19"));
    assert_eq!(seen.header("accept-encoding"), None);
}

#[test]
fn a_suffix_longer_than_the_object_requests_what_was_asked() {
    let bench = Bench::new(vec![Reply::Whole(part("bytes 0-9/10"), vec![7; 10])]);
    let suffix = GetOptions {
        range: Some(object_store::GetRange::Suffix(64)),
        ..GetOptions::default()
    };
    bench.run(async {
        bench
            .store
            .get_opts(&path(), suffix)
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
    });
    bench.counted(Counters {
        get_requests: 1,
        requested_bytes: 64,
        transferred_bytes: 10,
        ..Counters::default()
    });
}

#[test]
fn a_slow_down_and_its_repetition_are_two_attempts_and_one_retry() {
    let bench = Bench::new(vec![
        Reply::Whole("503 Slow Down", b"<Error>SlowDown</Error>".to_vec()),
        Reply::Whole("429 Too Many", Vec::new()),
        Reply::Whole(part("bytes 0-99/1000"), vec![7; 100]),
        Reply::Whole(part("bytes 0-99/1000"), vec![7; 100]),
    ]);
    bench.run(async {
        bench.store.get_range(&path(), 0..100).await.unwrap();
        // The same range again after a success is no retry.
        bench.store.get_range(&path(), 0..100).await.unwrap();
    });
    bench.counted(Counters {
        get_requests: 4,
        retried_requests: 2,
        requested_bytes: 400,
        transferred_bytes: 200,
        ..Counters::default()
    });
    let statuses: Vec<u16> = bench
        .recorder
        .responses
        .lock()
        .unwrap()
        .iter()
        .map(|r| r.1)
        .collect();
    assert_eq!(statuses, [503, 429, 206, 206]);
}

#[test]
fn a_connection_closed_before_the_response_is_unanswered_and_its_repetition_a_retry() {
    let bench = Bench::new(vec![
        Reply::Close,
        Reply::Whole(part("bytes 0-99/1000"), vec![7; 100]),
    ]);
    bench.run(async { bench.store.get_range(&path(), 0..100).await.unwrap() });
    bench.counted(Counters {
        get_requests: 1,
        unanswered_requests: 1,
        retried_requests: 1,
        requested_bytes: 200,
        transferred_bytes: 100,
        ..Counters::default()
    });
}

#[test]
fn a_body_that_breaks_off_is_aborted_and_resuming_it_is_a_retry() {
    let bench = Bench::new(vec![
        Reply::Short {
            head: part("bytes 100-199/1000"),
            announced: 100,
            sent: vec![7; 40],
        },
        Reply::Whole(part("bytes 140-199/1000"), vec![8; 60]),
    ]);
    let bytes = bench.run(async { bench.store.get_range(&path(), 100..200).await.unwrap() });
    assert_eq!(bytes, [vec![7; 40], vec![8; 60]].concat());
    bench.counted(Counters {
        get_requests: 2,
        retried_requests: 1,
        aborted_requests: 1,
        aborted_bytes_max: 60,
        requested_bytes: 160,
        transferred_bytes: 100,
        ..Counters::default()
    });
    assert_eq!(bench.script.seen()[1].header("range"), Some("bytes=140-199"));
}

#[test]
fn a_body_that_breaks_off_before_its_first_byte_is_repeated_whole() {
    let bench = Bench::new(vec![
        Reply::Short {
            head: OBJECT,
            announced: 50,
            sent: Vec::new(),
        },
        Reply::Whole(part("bytes 0-49/50"), vec![8; 50]),
    ]);
    bench.run(async { bench.store.get(&path()).await.unwrap().bytes().await.unwrap() });
    bench.counted(Counters {
        get_requests: 2,
        retried_requests: 1,
        aborted_requests: 1,
        aborted_bytes_max: 50,
        requested_bytes: 100,
        transferred_bytes: 50,
        ..Counters::default()
    });
}

#[test]
fn a_body_dropped_early_is_aborted_and_no_retry() {
    let bench = Bench::new(vec![
        Reply::Stall {
            head: OBJECT,
            announced: 1_000,
            sent: vec![7; 300],
        },
        Reply::Whole(OBJECT, vec![7; 10]),
    ]);
    bench.run(async {
        let mut body = bench.store.get(&path()).await.unwrap().into_stream();
        let mut received = 0;
        while received < 300 {
            received += body.next().await.unwrap().unwrap().len();
        }
        drop(body);
        bench.store.get(&path()).await.unwrap().bytes().await.unwrap();
    });
    bench.counted(Counters {
        get_requests: 2,
        aborted_requests: 1,
        aborted_bytes_max: 700,
        requested_bytes: 1_010,
        transferred_bytes: 310,
        ..Counters::default()
    });
}

#[test]
fn a_response_whose_body_nobody_reads_is_aborted() {
    let bench = Bench::new(vec![Reply::Stall {
        head: OBJECT,
        announced: 1_000,
        sent: Vec::new(),
    }]);
    bench.run(async { drop(bench.store.get(&path()).await.unwrap()) });
    bench.counted(Counters {
        get_requests: 1,
        aborted_requests: 1,
        aborted_bytes_max: 1_000,
        requested_bytes: 1_000,
        ..Counters::default()
    });
}

#[test]
fn a_caller_that_goes_away_ends_the_exchange_and_leaves_an_unanswered_attempt() {
    let (tell, told) = mpsc::channel();
    let bench = Bench::new(vec![Reply::Silent(tell), Reply::Whole(OBJECT, vec![7; 10])]);
    bench.run(async {
        let target = path();
        let mut waiting = bench.store.get_range(&target, 0..100).boxed();
        assert!(futures::poll!(&mut waiting).is_pending());
        told.recv().unwrap();
        drop(waiting);
        // Counted the moment the caller is gone. The server takes the next request only after the connection
        // of the first was closed.
        bench.counted(Counters {
            unanswered_requests: 1,
            requested_bytes: 100,
            ..Counters::default()
        });
        bench.store.get(&target).await.unwrap().bytes().await.unwrap();
    });
    assert_eq!(bench.meter.counters().retried_requests, 0);
}

#[test]
fn listings_count_pages_and_heads_count_no_bytes() {
    let page = |key: &str, next: &str| {
        let more = !next.is_empty();
        let token = if more {
            format!("<NextContinuationToken>{next}</NextContinuationToken>")
        } else {
            String::new()
        };
        let contents = format!(
            "<Contents><Key>{key}</Key><Size>5</Size><ETag>e</ETag><LastModified>2022-01-01T00:00:00Z</LastModified></Contents>"
        );
        let xml = format!(
            "<ListBucketResult><IsTruncated>{more}</IsTruncated>{token}{contents}</ListBucketResult>"
        );
        Reply::Whole("200 OK\r\nContent-Type: application/xml", xml.into_bytes())
    };
    let bench = Bench::new(vec![
        page("t/a", "next"),
        page("t/b", ""),
        Reply::Whole(OBJECT, vec![7; 500]),
    ]);
    bench.run(async {
        let listed: Vec<_> = bench
            .store
            .list(Some(&Path::from("t")))
            .try_collect()
            .await
            .unwrap();
        assert_eq!(listed.len(), 2);
        assert_eq!(bench.store.head(&path()).await.unwrap().size, 500);
    });
    bench.counted(Counters {
        list_requests: 2,
        head_requests: 1,
        ..Counters::default()
    });
}

#[test]
fn error_bodies_are_no_object_bytes() {
    let bench = Bench::new(vec![
        Reply::Whole("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>".to_vec()),
        Reply::Whole("412 Precondition Failed", b"<Error/>".to_vec()),
        Reply::Whole(OBJECT, b"<put/>".to_vec()),
    ]);
    bench.run(async {
        assert!(matches!(
            bench.store.get(&path()).await,
            Err(object_store::Error::NotFound { .. })
        ));
        let changed = GetOptions {
            if_match: Some("\"old\"".to_owned()),
            ..GetOptions::default()
        };
        let answer = bench.store.get_opts(&path(), changed).await;
        assert!(matches!(answer, Err(object_store::Error::Precondition { .. })));
        bench.store.put(&path(), "data".into()).await.unwrap();
    });
    bench.counted(Counters {
        get_requests: 2,
        put_requests: 1,
        ..Counters::default()
    });
}

#[test]
fn a_redirect_is_not_followed() {
    let bench = Bench::new(vec![Reply::Whole(
        "307 Temporary Redirect\r\nLocation: http://169.254.169.254/latest/meta-data",
        Vec::new(),
    )]);
    bench.run(async { assert!(bench.store.get(&path()).await.is_err()) });
    bench.counted(Counters {
        get_requests: 1,
        ..Counters::default()
    });
    assert_eq!(bench.script.seen().len(), 1);
    assert!(bench.script.seen()[0].line.starts_with("GET /lake/t/a.parquet "));
}

#[test]
fn a_store_that_ignores_the_range_is_booked_with_what_it_sends() {
    let bench = Bench::new(vec![Reply::Stall {
        head: OBJECT,
        announced: 1_000,
        sent: Vec::new(),
    }]);
    bench.run(async { assert!(bench.store.get_range(&path(), 0..10).await.is_err()) });
    bench.counted(Counters {
        get_requests: 1,
        requested_bytes: 1_000,
        aborted_requests: 1,
        aborted_bytes_max: 1_000,
        ..Counters::default()
    });
}

#[test]
fn plain_http_needs_the_stores_consent() {
    let bench = Bench::new(Vec::new());
    let connector = MeteredConnector::new(
        SharedHttp::new(&HttpOptions::default()).unwrap(),
        Arc::clone(&bench.meter),
        "q",
        bench.io.handle().clone(),
        RequestHooks::default(),
    );
    let store = store(&bench.script, connector, false);
    bench.run(async { assert!(store.get(&path()).await.is_err()) });
    bench.counted(Counters::default());
}

#[test]
fn a_stopped_io_runtime_is_an_error_and_not_a_hang() {
    let mut bench = Bench::new(Vec::new());
    let io = std::mem::replace(
        &mut bench.io,
        tokio::runtime::Builder::new_current_thread().build().unwrap(),
    );
    io.shutdown_background();
    bench.run(async { assert!(bench.store.get(&path()).await.is_err()) });
    assert_eq!(bench.meter.counters().unanswered_requests, 1);
}

#[test]
fn two_queries_share_the_client_and_not_their_counts() {
    let bench = Bench::new(vec![
        Reply::Whole(OBJECT, vec![7; 10]),
        Reply::Whole(OBJECT, vec![7; 20]),
    ]);
    let root = Meter::root("server");
    let shared = SharedHttp::new(&HttpOptions::default()).unwrap();
    let [a, b] = ["a", "b"].map(|id| {
        let meter = root.child(id);
        let io = bench.io.handle().clone();
        let connector = MeteredConnector::new(
            Arc::clone(&shared),
            Arc::clone(&meter),
            id,
            io,
            RequestHooks::default(),
        );
        (meter, store(&bench.script, connector, true))
    });
    bench.run(async {
        a.1.get(&path()).await.unwrap().bytes().await.unwrap();
        b.1.get(&path()).await.unwrap().bytes().await.unwrap();
    });
    assert_eq!(
        (a.0.counters().transferred_bytes, b.0.counters().transferred_bytes),
        (10, 20)
    );
    assert_eq!(root.counters().transferred_bytes, 30);
}

#[test]
fn options_refuse_unknown_keys() {
    assert!(toml::from_str::<HttpOptions>("connect_timeout_ms = 1").is_ok());
    assert!(toml::from_str::<HttpOptions>("connect_timeout = 1").is_err());
    assert!(
        SharedHttp::new(&HttpOptions {
            proxy_url: Some("::".to_owned()),
            ..HttpOptions::default()
        })
        .is_err()
    );
}

#[test]
fn keys_of_every_kind_are_listed_and_read_as_they_are() {
    let object = |key: &str| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2022-01-01T00:00:00.000Z</LastModified>\
             <ETag>&quot;e&quot;</ETag><Size>3</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )
    };
    let page = |keys: &[&str], more: bool| {
        let token = if more {
            "<NextContinuationToken>t</NextContinuationToken>"
        } else {
            ""
        };
        let objects: String = keys.iter().map(|key| object(key)).collect();
        format!("<ListBucketResult><IsTruncated>{more}</IsTruncated>{objects}{token}</ListBucketResult>")
    };
    let xml = "200 OK\r\nContent-Type: application/xml";
    let bench = Bench::new(vec![
        Reply::Whole(xml, page(&["t/sub-1", "t/sub-2", "t/sub/"], true).into_bytes()),
        Reply::Whole(xml, page(&["t/sub//x&amp;y", "t/sub/./z"], false).into_bytes()),
        Reply::Whole(OBJECT, b"abc".to_vec()),
        Reply::Whole(xml, page(&["t/a\u{1}b"], false).into_bytes()),
    ]);
    bench.run(async {
        let store = ListedKeys(bench.store.clone());
        let prefix = Path::from("t");
        // A marker between two pages is no file, and an empty part of a key is one of it.
        let listed: Vec<Path> = store
            .list(Some(&prefix))
            .map_ok(|meta| meta.location)
            .try_collect()
            .await
            .unwrap();
        let keys: Vec<&str> = listed.iter().map(|key| key.as_ref()).collect();
        assert_eq!(keys, ["t/sub-1", "t/sub-2", "t/sub//x&y"]);
        let bytes = store.get(&listed[2]).await.unwrap().bytes().await.unwrap();
        assert_eq!(bytes, "abc");
        let error = store
            .list(Some(&prefix))
            .try_collect::<Vec<_>>()
            .await
            .unwrap_err();
        assert!(
            matches!(error, object_store::Error::InvalidPath { .. }),
            "{error}"
        );
    });
    assert!(bench.script.seen()[2].line.starts_with("GET /lake/t/sub//x%26y "));
}
