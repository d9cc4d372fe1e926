//! A lake on an S3 server in memory, served over TCP, with a client on it. Everything stops on drop.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use futures::TryStreamExt;
use owlake::{EngineConfig, Lake, ScanConfig};
use owlake_client::{Client, ClientError, ConnectOptions, QueryReceipt};
use owlake_mems3::{Counts, Gate, MemS3};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The bucket of every test lake.
pub const BUCKET: &str = "test-lake";
/// Only keeps a broken test from hanging.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A catalog's name and properties.
pub type Catalog = (&'static str, Vec<(&'static str, String)>);

/// Settings of a test server.
#[derive(Default)]
pub struct Builder {
    pub engine: EngineConfig,
    pub scan: ScanConfig,
    pub store: Option<Arc<MemS3>>,
    pub data_dir: Option<std::path::PathBuf>,
    pub local_roots: Vec<String>,
    pub clock: Option<fn() -> chrono::DateTime<chrono::Utc>>,
    pub ticket_idle: Option<Duration>,
    pub quota_webhook: Option<String>,
    /// PostgreSQL catalogs: name and properties.
    pub catalogs: Vec<Catalog>,
}

/// A served lake.
pub struct TestServer {
    pub store: Arc<MemS3>,
    #[allow(dead_code, reason = "for tests that look beside the wire")]
    pub lake: Lake,
    pub client: Client,
    pub url: String,
    _stop: oneshot::Sender<()>,
}

/// Rows as text, and the receipt.
#[derive(Debug)]
pub struct Answer {
    pub rows: Vec<Vec<String>>,
    pub receipt: QueryReceipt,
}

impl Builder {
    pub async fn start(self) -> TestServer {
        let store = self
            .store
            .unwrap_or_else(|| Arc::new(MemS3::builder().bucket(BUCKET).start().unwrap()));
        let mut builder = Lake::builder()
            .allow_location(format!("s3://{BUCKET}/"))
            .engine_config(self.engine)
            .scan_config(self.scan)
            .s3_endpoint("s3://", store.endpoint(), store.access_key(), store.secret_key());
        if let Some(clock) = self.clock {
            builder = builder.clock(clock);
        }
        for root in self.local_roots {
            builder = builder.allow_location(root);
        }
        for (name, properties) in self.catalogs {
            builder = builder.catalog(name, "postgresql", properties);
        }
        if let Some(dir) = self.data_dir {
            builder = builder.data_dir(dir);
        }
        if let Some(idle) = self.ticket_idle {
            builder = builder.ticket_idle(idle);
        }
        if let Some(url) = self.quota_webhook {
            builder = builder.quota_webhook(url);
        }
        let lake = builder.build().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("grpc://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let served = lake.clone();
        tokio::spawn(async move {
            served
                .serve(listener, async {
                    let _ = stopped.await;
                })
                .await
                .unwrap();
        });
        let client = connect(&url).await;
        TestServer {
            store,
            lake,
            client,
            url,
            _stop: stop,
        }
    }
}

/// A client of its own: own connection, own session.
pub async fn connect(url: &str) -> Client {
    Client::connect(ConnectOptions::new(url.parse().unwrap()))
        .await
        .unwrap()
}

impl TestServer {
    pub async fn start() -> Self {
        Builder::default().start().await
    }

    /// With these settings of scans.
    pub async fn with_scan(scan: ScanConfig) -> Self {
        let builder = Builder {
            scan,
            ..Builder::default()
        };
        builder.start().await
    }

    /// Makes a Parquet table with one bigint column `n` over the folder of its name.
    pub async fn table_of_numbers(&self, name: &str) {
        let ddl = format!(
            "CREATE EXTERNAL TABLE {name} (n bigint) STORED AS PARQUET LOCATION 's3://{BUCKET}/{name}/'"
        );
        self.query(&ddl).await;
    }

