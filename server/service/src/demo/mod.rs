//! `owlake demo`: a generated lake on an S3 server in memory, and a tour that shows what a receipt says.

pub mod lake;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use owlake_client::Client;
use owlake_client::cli::{self, Exit, SqlArgs, Streams};
use owlake_mems3::{Latency, MemS3};

use crate::args::DemoArgs;
use crate::lake::Lake;

/// Database of the demo's tables.
pub(crate) const DATABASE: &str = "tpch";
/// Bucket of the demo's objects.
const BUCKET: &str = "demo-lake";

/// A running demo: the store and the lake on it.
#[derive(Debug)]
pub(crate) struct Demo {
    store: Arc<MemS3>,
    /// The lake.
    pub(crate) lake: Lake,
}

impl Demo {
    /// Address of the object store.
    pub(crate) fn endpoint(&self) -> &str {
        self.store.endpoint()
    }
}

/// One stop of the tour.
struct Stop {
    title: &'static str,
    sql: &'static str,
    cap: Option<&'static str>,
    /// Columns below each other.
    expanded: bool,
}

const TOUR: &[Stop] = &[
    Stop {
        title: "1. A full scan: every partition is listed and read",
        sql: "SELECT l_returnflag, count(*) AS items, sum(l_extendedprice) AS price \
              FROM lineitem_by_month GROUP BY l_returnflag ORDER BY l_returnflag",
        cap: None,
        expanded: false,
    },
    Stop {
        title: "2. One month: projection names the partition, nothing else is listed or opened",
        sql: "SELECT count(*) AS items, sum(l_extendedprice) AS price \
              FROM lineitem_by_month WHERE year = 1995 AND month = 3",
        cap: None,
        expanded: false,
    },
    Stop {
        title: "3. The same again: footer and listing come from the cache, the bytes scanned are the same",
        sql: "SELECT count(*) AS items, sum(l_extendedprice) AS price \
              FROM lineitem_by_month WHERE year = 1995 AND month = 3",
        cap: None,
        expanded: false,
    },
    Stop {
        title: "4. Outside the projected range: no rows, no bytes, and a notice that says why",
        sql: "SELECT count(*) AS items FROM lineitem_by_month WHERE year = 2026",
        cap: None,
        expanded: false,
    },
    Stop {
        title: "5. What would the whole table cost? Nothing is read to say so",
        sql: "EXPLAIN (TYPE COST) SELECT sum(l_extendedprice * l_discount) AS revenue FROM lineitem_by_month",
        cap: None,
        expanded: true,
    },
    Stop {
        title: "6. The same with a cap of 10 kB: refused before the first data byte",
        sql: "SELECT sum(l_extendedprice * l_discount) AS revenue FROM lineitem_by_month",
        cap: Some("10kB"),
        expanded: false,
    },
    Stop {
        title: "7. What all that cost, from the ledger",
        sql: "SELECT state, data_scanned_bytes, get_requests, list_requests, cost_usd, athena_cost_usd, \
              substr(query, 1, 60) AS query FROM system.queries WHERE statement_type = 'DML' ORDER BY submitted_at LIMIT 5",
        cap: None,
        expanded: false,
    },
];

/// Generates the lake, opens it and creates its tables.
pub(crate) async fn start(args: &DemoArgs) -> Result<Demo, Box<dyn std::error::Error + Send + Sync>> {
    let store = Arc::new(MemS3::builder().bucket(BUCKET).start()?);
    let scale_factor = args.scale_factor;
    let target = Arc::clone(&store);
    let _closed = writeln!(
        std::io::stderr(),
        "Generating a TPC-H lake at scale {scale_factor} ..."
    );
    let (done, generated) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("owlake-demo-data".to_owned())
        .spawn(move || {
            let summary = lake::generate(scale_factor, |key, bytes| {
                target.put(BUCKET, key, bytes);
                Ok(())
            });
            // The receiver is gone only when the demo was stopped.
            let _stopped = done.send(summary);
        })?;
    let summary = generated.await??;
    let _closed = writeln!(
        std::io::stderr(),
        "{} objects, {}, {} rows in bucket {BUCKET}",
        summary.objects,
        owlake_metering::decimal_bytes(summary.bytes),
        summary.rows
    );
    // The tour should show what a real store's distance means, without making anybody wait.
    store.set_latency(Latency {
        first_byte: Duration::from_millis(5),
        bytes_per_second: None,
    });
    let root = format!("s3://{BUCKET}/");
    let mut builder = Lake::builder().allow_location(&root).s3_endpoint(
        "s3://",
        store.endpoint(),
        store.access_key(),
        store.secret_key(),
    );
    if let Some(dir) = &args.dir {
        builder = builder.data_dir(dir);
    }
    let lake = builder.build().await?;
    lake.execute(&format!("CREATE DATABASE IF NOT EXISTS {DATABASE}"))
        .await?;
    let in_database = lake.clone().with_database(DATABASE);
    for ddl in lake::ddl(&root) {
        in_database.execute(&ddl).await?;
    }
    store.reset_log();
    Ok(Demo { store, lake })
}

/// Runs the tour through a client: rows to stdout, receipts to stderr.
pub(crate) async fn tour(client: &Client, io: &mut Streams) -> Result<Exit, std::io::Error> {
    for stop in TOUR {
        io.out.flush()?;
        writeln!(io.err, "\n{}\n> {}", stop.title, stop.sql)?;
        let args = SqlArgs {
            commands: vec![stop.sql.to_owned()],
            expanded: stop.expanded,
            ..SqlArgs::default()
        };
        // A header on each call of this client: the statement alone is capped.
        if client.set("max_data_scanned_bytes", stop.cap).is_err() {
            return Ok(Exit::Usage);
        }
        let exit = cli::run(&args, client.clone(), io).await;
        let wanted = if stop.cap.is_some() {
            Exit::Refused
        } else {
            Exit::Ok
        };
        if exit != wanted {
            return Ok(if exit == Exit::Ok { Exit::Failed } else { exit });
        }
    }
    let _unset = client.set("max_data_scanned_bytes", None);
    io.out.flush()?;
    Ok(Exit::Ok)
}