    /// State and error of all ledger rows of a statement, once none of them runs any more.
    pub async fn ended(&self, sql: &str) -> Vec<Vec<String>> {
        let sql = format!("SELECT state, error_code FROM system.queries WHERE query = '{sql}'");
        let ended = async {
            loop {
                let rows = self.query(&sql).await.rows;
                if !rows.is_empty() && rows.iter().all(|row| row[0] != "RUNNING" && row[0] != "QUEUED") {
                    return rows;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, ended)
            .await
            .unwrap_or_else(|_| panic!("{sql} never became final"))
    }

    /// What holds after every stop of `sql`, whose requests `gate` still holds: its reads have ended, its one ledger
    /// row says how, and what it had is free for the next query.
    pub async fn assert_stopped(&self, sql: &str, gate: Gate, state: &str, error_code: &str) {
        // Nothing is answered before the release: reads end here only because they were stopped.
        timeout(PATIENCE, self.store.wait_idle())
            .await
            .unwrap_or_else(|_| panic!("{sql} reads on"));
        let requests = self.store.counts().requests();
        assert_eq!(self.ended(sql).await, [[state, error_code]], "{sql}");
        gate.release();
        // Where there is one slot, this answers only because the stopped query gave it back.
        assert_eq!(one(&self.query("SELECT 1").await), 1);
        assert_eq!(
            self.store.counts().requests(),
            requests,
            "{sql} was stopped and went on reading"
        );
    }

    /// Another server, with caches and a catalog of its own, on the same store.
    pub async fn start_on(store: &Arc<MemS3>) -> Self {
        Builder {
            store: Some(Arc::clone(store)),
            ..Builder::default()
        }
        .start()
        .await
    }

    /// Runs a statement that must succeed.
    pub async fn query(&self, sql: &str) -> Answer {
        run(&self.client, sql)
            .await
            .unwrap_or_else(|e| panic!("{sql}\n{e}"))
    }

    /// Runs a statement that must fail; its error.
    pub async fn refused(&self, sql: &str) -> ClientError {
        match run(&self.client, sql).await {
            Ok(answer) => panic!("{sql}\nanswered {:?}", answer.rows),
            Err(error) => error,
        }
    }

    /// Stores a Parquet object.
    pub fn put(&self, key: &str, batch: &RecordBatch) {
        self.store.put(BUCKET, key, parquet(batch));
    }
}

/// Runs a statement to its end.
pub async fn run(client: &Client, sql: &str) -> Result<Answer, ClientError> {
    let mut stream = client.query(sql).await?;
    let mut rows = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        rows.extend(text_rows(&batch));
    }
    let receipt = stream.receipt().cloned().expect("every statement has a receipt");
    Ok(Answer { rows, receipt })
}

/// What the store counted of each query is all that it counted, which is given back: no request belongs to nobody.
pub fn adds_up(store: &MemS3, counts: &[Counts]) -> Counts {
    let sum = |field: fn(&Counts) -> u64| counts.iter().map(field).sum();
    let all = store.counts();
    let queries = Counts {
        get_requests: sum(|c| c.get_requests),
        head_requests: sum(|c| c.head_requests),
        list_requests: sum(|c| c.list_requests),
        put_requests: sum(|c| c.put_requests),
        other_requests: sum(|c| c.other_requests),
        unanswered_requests: sum(|c| c.unanswered_requests),
        error_responses: sum(|c| c.error_responses),
        object_body_bytes_planned: sum(|c| c.object_body_bytes_planned),
        object_body_bytes_sent: sum(|c| c.object_body_bytes_sent),
    };
    assert_eq!(queries, all);
    all
}

/// Cells as text; NULL is `NULL`.
pub fn text_rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|c| ArrayFormatter::try_new(c, &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|r| columns.iter().map(|c| c.value(r).to_string()).collect())
        .collect()
}

/// A small Parquet file without the Arrow schema hint.
pub fn parquet(batch: &RecordBatch) -> Bytes {
    parquet_with(batch, WriterProperties::builder().build())
}

/// A Parquet file with chosen properties.
pub fn parquet_with(batch: &RecordBatch, properties: WriterProperties) -> Bytes {
    let options = parquet::arrow::arrow_writer::ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new_with_options(&mut out, batch.schema(), options).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    Bytes::from(out)
}

/// One bigint column `n` with the given values.
pub fn numbers(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column = arrow::array::Int64Array::from_iter_values(values);
    RecordBatch::try_from_iter([("n", Arc::new(column) as Arc<dyn Array>)]).unwrap()
}

/// The single bigint of an answer.
pub fn one(answer: &Answer) -> i64 {
    assert_eq!(
        (answer.rows.len(), answer.rows[0].len()),
        (1, 1),
        "{:?}",
        answer.rows
    );
    answer.rows[0][0].parse().unwrap()
}

/// First column of a batch as integers.
#[allow(dead_code, reason = "used by the modules that read batches")]
pub fn integers(batch: &RecordBatch) -> Vec<i64> {
    batch
        .column(0)
        .as_primitive::<arrow::datatypes::Int64Type>()
        .values()
        .to_vec()
}
